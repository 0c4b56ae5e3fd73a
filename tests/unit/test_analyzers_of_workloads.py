"""What is wrong with a Deployment: each analyzer sees its fault, and does not see it where it nearly is."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest

from services.diagnoser.decide import rank
from shared.analyzers.cpu_limit_too_low import cpu_limit_too_low
from shared.analyzers.cpu_saturated import cpu_saturated
from shared.analyzers.crash_loop import crash_loop
from shared.analyzers.image_pull_failed import image_pull_failed
from shared.analyzers.memory_limit_too_low import memory_limit_too_low
from shared.analyzers.memory_use_grown import memory_use_grown
from shared.analyzers.port_conflict import port_conflict
from shared.analyzers.recent_rollout import recent_rollout
from shared.analyzers.registry import findings
from shared.analyzers.rollout_stuck import rollout_stuck
from shared.analyzers.scaled_too_low import scaled_too_low
from shared.analyzers.topology import Topology
from shared.analyzers.unhealthy_process import unhealthy_process
from shared.domain.cause import CauseCode, Finding
from shared.domain.cluster import MARK, RESTARTED_AT, Kind, Object
from shared.domain.frozen import Json, JsonObject
from shared.domain.health import Traffic
from shared.domain.ids import IncidentId
from shared.domain.incident import Incident
from shared.domain.path import Present, write
from shared.domain.snapshot import Snapshot, Usage
from shared.testing.builders import (
    CLUSTER,
    T0,
    Rollout,
    a_deployment,
    a_kubernetes_event,
    a_node,
    a_pod,
    a_ref,
    a_replica_set,
    a_rollout,
    a_service,
    a_snapshot,
    a_template,
    a_workload,
)

LONG_AGO = T0 - timedelta(days=1)


def only(found: Iterable[Finding]) -> Finding:
    """The one finding."""
    (finding,) = found
    return finding


def with_field(seen: Object, path: str, value: Json) -> Object:
    """The same object, with one value set."""
    return seen.but(body=write(seen.body, path, Present(value=value)))


# --- image-pull-failed


@pytest.mark.parametrize("reason", ["ErrImagePull", "ImagePullBackOff", "InvalidImageName"])
def test_an_image_that_cannot_be_pulled(reason: str) -> None:
    """Evidence is the waiting pod and the image's path; the remedy is the revision before."""
    rollout = a_rollout()
    pods = rollout.pods(1, ready=False, waiting=reason, waiting_message="manifest unknown")
    found = only(image_pull_failed(a_snapshot(rollout.objects, pods)))
    assert (found.code, found.object, found.remedy) == (
        CauseCode.IMAGE_PULL_FAILED,
        rollout.deployment.ref,
        {"revision": 1},
    )
    assert [(each.pointer, each.value) for each in found.evidence] == [
        ("Pod/shop/cart-2-a#/status/containerStatuses/main/state/waiting", f"{reason}: manifest unknown"),
        ("Deployment/shop/cart#/spec/template/spec/containers/main/image", "registry.example/cart:2"),
    ]
    assert found.confidence > 0.9


def test_an_init_containers_image_counts_too() -> None:
    """The pod waits for it just the same."""
    rollout = a_rollout()
    (pod,) = rollout.pods(1, ready=False)
    status: Json = [{"name": "setup", "state": {"waiting": {"reason": "ErrImagePull", "message": "no"}}}]
    pod = with_field(pod, "/status/initContainerStatuses", status)
    found = only(image_pull_failed(a_snapshot(rollout.objects, pod)))
    assert found.evidence[-1].pointer.endswith("#/spec/template/spec/initContainers/setup/image")


def test_the_way_back_is_a_revision_that_is_known_to_run() -> None:
    """Not the newest older one, if that never ran either."""
    deployment = a_deployment(template=a_template(image="registry.example/cart:broken-again"))
    good = a_replica_set(deployment, revision=1, template=a_template(image="registry.example/cart:1"))
    broken = a_replica_set(deployment, revision=2, template=a_template(image="registry.example/cart:broken"))
    current = a_replica_set(deployment, revision=3)
    pods = [
        a_pod("cart-1-a", owner=good),
        a_pod("cart-3-a", owner=current, ready=False, waiting="ErrImagePull"),
    ]
    assert only(image_pull_failed(a_snapshot(deployment, good, broken, current, pods))).remedy == {"revision": 1}


def test_an_image_that_other_pods_could_pull_is_not_to_blame() -> None:
    """A node or the registry is: the confidence is below what is acted upon unasked."""
    rollout = a_rollout()
    pods = (a_pod("cart-2-z", owner=rollout.current), *rollout.pods(1, ready=False, waiting="ErrImagePull"))
    assert only(image_pull_failed(a_snapshot(rollout.objects, pods))).confidence < 0.5


@pytest.mark.parametrize("reason", ["ContainerCreating", "PodInitializing", "CrashLoopBackOff"])
def test_other_reasons_to_wait_are_no_image_trouble(reason: str) -> None:
    """Those pass by themselves, or are another cause."""
    rollout = a_rollout()
    assert not list(image_pull_failed(a_snapshot(rollout.objects, rollout.pods(1, ready=False, waiting=reason))))


def test_a_pod_of_an_older_revision_that_cannot_pull_is_past() -> None:
    """The template has moved on; so it is with one on its way out."""
    rollout = a_rollout()
    old = rollout.pods(1, of_earlier=True, ready=False, waiting="ErrImagePull")
    (pod,) = rollout.pods(1, ready=False, waiting="ErrImagePull")
    ending = with_field(pod, "/metadata/deletionTimestamp", T0.isoformat())
    assert not list(image_pull_failed(a_snapshot(rollout.objects, old, ending)))


# --- memory-limit-too-low


def a_lowered_limit(**pod: Any) -> tuple[Rollout, tuple[Object, ...]]:
    """A Deployment whose memory limit was halved, and its pods."""
    rollout = a_rollout(before=a_template(memory_limit="128Mi"), after=a_template(memory_limit="64Mi"))
    return rollout, rollout.pods(2, **pod)


def test_a_limit_that_the_process_does_not_fit_into() -> None:
    """The kill, the limit now and the limit of the last revision that ran are the evidence; that one is the remedy."""
    rollout, pods = a_lowered_limit(ready=False, restarts=3, waiting="CrashLoopBackOff", last_terminated="OOMKilled")
    found = only(memory_limit_too_low(a_snapshot(rollout.objects, pods)))
    assert (found.code, found.remedy) == (CauseCode.MEMORY_LIMIT_TOO_LOW, {"container": "main", "revision": 1})
    values = {each.pointer: each.value for each in found.evidence}
    path = "#/spec/template/spec/containers/main/resources/limits/memory"
    assert values[f"Deployment/shop/cart{path}"] == "64Mi"
    assert values[f"ReplicaSet/shop/cart-1{path}"] == "128Mi"
    assert "OOMKilled, exit code 137, 3 restarts" in values.values()


def test_a_container_that_was_just_killed_counts_before_it_loops() -> None:
    """It may even be ready again; it was killed a moment ago."""
    rollout, pods = a_lowered_limit(restarts=1, last_terminated="OOMKilled")
    assert only(memory_limit_too_low(a_snapshot(rollout.objects, pods))).confidence > 0.9


def test_a_kill_long_ago_is_history() -> None:
    """The pod has been well since."""
    rollout, pods = a_lowered_limit(restarts=1, last_terminated="OOMKilled")
    assert not list(memory_limit_too_low(a_snapshot(rollout.objects, pods, at=T0 + timedelta(hours=1))))


def test_137_alone_is_any_sigkill() -> None:
    """An event that speaks of memory decides."""
    rollout = a_rollout()
    pods = rollout.pods(2, ready=False, restarts=3, waiting="CrashLoopBackOff", last_terminated="Error")
    assert not list(memory_limit_too_low(a_snapshot(rollout.objects, pods)))
    said = a_kubernetes_event(pods[0].ref, "OOMKilling", "Memory cgroup out of memory: Killed process 7 (app)")
    assert list(memory_limit_too_low(a_snapshot(rollout.objects, pods, said)))


def test_a_kill_after_the_limit_was_lowered_is_one_for_memory_though_nobody_says_so() -> None:
    """Seen on a real node: of two pods killed alike one says OOMKilled, the other Error, and no event says more."""
    rollout, pods = a_lowered_limit(ready=False, restarts=3, waiting="CrashLoopBackOff", last_terminated="Error")
    found = only(memory_limit_too_low(a_snapshot(rollout.objects, pods)))
    assert (found.remedy, found.confidence) == ({"container": "main", "revision": 1}, 0.8)


def test_a_probe_that_kills_explains_a_kill() -> None:
    """Whatever the limit was."""
    rollout, (pod, _) = a_lowered_limit(ready=False, restarts=3, waiting="CrashLoopBackOff", last_terminated="Error")
    said = a_kubernetes_event(pod.ref, "Unhealthy", "Liveness probe failed: connection refused")
    assert not list(memory_limit_too_low(a_snapshot(rollout.objects, pod, said)))


def test_a_limit_that_was_never_higher_has_no_remedy() -> None:
    """It is found and told; how much would be enough nobody knows."""
    rollout = a_rollout()
    pods = rollout.pods(1, ready=False, restarts=3, waiting="CrashLoopBackOff", last_terminated="OOMKilled")
    assert only(memory_limit_too_low(a_snapshot(rollout.objects, pods))).remedy == {"container": "main"}


def test_a_container_without_a_limit_was_killed_for_the_nodes_sake() -> None:
    """There is no limit to be too low."""
    bare = a_rollout(before=a_template(), after=_bare(a_template()))
    pods = bare.pods(1, ready=False, restarts=3, waiting="CrashLoopBackOff", last_terminated="OOMKilled")
    assert not list(memory_limit_too_low(a_snapshot(bare.objects, pods)))


def _bare(template: JsonObject) -> JsonObject:
    """A template without resources."""
    return write(template, "/spec/containers/main/resources", Present(value={}))


# --- crash-loop


def test_a_crash_loop_since_the_template_changed() -> None:
    """Evidence is the crash and what changed; the remedy is the revision before."""
    rollout = a_rollout(
        before=a_template(env={"MODE": "fast"}), after=a_template(env={"MODE": "broken", "API_TOKEN": "hunter2"})
    )
    pods = rollout.pods(2, ready=False, restarts=4, waiting="CrashLoopBackOff", last_terminated="Error")
    found = only(crash_loop(a_snapshot(rollout.objects, pods)))
    assert (found.code, found.remedy) == (CauseCode.CRASH_LOOP, {"revision": 1})
    assert "CrashLoopBackOff" in found.evidence[0].value
    assert "exit code 137 (Error), 4 restarts" in found.evidence[0].value
    assert found.evidence[-1].pointer == "Deployment/shop/cart#/spec/template/spec/containers/main/env"
    assert "hunter2" not in found.model_dump_json()


def test_what_ran_for_days_was_not_broken_by_its_rollout() -> None:
    """There is a crash loop, and no way back that would help."""
    rollout = a_rollout(at=LONG_AGO)
    pods = rollout.pods(2, ready=False, restarts=4, waiting="CrashLoopBackOff", last_terminated="Error")
    found = only(crash_loop(a_snapshot(rollout.objects, pods)))
    assert (found.remedy, found.confidence) == ({}, 0.5)


def test_a_crash_loop_for_memory_is_not_this_one() -> None:
    """The limit is the cause then, and not the code; also where only an event speaks of memory."""
    rollout = a_rollout()
    pods = rollout.pods(2, ready=False, restarts=4, waiting="CrashLoopBackOff", last_terminated="OOMKilled")
    assert not list(crash_loop(a_snapshot(rollout.objects, pods)))
    (pod,) = rollout.pods(1, ready=False, restarts=4, waiting="CrashLoopBackOff", last_terminated="Error")
    said = a_kubernetes_event(pod.ref, "OOMKilling", "Memory cgroup out of memory")
    assert not list(crash_loop(a_snapshot(rollout.objects, pod, said)))


def test_one_restart_is_no_loop() -> None:
    """Things restart."""
    rollout = a_rollout()
    assert not list(crash_loop(a_snapshot(rollout.objects, rollout.pods(2, restarts=1, last_terminated="Error"))))


# --- recent-rollout


def test_a_rollout_shortly_before() -> None:
    """Circumstantial: its time and its difference are the evidence, the revision before is the remedy."""
    rollout = a_rollout()
    found = only(recent_rollout(a_snapshot(rollout.objects, rollout.pods(), a_service())))
    assert (found.code, found.remedy, found.confidence) == (CauseCode.RECENT_ROLLOUT, {"revision": 1}, 0.7)
    assert "revision 2 120 s ago" in found.summary
    assert [each.value for each in found.evidence][1:] == ["registry.example/cart:2 (earlier: registry.example/cart:1)"]


def test_failing_requests_are_added_as_a_hint() -> None:
    """They do not make it surer: whom the alert is about does."""
    rollout = a_rollout()
    snapshot = a_snapshot(rollout.objects, rollout.pods(), a_service()).but(
        recent={"shop/cart": Traffic(requests=200, errors=50)}
    )
    found = only(recent_rollout(snapshot))
    assert found.evidence[-1].value == "25.0% of 200 recent requests failed"
    assert found.confidence == 0.7


@pytest.mark.parametrize("minutes", [16, 60])
def test_a_rollout_longer_ago_is_no_suspect(minutes: int) -> None:
    """A quarter of an hour is the limit."""
    rollout = a_rollout(at=T0 - timedelta(minutes=minutes))
    assert not list(recent_rollout(a_snapshot(rollout.objects)))


def test_a_first_revision_has_nothing_to_go_back_to() -> None:
    """A new Deployment is not a changed one."""
    deployment = a_deployment()
    assert not list(recent_rollout(a_snapshot(deployment, a_replica_set(deployment, created_at=T0))))


def test_a_restart_changes_nothing() -> None:
    """Its template differs by the stamp alone."""
    stamped = write(a_template(), "/metadata/annotations", Present(value={RESTARTED_AT: "now"}))
    rollout = a_rollout(before=a_template(), after=stamped)
    assert not list(recent_rollout(a_snapshot(rollout.objects)))


def _written_by(rollout: Rollout, *managers: tuple[str, str], mark: bool = True) -> Snapshot:
    entries: list[Json] = [
        {"manager": manager, "time": time, "fieldsV1": {"f:spec": {"f:template": {}}}} for time, manager in managers
    ]
    metadata: dict[str, Json] = {"labels": {MARK: "txn-1.7"}} if mark else {}
    if entries:
        metadata["managedFields"] = entries
    body = rollout.deployment.body
    deployment = rollout.deployment.but(body={**body, "metadata": {**_metadata(body), **metadata}})
    return a_snapshot(deployment, rollout.earlier, rollout.current)


def _metadata(body: JsonObject) -> JsonObject:
    metadata = body["metadata"]
    assert isinstance(metadata, dict)
    return metadata


@pytest.mark.parametrize(
    ("managers", "suspected"),
    [
        ([], False),
        ([("2026-01-01T11:58:00Z", "primum-mitigator")], False),
        ([("2026-01-01T11:00:00Z", "kubectl"), ("2026-01-01T11:58:00Z", "primum-mitigator")], False),
        ([("2026-01-01T11:00:00Z", "primum-mitigator"), ("2026-01-01T11:58:00Z", "kubectl")], True),
    ],
    ids=["only the mark", "only Primum", "Primum last", "a person since"],
)
def test_what_primum_rolled_out_itself_is_not_suspected(managers: list[tuple[str, str]], *, suspected: bool) -> None:
    """Its mark says so, unless somebody wrote the template since."""
    assert bool(list(recent_rollout(_written_by(a_rollout(), *managers)))) is suspected


def test_without_the_mark_nothing_is_primums() -> None:
    """Whatever the manager calls itself."""
    assert list(recent_rollout(_written_by(a_rollout(), ("2026-01-01T11:58:00Z", "primum-mitigator"), mark=False)))


def test_a_revision_that_came_back_is_as_old_as_its_pods() -> None:
    """Its ReplicaSet is old; the rollout is not. It was somebody's way back: to undo that unasked would be a fight."""
    rollout = a_rollout(at=LONG_AGO)
    annotations: Json = {
        "deployment.kubernetes.io/revision": "2",
        "deployment.kubernetes.io/revision-history": "0",
    }
    back = with_field(rollout.current, "/metadata/annotations", annotations)
    (pod,) = rollout.pods(1)
    pod = with_field(pod, "/metadata/creationTimestamp", (T0 - timedelta(minutes=1)).isoformat())
    found = only(recent_rollout(a_snapshot(rollout.deployment, rollout.earlier, back, pod)))
    assert (found.remedy, found.confidence) == ({"revision": 1}, 0.45)


# --- cpu-saturated


def busy(cores: float, *, pods: int = 3, waiting: float = 0.0) -> Snapshot:
    """A workload of three pods with limits of half a core, of which some are measured at this use."""
    used = Usage(cpu_cores=cores, memory_bytes=1.0, throttled=waiting)
    usage = {f"shop/cart-1-{letter}": used for letter in "abc"[:pods]}
    return a_snapshot(a_workload("cart"), usage=usage)


def test_pods_at_the_end_of_their_cpu() -> None:
    """The remedy brings them to about 60 %."""
    found = only(cpu_saturated(busy(0.48)))
    assert (found.code, found.remedy, found.confidence) == (CauseCode.CPU_SATURATED, {"replicas": 5}, 0.6)
    assert found.evidence[0].value == "1.44 of 1.50 cores, over 3 ready pods"


def test_requests_that_were_refused_count_into_what_is_needed() -> None:
    """At the limit, use says what is served and not what is wanted; one step at most triples."""
    half_refused = busy(0.5).but(recent={"shop/cart": Traffic(requests=100, errors=50)})
    assert only(cpu_saturated(half_refused)).remedy == {"replicas": 9}


def test_pods_that_do_little_but_wait_for_cpu_are_at_its_end_whatever_their_rate_says() -> None:
    """A rate says of young pods less than they use, and they want all that they may have: the remedy reckons so."""
    failing = busy(0.3, waiting=0.8).but(recent={"shop/cart": Traffic(requests=100, errors=8)})
    found = only(cpu_saturated(failing))
    assert found.summary.endswith("use 60% of their CPU limit and wait for more")
    assert found.remedy == {"replicas": 6}


def test_pods_that_wait_for_cpu_and_serve_everybody_in_time_are_not_saturated() -> None:
    """Work that comes in bursts waits for its share of each period, and nobody feels it."""
    assert not list(cpu_saturated(busy(0.3, waiting=0.8)))


@pytest.mark.parametrize("cores", [0.0, 0.25, 0.44])
def test_pods_with_room_are_not_saturated(cores: float) -> None:
    """Below nine tenths of the limit."""
    assert not list(cpu_saturated(busy(cores)))


def test_a_measurement_of_the_fewer_pods_says_nothing() -> None:
    """One of three is not the workload."""
    assert not list(cpu_saturated(busy(0.5, pods=1)))


def test_without_a_limit_nothing_is_saturated() -> None:
    """There is no share of nothing."""
    rollout = a_rollout(after=_bare(a_template()))
    usage = {f"shop/cart-2-{letter}": Usage(cpu_cores=9, memory_bytes=1) for letter in "abc"}
    assert not list(cpu_saturated(a_snapshot(rollout.objects, rollout.pods(), usage=usage)))


# --- cpu-limit-too-low


def throttled(cores: float = 0.05, waiting: float = 0.0, **rollout: Any) -> Snapshot:
    """A workload whose CPU limit went from half a core to a twentieth, with its pods at this use."""
    before, after = a_template(cpu_limit="500m"), a_template(cpu_limit="50m")
    made = a_rollout(**{"before": before, "after": after, **rollout})
    used = Usage(cpu_cores=cores, memory_bytes=1, throttled=waiting)
    return a_snapshot(made.objects, made.pods(), usage={f"shop/cart-2-{letter}": used for letter in "abc"})


def test_a_cpu_limit_that_a_rollout_lowered_below_what_is_used() -> None:
    """The remedy is what the revision before had, not more replicas."""
    found = only(cpu_limit_too_low(throttled()))
    assert (found.code, found.remedy) == (CauseCode.CPU_LIMIT_TOO_LOW, {"container": "main", "revision": 1})
    assert [each.value for each in found.evidence[1:]] == ["50m", "500m"]


def test_who_does_little_but_wait_for_cpu_counts_while_requests_fail() -> None:
    """A rate over twice the pods' age shows half of what they use, and that they had to wait shows at once."""
    failing = throttled(cores=0.025, waiting=0.9).but(recent={"shop/cart": Traffic(requests=100, errors=30)})
    shown = failing.but(objects=(*failing.objects, a_service()))
    assert only(cpu_limit_too_low(shown)).code is CauseCode.CPU_LIMIT_TOO_LOW
    assert not list(cpu_limit_too_low(shown.but(recent={"shop/cart": Traffic(requests=100, errors=0)})))


@pytest.mark.parametrize(
    "snapshot",
    [
        throttled(cores=0.02),
        throttled(cores=0.02, waiting=0.9),  # and yet no request fails or takes longer
        throttled(at=LONG_AGO),
        throttled(before=a_template(cpu_limit="50m"), after=a_template(cpu_limit="50m", image="x:2")),
    ],
    ids=["room-left", "in-bursts", "lowered-long-ago", "never-higher"],
)
def test_a_limit_that_is_not_to_blame(snapshot: Snapshot) -> None:
    """It is not used up, or was enough for long, or was never higher: that is load, if anything."""
    assert not list(cpu_limit_too_low(snapshot))


# --- scaled-too-low


def at_zero(*others: Object, recent: Traffic | None = None, event: str = "") -> Snapshot:
    """A workload that wants no replica, with its Service."""
    deployment = a_deployment(replicas=0)
    events = [a_kubernetes_event(deployment.ref, "ScalingReplicaSet", event)] if event else []
    snapshot = a_snapshot(deployment, a_replica_set(deployment), a_service(), others, events)
    return snapshot.but(recent={"shop/cart": recent}) if recent is not None else snapshot


def test_nothing_runs_and_requests_fail() -> None:
    """How many there were, the controller's event says."""
    event = "Scaled down replica set cart-1 from 4 to 0"
    found = only(scaled_too_low(at_zero(recent=Traffic(requests=50, errors=50), event=event)))
    assert (found.code, found.remedy) == (CauseCode.SCALED_TOO_LOW, {"replicas": 4})
    assert found.confidence == 0.9


def test_nothing_runs_and_somebody_calls() -> None:
    """A running workload's environment names its Service; without an event one replica is a beginning."""
    caller = a_deployment("front", template=a_template("front", env={"CART": "http://cart:80"}))
    found = only(scaled_too_low(at_zero(caller)))
    assert (found.remedy, found.confidence) == ({"replicas": 1}, 0.65)


def test_zero_alone_is_a_wish() -> None:
    """Somebody switched it off, and nobody misses it."""
    assert not list(scaled_too_low(at_zero(event="Scaled down replica set cart-1 from 4 to 0")))
    assert not list(scaled_too_low(at_zero(recent=Traffic(requests=50, errors=0))))


def test_a_rollouts_own_scaling_is_not_the_history() -> None:
    """The event is about another ReplicaSet than the current one."""
    event = "Scaled down replica set cart-0 from 4 to 0"
    found = only(scaled_too_low(at_zero(recent=Traffic(requests=50, errors=50), event=event)))
    assert found.remedy == {"replicas": 1}


@pytest.mark.parametrize(("before", "cores", "found"), [(9, 0.5, True), (9, 0.2, False), (5, 0.5, False)])
def test_far_fewer_than_before_only_where_they_cannot_cope(before: int, cores: float, *, found: bool) -> None:
    """Less than half of what there was, and saturated."""
    snapshot = busy(cores)
    event = f"Scaled down replica set cart-1 from {before} to 3"
    said = a_kubernetes_event(snapshot.deployments[0].ref, "ScalingReplicaSet", event)
    assert bool(list(scaled_too_low(snapshot.but(objects=(*snapshot.objects, said))))) is found


# --- unhealthy-process


def hanging(rollout: Rollout, *, ready: bool = False, told_at: datetime = T0) -> Snapshot:
    """Pods that run, and whose probes fail."""
    pods = rollout.pods(2, ready=ready)
    said = a_kubernetes_event(pods[0].ref, "Unhealthy", "Readiness probe failed: timeout", at=told_at)
    return a_snapshot(rollout.objects, pods, said)


def test_a_process_that_runs_and_does_not_answer() -> None:
    """The probe's event is the evidence."""
    found = only(unhealthy_process(hanging(a_rollout(at=LONG_AGO))))
    assert found.code is CauseCode.UNHEALTHY_PROCESS
    assert found.evidence[-1].value == "Unhealthy: Readiness probe failed: timeout"


def test_a_young_revision_is_still_proving_itself() -> None:
    """Its rollout is the suspect then."""
    assert not list(unhealthy_process(hanging(a_rollout())))


def test_a_pod_that_is_ready_again_is_well() -> None:
    """As is one whose probe failed an hour ago, for all that is known."""
    assert not list(unhealthy_process(hanging(a_rollout(at=LONG_AGO), ready=True)))
    assert not list(unhealthy_process(hanging(a_rollout(at=LONG_AGO), told_at=T0 - timedelta(hours=1))))


@pytest.mark.parametrize(("ready", "found"), [(True, True), (False, False)])
def test_pods_of_a_node_that_is_not_ready_are_not_known_to_hang(*, ready: bool, found: bool) -> None:
    """The node's controller called them not ready, as nobody speaks for them; their processes may be well."""
    snapshot = hanging(a_rollout(at=LONG_AGO))
    seen = snapshot.but(objects=(*snapshot.objects, a_node(ready=ready)))
    assert bool(list(unhealthy_process(seen))) is found


@pytest.mark.parametrize(("age_s", "found"), [(31, True), (5, False)])
def test_a_pod_that_was_just_made_is_still_starting(age_s: float, *, found: bool) -> None:
    """Its probe fails until it listens; whoever keeps making new ones is not helped by one more restart."""
    snapshot = hanging(a_rollout(at=LONG_AGO))
    aged = tuple(made_at(seen, T0 - timedelta(seconds=age_s)) for seen in snapshot.objects if seen.ref.kind is Kind.POD)
    others = tuple(seen for seen in snapshot.objects if seen.ref.kind is not Kind.POD)
    assert bool(list(unhealthy_process(snapshot.but(objects=(*others, *aged))))) is found


def made_at(seen: Object, at: datetime) -> Object:
    """The same object, of that age."""
    metadata = seen.body["metadata"]
    assert isinstance(metadata, dict)
    return seen.but(body={**seen.body, "metadata": {**metadata, "creationTimestamp": at.isoformat()}})


# --- port-conflict


def beside(port: int = 8080, protocol: str = "TCP") -> JsonObject:
    """A template with a second container that declares this port."""
    sidecar: JsonObject = {"name": "proxy", "ports": [{"containerPort": port, "protocol": protocol}]}
    template = a_template()
    containers = template["spec"]["containers"]  # type: ignore[index,call-overload]
    return write(template, "/spec/containers", Present(value=[*containers, sidecar]))  # type: ignore[misc]


def with_a_sidecar(sidecar: JsonObject, **pod: Any) -> Snapshot:
    """A rollout that added it."""
    rollout = a_rollout(before=a_template(), after=sidecar)
    crashing = {"ready": False, "restarts": 3, "waiting": "CrashLoopBackOff", **pod}
    return a_snapshot(rollout.objects, rollout.pods(1, **crashing))


def test_two_containers_of_a_pod_that_want_one_port() -> None:
    """Evidence is what both declare and that one crashes; the way back is the revision without the second."""
    found = only(port_conflict(with_a_sidecar(beside())))
    assert (found.code, found.object, found.remedy) == (CauseCode.PORT_CONFLICT, a_ref("cart"), {"revision": 1})
    assert [each.pointer for each in found.evidence[:2]] == [
        f"Deployment/shop/cart#/spec/template/spec/containers/{name}/ports" for name in ("main", "proxy")
    ]
    assert "main and proxy" in found.summary


@pytest.mark.parametrize(
    ("sidecar", "pod"),
    [
        (beside(port=9090), {}),
        (beside(protocol="UDP"), {}),
        (beside(), {"waiting": "", "ready": True, "restarts": 0}),
        (beside(), {"last_terminated": "OOMKilled"}),
    ],
    ids=["another port", "another protocol", "nobody crashes", "the kernel killed it"],
)
def test_containers_that_do_not_stand_in_each_others_way(sidecar: JsonObject, pod: Mapping[str, Any]) -> None:
    """To declare a port is not yet to listen on it."""
    assert not list(port_conflict(with_a_sidecar(sidecar, **pod)))


def test_a_revision_with_the_same_two_is_no_way_back() -> None:
    """It is named, and a person decides."""
    rollout = a_rollout(before=with_image(beside(), "cart:1"), after=with_image(beside(), "cart:2"))
    pods = rollout.pods(1, ready=False, restarts=3, waiting="CrashLoopBackOff")
    assert only(port_conflict(a_snapshot(rollout.objects, pods))).remedy == {}


def with_image(template: JsonObject, image: str) -> JsonObject:
    return write(template, "/spec/containers/main/image", Present(value=image))


# --- rollout-stuck

GIVEN_UP: Json = [
    {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "timed out"}
]


def stuck(conditions: Json = GIVEN_UP, *, old: bool = True, **pod: Any) -> Snapshot:
    """A rollout of which this is said, whose new pods run and are not ready, beside an old one that is."""
    rollout = a_rollout(ready=1)
    deployment = with_field(rollout.deployment, "/status/conditions", conditions)
    new = rollout.pods(2, **{"ready": False, **pod})
    return a_snapshot(deployment, rollout.earlier, rollout.current, new, rollout.pods(1, of_earlier=True, ready=old))


def test_a_rollout_that_its_controller_gave_up() -> None:
    """Kubernetes' own word is the first evidence; the revision whose pods are ready is the way back."""
    found = only(rollout_stuck(stuck()))
    assert (found.code, found.remedy) == (CauseCode.ROLLOUT_STUCK, {"revision": 1})
    assert found.evidence[0].value == "ProgressDeadlineExceeded: timed out"
    assert found.confidence > 0.8


def test_where_no_pod_is_ready_the_new_revision_is_not_to_blame_alone() -> None:
    """What all of them wait for may be missing: a person is asked."""
    assert only(rollout_stuck(stuck(old=False))).confidence < 0.5


@pytest.mark.parametrize(
    "snapshot",
    [
        stuck([{"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated"}]),
        stuck(restarts=2),
        stuck(waiting="ImagePullBackOff"),
        stuck(ready=True),
    ],
    ids=["it goes on", "it crashes", "it has no image", "it is ready"],
)
def test_rollouts_that_are_not_stuck_in_this_way(snapshot: Snapshot) -> None:
    """What crashes or cannot start has a cause of its own."""
    assert not list(rollout_stuck(snapshot))


# --- memory-use-grown


def killed_after(rollout: Rollout, **pod: Any) -> Snapshot:
    """Its newest pods are killed for memory."""
    killed = {"ready": False, "restarts": 3, "waiting": "CrashLoopBackOff", "last_terminated": "OOMKilled", **pod}
    return a_snapshot(rollout.objects, rollout.pods(2, **killed))


def test_a_release_that_needs_more_than_the_one_before() -> None:
    """The limit is what it was: more of it is no restoring, the revision before is."""
    found = only(memory_use_grown(killed_after(a_rollout())))
    assert (found.code, found.remedy) == (CauseCode.MEMORY_USE_GROWN, {"revision": 1})
    path = "#/spec/template/spec/containers/main/resources/limits/memory"
    values = {each.pointer: each.value for each in found.evidence}
    assert values[f"Deployment/shop/cart{path}"] == values[f"ReplicaSet/shop/cart-1{path}"] == "128Mi"


def test_it_says_more_than_that_the_limit_is_too_low() -> None:
    """Both are named; the one that has a way back comes first, and the rollout's timing last."""
    snapshot = killed_after(a_rollout())
    incident = Incident(id=IncidentId("inc-1"), cluster=CLUSTER, root=a_ref("cart"))
    causes = rank(findings(snapshot), incident, Topology.of(snapshot))
    assert [cause.code for cause in causes] == [
        CauseCode.MEMORY_USE_GROWN,
        CauseCode.MEMORY_LIMIT_TOO_LOW,
        CauseCode.RECENT_ROLLOUT,
    ]


@pytest.mark.parametrize(
    "snapshot",
    [
        killed_after(a_rollout(before=a_template(memory_limit="256Mi"))),
        killed_after(a_rollout(at=T0 - timedelta(hours=2))),
        killed_after(a_rollout(), last_terminated="Error"),
    ],
    ids=["the limit was lowered", "it ran for hours", "it crashed"],
)
def test_kills_that_say_nothing_of_a_release(snapshot: Snapshot) -> None:
    """Another cause, or an older one."""
    assert not list(memory_use_grown(snapshot))
