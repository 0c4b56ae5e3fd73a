"""Actions: what they write, what they refuse, and the same two tests for each: taken back, and run twice."""

from collections.abc import Mapping
from typing import NamedTuple

import pytest

from shared.actions.registry import ACTIONS, NotApplicable
from shared.domain.change import Change, Evict, Patch
from shared.domain.cluster import RESTARTED_AT, Kind, Object
from shared.domain.frozen import Json
from shared.domain.objects import Deployment
from shared.domain.path import ABSENT, Absent, Present, write
from shared.domain.revisions import current_revision
from shared.domain.runbook import describe
from shared.domain.snapshot import Snapshot
from shared.testing.builders import (
    a_deployment,
    a_node,
    a_pod,
    a_ref,
    a_replica_set,
    a_rollout,
    a_service,
    a_snapshot,
    a_template,
)

CART, SERVICE, NODE = a_ref("cart"), a_ref("cart", Kind.SERVICE), a_ref("node-1", Kind.NODE)


class Case(NamedTuple):
    """An action with parameters that fit, in a cluster where it has something to do."""

    name: str
    params: Mapping[str, object]
    snapshot: Snapshot


def rolled_out() -> Snapshot:
    """A Deployment that went from one image, limit and environment to another."""
    before = a_template(image="registry.example/cart:1", memory_limit="128Mi", env={"A": "1"})
    after = a_template(image="registry.example/cart:2", memory_limit="64Mi", env={"A": "1", "B": "2"})
    return a_snapshot(a_rollout(before=before, after=after).objects)


def served() -> Snapshot:
    """A workload, and a Service that selects nothing and targets nothing."""
    deployment = a_deployment()
    return a_snapshot(deployment, a_service(selector={"app": "typo"}, target_port=9))


def a_busy_node() -> Snapshot:
    """A Node with two pods of a workload."""
    owner = a_replica_set(a_deployment())
    return a_snapshot(a_node(), a_deployment(), owner, [a_pod(f"cart-1-{x}", owner=owner) for x in "ab"])


CASES = (
    Case("deployment.roll-back", {"deployment": CART}, rolled_out()),
    Case("deployment.roll-back", {"deployment": CART, "revision": 1}, rolled_out()),
    Case("deployment.set-resources", {"deployment": CART, "container": "main", "revision": 1}, rolled_out()),
    Case(
        "deployment.set-resources",
        {"deployment": CART, "container": "main", "resources": {"limits": {"memory": "1Gi"}}},
        rolled_out(),
    ),
    Case("deployment.scale", {"deployment": CART, "replicas": 5}, rolled_out()),
    Case("deployment.restart", {"deployment": CART}, rolled_out()),
    Case("service.set-selector", {"service": SERVICE, "workload": CART}, served()),
    Case("service.set-target-port", {"service": SERVICE, "port": "http", "target_port": 8080}, served()),
    Case("node.cordon", {"node": NODE}, a_snapshot(a_node())),
    Case("service.set-port", {"service": SERVICE, "port": "http", "number": 8080}, served()),
)
EVICTION = Case("node.evict-pods", {"node": NODE}, a_busy_node())


def run(case: Case, snapshot: Snapshot | None = None) -> list[Change]:
    """Run the action of a case."""
    return ACTIONS[case.name].run(case.params, case.snapshot if snapshot is None else snapshot)


def one(case: Case) -> Patch:
    """The only change that the action makes: a patch."""
    (change,) = run(case)
    assert isinstance(change, Patch)
    return change


def after(change: Patch, snapshot: Snapshot) -> Snapshot:
    """The cluster with the patch written."""
    objects = (change.apply(seen) if seen.ref == change.ref else seen for seen in snapshot.objects)
    return snapshot.but(objects=tuple(objects))


# --- every action


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_an_action_writes_can_be_taken_back(case: Case) -> None:
    """Apply, then the inverse: every object is what it was. Nobody wrote that undo."""
    patch = one(case)
    changed = after(patch, case.snapshot)
    assert changed.find(patch.ref) != case.snapshot.find(patch.ref)
    assert after(patch.inverse(), changed).objects == case.snapshot.objects


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_an_action_that_ran_has_nothing_left_to_do(case: Case) -> None:
    """Run twice, it writes once."""
    with pytest.raises(NotApplicable):
        run(case, after(one(case), case.snapshot))


@pytest.mark.parametrize("case", [*CASES, EVICTION], ids=lambda case: case.name)
def test_an_action_writes_only_the_kinds_that_it_declares(case: Case) -> None:
    """And can say what it does in a line for each edit."""
    changes = run(case)
    assert {change.ref.kind for change in changes} <= ACTIONS[case.name].writes
    assert all(describe(change) for change in changes)


@pytest.mark.parametrize("case", [*CASES, EVICTION], ids=lambda case: case.name)
def test_an_action_on_what_is_not_there_is_refused_with_the_reason(case: Case) -> None:
    """An empty cluster has nothing to act on."""
    with pytest.raises(NotApplicable, match=r"cart|node-1"):
        run(case, a_snapshot())


@pytest.mark.parametrize("name", ACTIONS)
def test_parameters_that_are_none_are_refused_by_name(name: str) -> None:
    """What the model does not accept never reaches the action."""
    with pytest.raises(NotApplicable, match=f"{name} cannot use .+: "):
        ACTIONS[name].run({"nonsense": 1}, a_snapshot())


def test_every_action_is_tested_here() -> None:
    """A new one comes with its case."""
    assert {case.name for case in (*CASES, EVICTION)} == set(ACTIONS)


# --- roll-back


def test_a_roll_back_is_the_smallest_edit_that_makes_the_old_template() -> None:
    """By path and by name; what is equal is not touched."""
    patch = one(CASES[0])
    assert {edit.path for edit in patch.edits} == {
        "/spec/template/spec/containers/main/image",
        "/spec/template/spec/containers/main/resources/limits/memory",
        "/spec/template/spec/containers/main/env",
    }


def test_after_a_roll_back_the_old_revision_is_the_current_one() -> None:
    """To the letter, so that the controller takes its ReplicaSet again, and with it the pods that still run."""
    snapshot = after(one(CASES[0]), rolled_out())
    current = current_revision(snapshot.deployments[0], snapshot)
    assert current is not None
    assert current.revision == 1


def test_a_roll_back_takes_labels_and_annotations_of_the_template_back_too() -> None:
    """The hash that the controller adds is not a person's label, and stays away."""
    old = write(a_template(labels={"app": "cart", "version": "1"}), "/metadata/annotations", Present(value={"a": "1"}))
    deployment = a_deployment(template=a_template(labels={"app": "cart", "version": "2"}))
    hashed = write(old, "/metadata/labels/pod-template-hash", Present(value="abc"))
    revisions = [a_replica_set(deployment, revision=1, template=hashed), a_replica_set(deployment, revision=2)]
    (patch,) = ACTIONS["deployment.roll-back"].run({"deployment": CART}, a_snapshot(deployment, revisions))
    assert isinstance(patch, Patch)
    assert Deployment.of(patch.apply(deployment)).written_template == old


def test_a_roll_back_passes_over_revisions_that_ran_the_same() -> None:
    """A restart made one; it is not the way back."""
    stamped = write(a_template(image="registry.example/cart:2"), "/metadata/annotations", _stamp())
    rollout = a_rollout(after=stamped)
    same = a_replica_set(rollout.deployment, revision=2, template=a_template(image="registry.example/cart:2"))
    newest = a_replica_set(rollout.deployment, revision=3)
    snapshot = a_snapshot(rollout.deployment, rollout.earlier, same, newest)
    (patch,) = ACTIONS["deployment.roll-back"].run({"deployment": CART}, snapshot)
    assert isinstance(patch, Patch)
    assert patch.apply(rollout.deployment).at("/spec/template/spec/containers/main/image") == "registry.example/cart:1"


def _stamp() -> Present:
    return Present(value={RESTARTED_AT: "2026-01-01T11:00:00Z"})


@pytest.mark.parametrize("revision", [2, 7])
def test_a_roll_back_goes_only_back(revision: int) -> None:
    """Not to the current revision, and not to one that nobody has."""
    with pytest.raises(NotApplicable, match=f"no earlier revision {revision}"):
        ACTIONS["deployment.roll-back"].run({"deployment": CART, "revision": revision}, rolled_out())


@pytest.mark.parametrize("name", ["deployment.roll-back", "deployment.restart"])
def test_a_paused_deployment_is_left_alone(name: str) -> None:
    """A new template would do nothing, and resuming is a person's decision."""
    rollout = a_rollout()
    paused = rollout.deployment.but(body=write(rollout.deployment.body, "/spec/paused", Present(value=True)))
    with pytest.raises(NotApplicable, match="paused"):
        ACTIONS[name].run({"deployment": CART}, a_snapshot(paused, rollout.earlier, rollout.current))


# --- set-resources


def test_resources_alone_go_back() -> None:
    """The image and the environment of the same rollout stay."""
    assert [edit.path for edit in one(CASES[2]).edits] == [
        "/spec/template/spec/containers/main/resources/limits/memory"
    ]


def test_a_limit_that_was_not_there_is_removed_again() -> None:
    """Absence is a value."""
    bare = write(a_template(), "/spec/containers/main/resources", ABSENT)
    snapshot = a_snapshot(a_rollout(before=bare, after=a_template()).objects)
    patch = one(Case("deployment.set-resources", CASES[2].params, snapshot))
    (edit,) = patch.edits
    assert (edit.path, isinstance(edit.after, Absent)) == ("/spec/template/spec/containers/main/resources", True)


@pytest.mark.parametrize(
    "more", [{}, {"revision": 1, "resources": {}}, {"container": "ghost", "revision": 1}, {"revision": 9}]
)
def test_resources_come_from_one_source_that_is_there(more: Mapping[str, object]) -> None:
    """A revision or a value, for a container that exists."""
    with pytest.raises(NotApplicable):
        ACTIONS["deployment.set-resources"].run({"deployment": CART, "container": "main", **more}, rolled_out())


# --- scale, restart


@pytest.mark.parametrize("replicas", [0, -1])
def test_nothing_is_scaled_away(replicas: int) -> None:
    """That would be an outage."""
    with pytest.raises(NotApplicable, match="replicas"):
        ACTIONS["deployment.scale"].run({"deployment": CART, "replicas": replicas}, rolled_out())


def test_a_restart_bears_the_snapshots_time() -> None:
    """Actions are pure: the same snapshot, the same stamp."""
    assert one(CASES[5]) == one(CASES[5])
    (edit,) = one(CASES[5]).edits
    assert edit.after == Present(value={RESTARTED_AT: "2026-01-01T12:00:00Z"})


# --- set-selector


@pytest.mark.parametrize(
    ("labels", "selector", "wanted"),
    [
        ({"app": "cart"}, {"app": "typo"}, {"app": "cart"}),
        ({"app": "cart", "tier": "web"}, {"app": "cart", "tier": "front"}, {"app": "cart", "tier": "web"}),
        ({"app": "cart"}, {"app": "cart", "release": "9"}, {"app": "cart"}),
        ({"app": "cart", "tier": "web"}, {"name": "x"}, {"app": "cart", "tier": "web"}),
        ({"app": "cart", "team": "a"}, {"team": "b"}, {"app": "cart", "team": "a"}),
    ],
    ids=["wrong value", "one of two", "one too many", "another key", "too wide alone"],
)
def test_the_selector_keeps_its_keys_where_they_single_the_workload_out(
    labels: dict[str, str], selector: dict[str, str], wanted: Json
) -> None:
    """Else it takes the Deployment's own; never one that means another workload too."""
    cart = a_deployment(template=a_template(labels=labels))
    other = a_deployment("other", template=a_template("other", labels={"app": "other", "team": "a"}))
    case = Case("service.set-selector", CASES[6].params, a_snapshot(cart, other, a_service(selector=selector)))
    patch, service = one(case), case.snapshot.find(SERVICE)
    assert isinstance(service, Object)
    assert patch.apply(service).at("/spec/selector") == wanted


def test_a_workload_that_no_label_singles_out_is_not_selected() -> None:
    """Two Deployments with the same labels: a person must say."""
    twins = [a_deployment(name, template=a_template(labels={"app": "cart"})) for name in ("cart", "cart-canary")]
    with pytest.raises(NotApplicable, match="no selector singles out"):
        ACTIONS["service.set-selector"].run(CASES[6].params, a_snapshot(twins, a_service(selector={"app": "typo"})))


def test_a_port_that_the_service_does_not_have_is_not_set() -> None:
    """It would be made."""
    with pytest.raises(NotApplicable, match="has no port 'grpc'"):
        ACTIONS["service.set-target-port"].run({**CASES[7].params, "port": "grpc"}, served())


def test_the_number_of_a_port_without_a_name_is_not_set() -> None:
    """Once its number is another, nothing leads back to it."""
    snapshot = served()
    (service,) = snapshot.services
    nameless: Json = [{"port": 80, "targetPort": 8080}]
    unnamed = service.object.but(body=write(service.object.body, "/spec/ports", Present(value=nameless)))
    with pytest.raises(NotApplicable, match="no port of the name '80'"):
        ACTIONS["service.set-port"].run({"service": SERVICE, "port": "80", "number": 8080}, a_snapshot(unnamed))


def test_a_number_that_another_port_has_is_not_set() -> None:
    """The API server would refuse it."""
    snapshot = served()
    (service,) = snapshot.services
    two: Json = [{"name": "http", "port": 80}, {"name": "grpc", "port": 8080}]
    both = service.object.but(body=write(service.object.body, "/spec/ports", Present(value=two)))
    with pytest.raises(NotApplicable, match="has port 8080 under another name"):
        ACTIONS["service.set-port"].run({"service": SERVICE, "port": "http", "number": 8080}, a_snapshot(both))


# --- evict-pods


def test_pods_that_a_controller_replaces_elsewhere_are_evicted() -> None:
    """By UID; not a DaemonSet's, not the kubelet's own, not those that nobody would make again, not the finished."""
    replica_set = a_replica_set(a_deployment())
    goes = a_pod("cart-1-a", owner=replica_set)
    stays = [
        owned(a_pod("logs-x"), "DaemonSet"),
        owned(a_pod("static-x"), "Node"),
        a_pod("alone"),
        phase(a_pod("done", owner=replica_set), "Succeeded"),
        a_pod("elsewhere", owner=replica_set, node="node-2"),
    ]
    changes = ACTIONS["node.evict-pods"].run({"node": NODE}, a_snapshot(a_node(), goes, stays))
    assert changes == [Evict(ref=goes.ref, uid=goes.uid, controller="ReplicaSet/shop/cart-1")]


def owned(pod: Object, kind: str) -> Object:
    """The same pod, of such a controller."""
    owner: Json = [{"kind": kind, "name": "owner", "uid": "u", "controller": True}]
    return pod.but(body=write(pod.body, "/metadata/ownerReferences", Present(value=owner)))


def phase(pod: Object, name: str) -> Object:
    """The same pod, in such a phase."""
    return pod.but(body=write(pod.body, "/status/phase", Present(value=name)))


def test_a_node_without_such_pods_needs_no_eviction() -> None:
    """There is nothing to do."""
    with pytest.raises(NotApplicable, match="no pod that a controller would replace"):
        ACTIONS["node.evict-pods"].run({"node": NODE}, a_snapshot(a_node(), a_pod("alone")))
