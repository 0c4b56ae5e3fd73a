"""The port Cluster, held by the real client over HTTP: reads, fenced writes, and what each refusal is called."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest

from shared.analyzers.dialled import ports_written
from shared.analyzers.written import last_written
from shared.domain.change import Edit, Evict, Patch, replace
from shared.domain.cluster import MARK, Kind, Object, Ref
from shared.domain.errors import ChangeConflict, ObjectMissing, ObjectMoved, WriteRefused
from shared.domain.frozen import Json
from shared.domain.path import ABSENT, Present, read
from shared.ports.cluster import Cluster
from tests.contract.place import Place

MARKED = "txn-abc.17"
LATER = "txn-abc.18"


@pytest.fixture
def cluster(place: Place) -> Cluster:
    """The port under contract."""
    return place.cluster


@pytest.fixture
def deployment(place: Place) -> Ref:
    """A Deployment; its one container is called `app`."""
    return place.ref(Kind.DEPLOYMENT, place.workload)


@pytest.fixture
def service(place: Place) -> Ref:
    """A Service; nobody but the tests writes to it."""
    return place.ref(Kind.SERVICE, place.workload)


def patching(seen: Object, *changes: tuple[str, Json]) -> Patch:
    """Make a patch that puts these values at these paths, from what stands there now."""
    edits = [replace(seen, path, value) for path, value in changes]
    return Patch(ref=seen.ref, edits=tuple(edit for edit in edits if edit is not None))


async def written(cluster: Cluster, patch: Patch, mark: str) -> Object:
    """Write as the services do: controllers move an object at any time, then it is read again."""
    for _ in range(20):
        try:
            return await cluster.write(patch, await cluster.read(patch.ref), mark)
        except ObjectMoved:
            continue
    raise AssertionError(f"{patch.ref} never held still")


# --- reading


async def test_a_snapshot_holds_every_object_that_diagnosis_looks_at(cluster: Cluster, place: Place) -> None:
    """Cluster-wide, each kind whole, and it says in words how much of what it read."""
    snapshot = await cluster.snapshot()
    kinds = (Kind.DEPLOYMENT, Kind.REPLICA_SET, Kind.POD, Kind.SERVICE, Kind.ENDPOINT_SLICE, Kind.NODE)
    for kind in (*kinds, Kind.NETWORK_POLICY, Kind.VALIDATING_WEBHOOKS, Kind.MUTATING_WEBHOOKS):
        found = {(seen.ref.namespace, seen.ref.name) for seen in snapshot.objects if seen.ref.kind is kind}
        stored = {
            (o["metadata"].get("namespace", ""), o["metadata"]["name"]) for o in await place.operator.list(str(kind))
        }
        assert found == stored
    assert f"{len(snapshot.pods)} Pods in all namespaces" in snapshot.looked_at
    assert f"{len(snapshot.nodes)} Nodes" in snapshot.looked_at
    assert (snapshot.traffic, snapshot.usage) == ({}, {})


async def test_a_snapshot_of_namespaces_holds_those_and_the_nodes(cluster: Cluster, place: Place) -> None:
    """The scope is what was asked for; nodes belong to no namespace and are always looked at."""
    snapshot = await cluster.snapshot({place.other_namespace})
    assert {seen.ref.namespace for seen in snapshot.objects} == {place.other_namespace, ""}
    assert {seen.metadata.name for seen in snapshot.deployments} == {place.other}
    assert len(snapshot.nodes) == len(await place.operator.list("Node"))


async def test_a_list_longer_than_a_page_is_read_whole(cluster: Cluster, place: Place) -> None:
    """501 events come in two pages, each event once."""
    namespace = place.other_namespace
    about = {"kind": "Service", "namespace": namespace, "name": place.other}
    for start in range(0, 501, 10):
        names = [f"e{number:04}" for number in range(start, min(start + 10, 501))]
        metas = [{"name": name, "namespace": namespace} for name in names]
        events = [{"metadata": meta, "reason": "Tested", "involvedObject": about} for meta in metas]
        await asyncio.gather(*(place.operator.create("Event", event) for event in events))
    snapshot = await cluster.snapshot({namespace})
    names = [event.metadata.name for event in snapshot.events if event.reason == "Tested"]
    assert sorted(names) == [f"e{number:04}" for number in range(501)]


async def test_an_object_reads_the_same_alone_and_in_a_snapshot(cluster: Cluster, service: Ref) -> None:
    """List items carry neither kind nor apiVersion; the adapter gives them theirs."""
    alone = await cluster.read(service)
    assert alone == (await cluster.snapshot()).find(service)
    assert (alone.at("/kind"), alone.at("/apiVersion")) == ("Service", "v1")


async def test_a_snapshot_says_who_wrote_a_service_and_a_rollout_last(
    cluster: Cluster, service: Ref, deployment: Ref, place: Place
) -> None:
    """And when, by the fields; of pods, which are most, it leaves that out."""
    ports: Json = [{"name": "http", "port": 8081, "targetPort": 8080}]
    await place.edit(service, spec={"ports": ports})
    snapshot = await cluster.snapshot({service.namespace})
    seen = snapshot.service(service)
    assert seen is not None
    written = ports_written(seen)
    assert written is not None
    assert abs(snapshot.taken_at - written.at) < timedelta(minutes=10)
    rolled_out = snapshot.deployment(deployment)
    assert rolled_out is not None
    assert rolled_out.object.at("/metadata/managedFields")
    assert not any(pod.object.at("/metadata/managedFields") for pod in snapshot.pods)


async def test_policies_are_read_with_who_wrote_them(cluster: Cluster, place: Place) -> None:
    """Where there is a network that they could be about."""
    if "create" not in (await place.operator.kinds())["NetworkPolicy"].verbs:
        pytest.skip("nothing here would act on one")
    meta = {"name": "closed", "namespace": place.other_namespace}
    spec = {"podSelector": {"matchLabels": {"app": "nobodys"}}, "policyTypes": ["Ingress"]}
    await place.operator.create("NetworkPolicy", {"metadata": meta, "spec": spec})
    snapshot = await cluster.snapshot({place.other_namespace})
    (seen,) = snapshot.network_policies
    assert (seen.metadata.name, seen.spec.directions, seen.spec.ingress) == ("closed", frozenset({"Ingress"}), None)
    written = last_written(seen, "f:spec")
    assert written is not None
    assert written.lately(snapshot)
    assert f"1 NetworkPolicies in {place.other_namespace}" in snapshot.looked_at


async def test_what_is_not_there_is_missing(cluster: Cluster, place: Place) -> None:
    """A read of an object that does not exist names it."""
    with pytest.raises(ObjectMissing, match="nobody"):
        await cluster.read(place.ref(Kind.DEPLOYMENT, "nobody"))


# --- writing


async def test_a_dry_run_answers_what_the_server_would_store_and_stores_nothing(
    cluster: Cluster, deployment: Ref
) -> None:
    """`0.25` cores come back as `250m`: the post-image is the server's word, not ours."""
    before = await cluster.read(deployment)
    patch = patching(before, ("/spec/template/spec/containers/app/resources/limits/cpu", "0.25"))
    post_image = await cluster.dry_run(patch, before, MARKED)
    assert post_image.at("/spec/template/spec/containers/app/resources/limits/cpu") == "250m"
    assert post_image.at("/metadata/labels/primum.dev~1transaction") == MARKED
    assert await cluster.read(deployment) == before


async def test_a_write_stores_the_values_and_the_mark_and_answers_the_new_version(
    cluster: Cluster, deployment: Ref, place: Place
) -> None:
    """What is stored is what the dry run said, under our manager's name."""
    before = await cluster.read(deployment)
    patch = patching(before, ("/spec/template/spec/containers/app/image", place.next_image))
    expected = await cluster.dry_run(patch, before, MARKED)
    after = await cluster.write(patch, before, MARKED)
    assert after.at("/spec") == expected.at("/spec")
    assert after.resource_version != before.resource_version
    stored = await place.find(deployment)
    assert stored is not None
    assert stored["spec"] == after.body["spec"]
    assert stored["metadata"]["labels"][MARK] == MARKED
    assert "primum-mitigator" in {entry["manager"] for entry in stored["metadata"]["managedFields"]}


async def test_an_object_without_any_label_gets_the_mark(cluster: Cluster, place: Place) -> None:
    """`metadata.labels` may be absent altogether."""
    body = {"metadata": {"name": "bare", "namespace": place.namespace}, "spec": {"ports": [{"port": 80}]}}
    await place.operator.create("Service", body)
    bare = await cluster.read(place.ref(Kind.SERVICE, "bare"))
    assert bare.at("/metadata/labels") is None
    after = await cluster.write(patching(bare, ("/spec/selector", {"app": "x"})), bare, MARKED)
    assert after.at("/metadata/labels") == {MARK: MARKED}


@pytest.mark.parametrize("rehearsal", [True, False], ids=["dry-run", "write"])
async def test_an_object_that_moved_is_not_written(
    cluster: Cluster, deployment: Ref, place: Place, *, rehearsal: bool
) -> None:
    """Any other write since our read is a conflict, also one to a field that the patch does not touch."""
    before = await cluster.read(deployment)
    patch = patching(before, ("/spec/replicas", 5))
    await place.edit(deployment, metadata={"annotations": {"note": "hello"}})
    with pytest.raises(ObjectMoved, match=deployment.name):
        await (cluster.dry_run if rehearsal else cluster.write)(patch, before, MARKED)
    assert (await cluster.read(deployment)).at("/spec/replicas") == before.at("/spec/replicas")


async def test_a_value_that_somebody_else_changed_is_a_change_conflict_with_both_values(
    cluster: Cluster, service: Ref, place: Place
) -> None:
    """The failed `test` looks like any 422: the adapter reads again and says which value it was."""
    before = await cluster.read(service)
    patch = patching(before, ("/spec/selector/app", "ours"))
    await place.edit(service, spec={"selector": {"app": "theirs"}})
    with pytest.raises(ChangeConflict) as raised:
        await cluster.write(patch, before, MARKED)
    assert (raised.value.path, raised.value.found) == ("/spec/selector/app", "theirs")
    assert raised.value.expected == before.at("/spec/selector/app")


async def test_a_patch_made_for_another_value_than_the_one_seen_is_a_change_conflict(
    cluster: Cluster, service: Ref
) -> None:
    """Not even asked of the server."""
    seen = await cluster.read(service)
    edit = Edit(path="/spec/selector/app", before=Present(value="never"), after=Present(value="ours"))
    with pytest.raises(ChangeConflict):
        await cluster.write(Patch(ref=service, edits=(edit,)), seen, MARKED)


async def test_a_list_element_that_went_is_a_change_conflict(cluster: Cluster, service: Ref, place: Place) -> None:
    """Lists are addressed by name: with another port in its place, nothing is written."""
    before = await cluster.read(service)
    patch = patching(before, ("/spec/ports/http/targetPort", 9999))
    await place.edit(service, spec={"ports": [{"name": "other", "port": 8080, "targetPort": 8080}]})
    with pytest.raises(ChangeConflict, match="/spec/ports/http/targetPort"):
        await cluster.write(patch, before, MARKED)
    assert (await cluster.read(service)).at("/spec/ports/other/targetPort") == 8080


async def test_a_list_element_whose_index_moved_is_a_moved_object(cluster: Cluster, service: Ref, place: Place) -> None:
    """Another port before ours: its value is as it was, so reading again is all that is needed."""
    before = await cluster.read(service)
    patch = patching(before, ("/spec/ports/http/targetPort", 9999))
    ports: list[Json] = [
        {"name": "first", "port": 81, "targetPort": 81},
        {"name": "http", "port": 8080, "targetPort": 8080},
    ]
    await place.edit(service, spec={"ports": ports})
    with pytest.raises(ObjectMoved):
        await cluster.write(patch, before, MARKED)
    after = await written(cluster, patch, MARKED)
    assert (after.at("/spec/ports/first/targetPort"), after.at("/spec/ports/http/targetPort")) == (81, 9999)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("/spec/replicas", -1),
        ("/spec/template/spec/containers/app/resources/requests/cpu", "64"),
    ],
    ids=["invalid", "against-another-field"],
)
async def test_what_the_server_refuses_for_good_is_refused(
    cluster: Cluster, deployment: Ref, path: str, value: Json
) -> None:
    """Nothing moved and every value was as expected: so it is the value itself that cannot be."""
    seen = await cluster.read(deployment)
    with pytest.raises(WriteRefused, match=deployment.name):
        await cluster.write(patching(seen, (path, value)), seen, MARKED)
    assert await cluster.read(deployment) == seen


async def test_an_unknown_object_cannot_be_written(cluster: Cluster, deployment: Ref, place: Place) -> None:
    """Deleted since our read: missing."""
    seen = await cluster.read(deployment)
    await place.operator.delete("Deployment", deployment.namespace, deployment.name)
    with pytest.raises(ObjectMissing):
        await cluster.write(patching(seen, ("/spec/replicas", 9)), seen, MARKED)


# --- there and back


def _template(path: str) -> str:
    return f"/spec/template/spec/{path}"


ROUND_TRIPS: dict[str, Callable[[Object], Patch]] = {
    "replace": lambda seen: patching(seen, (_template("containers/app/resources/limits/memory"), "512Mi")),
    "add-a-field": lambda seen: patching(seen, (_template("nodeSelector"), {"disk": "ssd"})),
    "add-below-a-missing-parent": lambda seen: patching(
        seen, ("/spec/template/metadata/annotations/kubectl.kubernetes.io~1restartedAt", "now")
    ),
    "remove-a-field": lambda seen: Patch(
        ref=seen.ref,
        edits=(
            Edit(
                path=_template("containers/app/readinessProbe"),
                before=Present(value=seen.at(_template("containers/app/readinessProbe"))),
                after=ABSENT,
            ),
        ),
    ),
    "several-at-once": lambda seen: patching(
        seen,
        ("/spec/replicas", 1),
        (_template("containers/app/image"), "registry.example/other:1"),
        (_template("terminationGracePeriodSeconds"), 5),
        (_template("hostNetwork"), True),
    ),
}


@pytest.mark.parametrize("name", ROUND_TRIPS)
async def test_a_patch_and_then_its_inverse_leave_the_spec_as_it_was(
    cluster: Cluster, deployment: Ref, place: Place, name: str
) -> None:
    """Derived undo through the server: replaced, added and removed values all come back, whatever rolls meanwhile."""
    before = await cluster.read(deployment)
    patch = ROUND_TRIPS[name](before)
    changed = await written(cluster, patch, MARKED)
    assert changed.at("/spec") != before.at("/spec")
    generation = changed.at("/metadata/generation")

    async def observed() -> bool:
        return (await cluster.read(deployment)).at("/status/observedGeneration") == generation

    await place.until(observed)
    restored = await written(cluster, patch.inverse(), LATER)
    assert restored.at("/spec") == before.at("/spec")


async def test_a_cordon_and_its_inverse_leave_the_node_as_it_was(cluster: Cluster) -> None:
    """`unschedulable` of a node that was never cordoned is absent, and is absent again afterwards."""
    (node, *_) = (await cluster.snapshot(())).nodes
    patch = patching(node.object, ("/spec/unschedulable", True))
    cordoned = await written(cluster, patch, MARKED)
    assert cordoned.at("/spec/unschedulable") is True
    restored = await written(cluster, patch.inverse(), LATER)
    assert read(restored.body, "/spec/unschedulable") == ABSENT


# --- the fence


async def test_a_mark_fences_off_every_write_that_was_read_before_it(cluster: Cluster, service: Ref) -> None:
    """Takeover: a mitigator that wakes up late, with the version it once read, gets 409 and changes nothing."""
    seen = await cluster.read(service)
    patch = patching(seen, ("/spec/selector/app", "late"))
    marked = await cluster.mark(seen, LATER)
    assert marked.at("/metadata/labels/primum.dev~1transaction") == LATER
    assert marked.at("/spec") == seen.at("/spec")
    with pytest.raises(ObjectMoved):
        await cluster.write(patch, seen, MARKED)


async def test_the_same_mark_again_bumps_the_version_again(cluster: Cluster, service: Ref) -> None:
    """A label that already stands there is no change to the server; the fence must go up nevertheless."""
    once = await cluster.mark(await cluster.read(service), LATER)
    twice = await cluster.mark(once, LATER)
    assert twice.resource_version != once.resource_version
    assert twice.at("/metadata/labels") == once.at("/metadata/labels")


async def test_a_mark_on_a_moved_object_is_refused(cluster: Cluster, service: Ref, place: Place) -> None:
    """The fence itself is conditional: what was seen must be what is fenced."""
    seen = await cluster.read(service)
    await place.edit(service, metadata={"annotations": {"note": "hello"}})
    with pytest.raises(ObjectMoved):
        await cluster.mark(seen, LATER)


async def test_a_mark_on_an_object_that_lost_its_labels_is_refused_as_moved(
    cluster: Cluster, service: Ref, place: Place
) -> None:
    """The server says 422, for the label has no parent any more: what is meant is that it moved."""
    seen = await cluster.read(service)
    await place.edit(service, metadata={"labels": None})
    with pytest.raises(ObjectMoved):
        await cluster.mark(seen, LATER)
    marked = await cluster.mark(await cluster.read(service), LATER)
    assert marked.at("/metadata/labels") == {MARK: LATER}


# --- evictions


async def a_pod_of(cluster: Cluster, place: Place) -> Object:
    """One ready pod of the shop."""
    snapshot = await cluster.snapshot({place.namespace})
    return next(pod.object for pod in snapshot.pods if pod.ready)


def evicting(pod: Object, uid: str | None = None) -> Evict:
    """An eviction of that pod."""
    return Evict(ref=pod.ref, uid=uid or pod.uid, controller="its ReplicaSet")


async def test_an_evicted_pod_goes(cluster: Cluster, place: Place) -> None:
    """It is on its way out when the call returns."""
    pod = await a_pod_of(cluster, place)
    await cluster.evict(evicting(pod))
    left = await place.find(pod.ref)
    assert left is None or "deletionTimestamp" in left["metadata"]


async def test_a_pod_of_another_uid_is_left_alone(cluster: Cluster, place: Place) -> None:
    """The pod that was meant has been replaced already: nothing to do, and nothing done."""
    pod = await a_pod_of(cluster, place)
    await cluster.evict(evicting(pod, uid="00000000-0000-4000-8000-000000000000"))
    left = await place.find(pod.ref)
    assert left is not None
    assert "deletionTimestamp" not in left["metadata"]


async def test_a_pod_that_is_gone_is_fine(cluster: Cluster, place: Place) -> None:
    """Evicting twice is evicting once."""
    gone = await a_pod_of(cluster, place)
    missing = gone.but(ref=gone.ref.but(name="gone"))
    await cluster.evict(evicting(missing))


async def test_a_disruption_budget_refuses_an_eviction(cluster: Cluster, place: Place) -> None:
    """429 with the budget's word is a refusal, not an overloaded server."""
    pod = await a_pod_of(cluster, place)
    labels = pod.at("/metadata/labels")
    budget = {
        "metadata": {"name": "all-of-them", "namespace": pod.ref.namespace},
        "spec": {"maxUnavailable": 0, "selector": {"matchLabels": labels}},
    }
    await place.operator.create("PodDisruptionBudget", budget)
    with pytest.raises(WriteRefused, match="disruption budget"):
        await cluster.evict(evicting(pod))
    left = await place.find(pod.ref)
    assert left is not None
    assert "deletionTimestamp" not in left["metadata"]
