"""A node that is not ready is one fault: its cause, the root of all that it takes with it, and what it does not do."""

from datetime import timedelta
from typing import Final

import pytest

from services.detector import decide
from services.diagnoser.decide import rank
from shared.analyzers.node_not_ready import node_not_ready
from shared.analyzers.registry import findings
from shared.analyzers.taint_not_tolerated import taint_not_tolerated
from shared.analyzers.topology import Topology
from shared.analyzers.unhealthy import why_unwell
from shared.domain.alert import Alert
from shared.domain.cause import CauseCode
from shared.domain.cluster import Kind, Object, Ref
from shared.domain.frozen import Json
from shared.domain.ids import IncidentId
from shared.domain.incident import Incident, State
from shared.domain.path import Present, write
from shared.domain.snapshot import Snapshot
from shared.testing.builders import (
    T0,
    a_cause,
    a_deployment,
    a_node,
    a_pod,
    a_ref,
    a_replica_set,
    a_rollout,
    a_service,
    a_snapshot,
    a_template,
    an_alert,
    an_endpoint_slice,
    an_incident,
)

LOST: Final = a_ref("lost", Kind.NODE)
SILENT: Final = ("Unknown", "NodeStatusUnknown", "Kubelet stopped posting node status.")
BROKEN: Final = ("False", "KubeletNotReady", "container runtime is down")
UNREACHABLE: Final[Json] = {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}


def with_field(seen: Object, path: str, value: Json) -> Object:
    """The same object, with one value set."""
    return seen.but(body=write(seen.body, path, Present(value=value)))


def a_lost_node(word: tuple[str, str, str] = SILENT) -> Object:
    """A node that is not ready, with the taint that the control plane gives it."""
    status, reason, message = word
    said: Json = {
        "type": "Ready",
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": (T0 - timedelta(seconds=30)).isoformat(),
    }
    return with_field(with_field(a_node("lost"), "/status/conditions", [said]), "/spec/taints", [UNREACHABLE])


NODES: Final = (a_lost_node(), a_node("well"))


def on_both(name: str, *addresses: str, elsewhere: str = "", **fields: bool) -> list[Object]:
    """A workload with a pod on each node, which calls these addresses; `elsewhere` is what its pod waits for there."""
    env = {f"A{index}": address for index, address in enumerate(addresses)}
    ready = 0 if elsewhere or fields else 1
    deployment = a_deployment(name, replicas=2, ready=ready, template=a_template(name, env=env))
    current = a_replica_set(deployment)
    there = a_pod(f"{name}-1-0", owner=current, node="lost", ready=False)
    here = a_pod(f"{name}-1-1", owner=current, node="well", ready=ready == 1, waiting=elsewhere)
    return [deployment, current, there, here, a_service(name), an_endpoint_slice(name, ready=ready, unready=2 - ready)]


def on_one(node: str, name: str, *addresses: str) -> list[Object]:
    """A workload whose only pod is on this node, and well if that is."""
    ready = int(node == "well")
    env = {f"A{index}": address for index, address in enumerate(addresses)}
    deployment = a_deployment(name, replicas=1, ready=ready, template=a_template(name, env=env))
    current = a_replica_set(deployment)
    pod = a_pod(f"{name}-1-0", owner=current, node=node, ready=bool(ready))
    return [deployment, current, pod, a_service(name), an_endpoint_slice(name, ready=ready, unready=1 - ready)]


def evicted(name: str, *, placed: bool, why: str = "") -> list[Object]:
    """A workload five minutes later: its pod there is to end and never does, and one took its place, or finds none."""
    deployment = a_deployment(name, replicas=1, ready=int(placed))
    current = a_replica_set(deployment)
    old = with_field(
        a_pod(f"{name}-1-0", owner=current, node="lost", ready=False), "/metadata/deletionTimestamp", T0.isoformat()
    )
    new = a_pod(f"{name}-1-1", owner=current, node="well" if placed else "", ready=placed)
    if not placed:
        said: Json = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": why}
        new = with_field(with_field(new, "/status/conditions", [said]), "/status/containerStatuses", [])
    return [deployment, current, old, new, a_service(name), an_endpoint_slice(name, ready=int(placed))]


def shop() -> Snapshot:
    """`edge` calls `cart`, which calls `store`; only `edge` has no pod on the node that is lost."""
    return a_snapshot(NODES, on_one("well", "edge", "cart:80"), on_both("cart", "store:80"), on_both("store"))


def the_first_cause(snapshot: Snapshot, root: Ref) -> tuple[CauseCode, Ref]:
    """What is named of an incident with this root."""
    incident = an_incident(State.DIAGNOSING).but(root=root, causes=(), transactions=())
    first = rank(findings(snapshot), incident, Topology.of(snapshot))[0]
    return first.code, first.object


def group(snapshot: Snapshot, **labels: str) -> decide.Group:
    """Where an alert with these labels belongs."""
    alert = an_alert()
    named = {key: value for key, value in alert.labels.items() if key != "deployment"} | labels
    return decide.group_of(alert.but(labels=named), Topology.of(snapshot))


# --- its cause


def test_a_node_of_which_nobody_hears_is_named_with_what_it_says_and_what_is_on_it() -> None:
    """Evidence is the word on it and on its pods; nothing is to be done that could make two of what must be one."""
    (found,) = node_not_ready(shop())
    assert (found.code, found.object, found.remedy) == (CauseCode.NODE_NOT_READY, LOST, {})
    assert [each.pointer for each in found.evidence] == [
        "Node/lost#/status/conditions/Ready",
        "Pod/shop/cart-1-0#/status/conditions/Ready",
        "Pod/shop/store-1-0#/status/conditions/Ready",
    ]
    assert found.evidence[0].value == "status Unknown since 11:59:30 UTC, " + ": ".join(SILENT[1:])
    assert "2 pods are on it, and Deployment/shop/cart, Deployment/shop/store count on some of them" in found.summary
    assert "before anybody evicts them" in found.summary


def test_a_kubelet_that_speaks_says_why_itself() -> None:
    """Its pods can be evicted: somebody is there to end them."""
    (found,) = node_not_ready(a_snapshot(a_lost_node(BROKEN)))
    assert "its kubelet says why" in found.summary
    assert "container runtime is down" in found.evidence[0].value


def test_a_node_that_is_ready_or_of_which_nobody_spoke_yet_is_not_lost() -> None:
    """A new one has no condition for a moment."""
    new = with_field(a_node("new"), "/status/conditions", [])
    assert not list(node_not_ready(a_snapshot(a_node("well"), new, on_both("cart"))))


# --- the root of all that it takes with it


@pytest.mark.parametrize(
    "labels",
    [
        {"node": "lost"},
        {"instance": "lost", "node": "lost", "job": "containers"},
        {"pod": "cart-1-0", "node": "lost"},
        {"pod": "cart-1-0"},
        {"deployment": "cart"},
        {"service": "store"},
        {"endpoint": "store", "service": "store"},
        {"service": "edge", "route": "/checkout"},
    ],
    ids=str,
)
def test_all_that_it_takes_with_it_is_one_group(labels: dict[str, str]) -> None:
    """Its own alert, its targets', its pods', its workloads', their Services', and those of who calls them."""
    assert group(shop(), **labels).root == LOST


@pytest.mark.parametrize("root", [LOST, a_ref("cart"), a_ref("edge"), a_ref("store", Kind.SERVICE)], ids=str)
def test_it_is_the_cause_whatever_the_incident_was_opened_about(root: Ref) -> None:
    """Alerts may have come before the node was known to be lost."""
    assert the_first_cause(shop(), root) == (CauseCode.NODE_NOT_READY, LOST)


def test_as_long_as_it_is_lost_its_incident_is_not_over() -> None:
    """Though no alert fires any more."""
    snapshot = shop()
    said = why_unwell(LOST, Topology.of(snapshot).unwell, snapshot)
    assert said == "Node/lost: it is not ready: NodeStatusUnknown: Kubelet stopped posting node status."


def test_what_only_follows_from_it_is_not_acted_upon() -> None:
    """A rollout of a moment before is no cause then, nor is it one to go back on."""
    rollout = a_rollout("cart", replicas=2, ready=1)
    here, there = (*rollout.pods(1, node="well"), *rollout.pods(2, node="lost", ready=False)[1:])
    snapshot = a_snapshot(NODES, rollout.objects, here, there, a_service(), an_endpoint_slice(ready=1, unready=1))
    assert CauseCode.RECENT_ROLLOUT in {found.code for found in findings(snapshot)}
    incident = an_incident(State.DIAGNOSING).but(root=a_ref("cart"), causes=(), transactions=())
    causes = rank(findings(snapshot), incident, Topology.of(snapshot))
    assert [cause.code for cause in causes] == [CauseCode.NODE_NOT_READY]


# --- what is not its doing


@pytest.mark.parametrize("reason", ["ImagePullBackOff", "CreateContainerConfigError", "CrashLoopBackOff"])
def test_a_workload_whose_pod_elsewhere_has_a_fault_of_its_own_is_another_incident(reason: str) -> None:
    """Though another pod of it is lost; what is about the lost pod itself is about the node."""
    snapshot = a_snapshot(NODES, on_both("cart", elsewhere=reason), on_both("store"))
    assert group(snapshot, deployment="cart").root == a_ref("cart")
    assert group(snapshot, deployment="store").root == LOST
    assert group(snapshot, pod="cart-1-0").root == LOST


def test_an_image_that_cannot_be_pulled_elsewhere_is_the_cause_there() -> None:
    """With a way back, which helps the pods that can be helped."""
    rollout = a_rollout("cart", replicas=2, ready=0)
    (here,) = rollout.pods(1, node="well", ready=False, waiting="ErrImagePull")
    _, there = rollout.pods(2, node="lost", ready=False)
    snapshot = a_snapshot(NODES, rollout.objects, here, there, a_service(), an_endpoint_slice(ready=0, unready=2))
    root = group(snapshot, deployment="cart").root
    assert root == a_ref("cart")
    assert the_first_cause(snapshot, root) == (CauseCode.IMAGE_PULL_FAILED, a_ref("cart"))


def test_what_nothing_elsewhere_makes_is_not_looked_for_at_whom_it_calls() -> None:
    """The image is wrong whether or not the store is lost; that a process ends may be because it is."""
    for reason, root in (("ErrImagePull", a_ref("cart")), ("CrashLoopBackOff", LOST)):
        snapshot = a_snapshot(NODES, on_both("cart", "store:80", elsewhere=reason), on_one("lost", "store"))
        assert group(snapshot, deployment="cart").root == root


def test_a_process_that_hangs_elsewhere_is_not_the_nodes_doing() -> None:
    """It runs, and is not ready, on a node that is well."""
    snapshot = a_snapshot(NODES, on_both("cart", hangs=True))
    assert group(snapshot, deployment="cart").root == a_ref("cart")


# --- five minutes later, when its pods are to end and never do


def test_a_pod_that_finds_no_place_instead_of_one_that_was_evicted_is_the_nodes_doing() -> None:
    """It would be there, were the node ready."""
    why = "1 Insufficient cpu, 1 node(s) had untolerated taint {node.kubernetes.io/unreachable: }"
    snapshot = a_snapshot(NODES, evicted("cart", placed=False, why=why))
    assert group(snapshot, deployment="cart").root == LOST
    assert the_first_cause(snapshot, a_ref("cart")) == (CauseCode.NODE_NOT_READY, LOST)
    (found,) = node_not_ready(snapshot)
    assert found.evidence[1].pointer == "Pod/shop/cart-1-0#/metadata/deletionTimestamp"


def test_a_pod_that_neither_node_would_take_waits_for_something_else() -> None:
    """Its template asks for a label that the lost node has not either."""
    why = "1 node(s) didn't match Pod's node affinity/selector, 1 node(s) had untolerated taint(s)"
    deployment, *others = evicted("cart", placed=False, why=why)
    deployment = with_field(deployment, "/spec/template/spec/nodeSelector", {"disk": "ssd"})
    assert group(a_snapshot(NODES, deployment, others), deployment="cart").root == a_ref("cart")


def test_a_workload_that_has_all_its_pods_elsewhere_again_is_out_of_it() -> None:
    """What then goes wrong there is something else; only what is said of the lost pod is not."""
    snapshot = a_snapshot(NODES, evicted("cart", placed=True))
    assert group(snapshot, deployment="cart").root == a_ref("cart")
    assert group(snapshot, pod="cart-1-0").root == LOST


def test_the_taint_of_a_lost_node_is_not_what_pods_do_not_tolerate() -> None:
    """Beside a node that is not for them, the one that is for them is lost."""
    special = with_field(a_node("special"), "/spec/taints", [{"key": "team", "effect": "NoSchedule"}])
    objects = evicted("cart", placed=False, why="0/2 nodes are available: 2 node(s) had untolerated taint(s).")
    assert list(taint_not_tolerated(a_snapshot(special, objects)))
    assert not list(taint_not_tolerated(a_snapshot(special, a_lost_node(), objects)))


# --- alerts that came before anybody knew that it was lost


def opened(number: int, root: Ref, state: State = State.DIAGNOSING) -> Incident:
    """An incident that was opened about a victim, and of which nothing is known yet."""
    at = T0 + timedelta(seconds=number)
    return an_incident(state).but(id=IncidentId(f"inc-{number}"), root=root, causes=(), transactions=(), opened_at=at)


def now(incident: Incident, first: Alert, snapshot: Snapshot) -> decide.Group:
    """Where it belongs now."""
    return decide.group_now(incident, first, Topology.of(snapshot))


def test_what_was_opened_about_a_victim_goes_into_the_nodes_own_incident() -> None:
    """Though that was opened later."""
    snapshot, victim, own = shop(), opened(1, a_ref("cart")), opened(2, LOST)
    group = now(victim, an_alert(), snapshot)
    home = decide.home_of(group, T0, Topology.of(snapshot), [own])
    assert home is not None
    assert home.incident == own.id
    assert decide.keeps(own, victim, Topology.of(snapshot))
    assert not decide.keeps(victim, own, Topology.of(snapshot))


@pytest.mark.parametrize("state", [State.DIAGNOSING, State.ESCALATED])
def test_where_the_node_has_none_its_oldest_victims_stands_for_all(state: State) -> None:
    """Nobody named a cause of it yet: then one page is enough."""
    snapshot, topology = shop(), Topology.of(shop())
    first, second = opened(1, a_ref("cart"), state), opened(2, a_ref("store"), state)
    home = decide.twin_of(now(second, an_alert(), snapshot), T0, topology, [first])
    assert home is not None
    assert home.incident == first.id
    assert decide.keeps(first, second, topology)
    assert not decide.keeps(second, first, topology)


VICTIM: Final = opened(1, a_ref("cart"))
WELL: Final = a_snapshot(a_node("well"), on_one("well", "cart"), on_one("well", "store"))


@pytest.mark.parametrize(
    ("other", "snapshot"),
    [
        pytest.param(VICTIM.but(causes=(a_cause(),)), shop(), id="its cause is known"),
        pytest.param(VICTIM.but(taken_by="ada"), shop(), id="somebody took it over"),
        pytest.param(VICTIM.but(root=a_ref("other")), shop(), id="something else explains it"),
        pytest.param(VICTIM, WELL, id="nothing explains them any more"),
    ],
)
def test_what_is_known_taken_or_of_another_root_takes_no_others_in(other: Incident, snapshot: Snapshot) -> None:
    """It is about itself."""
    group = now(opened(2, a_ref("store")), an_alert(deployment="store"), snapshot)
    assert decide.twin_of(group, T0, Topology.of(snapshot), [other]) is None
