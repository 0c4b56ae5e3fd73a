"""Pods that something deletes again and again: seen by who is gone, and not in what makes and ends pods besides."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Final

import pytest

from shared.analyzers.pods_killed import LEAST_LOST, pods_killed
from shared.analyzers.registry import findings
from shared.domain.cause import CauseCode, Finding
from shared.domain.cluster import Kind, Object, Ref
from shared.domain.path import Present, write
from shared.testing.builders import (
    T0,
    Rollout,
    a_deployment,
    a_kubernetes_event,
    a_node,
    a_pod,
    a_ref,
    a_replica_set,
    a_rollout,
    a_snapshot,
)

DEPLOYMENT: Final = a_deployment(replicas=2, ready=0)
MAKER: Final = a_replica_set(DEPLOYMENT)
NODES: Final = (a_node("node-1"), a_node("node-2"))


def event(number: int, about: Ref, reason: str, message: str, ago_s: float) -> Object:
    """One event with a name of its own."""
    made = a_kubernetes_event(about, reason, message, at=T0 - timedelta(seconds=ago_s))
    return made.but(ref=made.ref.model_copy(update={"name": f"{made.ref.name}.{number}"}))


def made(names: Iterable[str], ago_s: float = 60, *, node: str = "node-1", maker: Object = MAKER) -> list[Object]:
    """What the ReplicaSet and the scheduler say of pods that were made."""
    events: list[Object] = []
    for number, name in enumerate(names):
        pod = a_ref(f"{maker.ref.name}-{name}", Kind.POD)
        events.append(event(number, maker.ref, "SuccessfulCreate", f"Created pod: {pod.name}", ago_s))
        if node:
            events.append(event(number, pod, "Scheduled", f"Successfully assigned shop/{pod.name} to {node}", ago_s))
    return events


def numbered(count: int, letter: str = "k") -> list[str]:
    return [f"{letter}{number}" for number in range(count)]


def there(*names: str, maker: Object = MAKER) -> list[Object]:
    """Pods that are there, and not ready yet."""
    return [a_pod(f"{maker.ref.name}-{name}", owner=maker, ready=False) for name in names]


def found(*objects: Object | Sequence[Object], nodes: Sequence[Object] = NODES) -> list[Finding]:
    """What is found of the workload of two pods, beside these."""
    return list(pods_killed(a_snapshot(DEPLOYMENT, MAKER, list(nodes), *objects)))


def test_a_workload_whose_pods_are_deleted_again_and_again() -> None:
    """Evidence is what it wants, since when, and who is gone; only a person can find out who does it, and end it."""
    (killed,) = found(made([*numbered(8), "x", "y"]), there("x", "y"))
    assert (killed.code, killed.object, killed.remedy) == (CauseCode.PODS_KILLED, DEPLOYMENT.ref, {})
    assert killed.summary.startswith("8 pods of Deployment/shop/cart, which wants 2, were made and deleted again")
    assert "audit log" in killed.summary
    assert [each.value for each in killed.evidence[:2]] == ["2", "2025-12-31T12:00:00+00:00"]
    assert killed.evidence[-1].value == "Scheduled: Successfully assigned shop/cart-1-k7 to node-1"
    assert killed.confidence < 0.8


def test_it_is_seen_where_the_controllers_own_events_were_combined_and_left_out() -> None:
    """It tells of the first ten, of the next ones in one event, and of none after twenty-five; the scheduler of all."""
    of_pods = [each for each in made(numbered(30)) if "Scheduled" in str(each.body["reason"])]
    combined = event(99, MAKER.ref, "SuccessfulCreate", "(combined from similar events): Created pod: cart-1-k9", 30)
    (killed,) = found(of_pods, combined)
    assert killed.summary.startswith("30 pods of")


def test_it_is_seen_where_pods_go_before_they_come_to_a_node() -> None:
    """Only their maker tells of them."""
    assert found(made(numbered(8), node=""))


# --- what makes and ends pods besides


def test_what_has_ended_by_itself_wakes_nobody() -> None:
    """The alert came late: what was made anew last stands for more than a minute."""
    assert found(made(numbered(8), 100), made("xy", 60), there("x", "y"))
    assert not found(made(numbered(8), 100), made("xy", 61), there("x", "y"))


def test_a_rollout_ends_what_others_made() -> None:
    """Twenty pods of the revision before went, and twenty new ones are there."""
    rollout = a_rollout(replicas=20, ready=10)
    names = numbered(20)
    old = made(names, 90, maker=rollout.earlier)
    new = [made(names, 30, maker=rollout.current), there(*names, maker=rollout.current)]
    assert not list(pods_killed(a_snapshot(rollout.objects, old, *new, NODES)))


def test_a_rollout_that_was_taken_back_and_forth_is_no_killing() -> None:
    """Each time its controller says that it scales; what was made since the last time is there."""
    scaled = event(1, DEPLOYMENT.ref, "ScalingReplicaSet", "Scaled up replica set cart-1 to 2", 20)
    assert not found(made(numbered(12), 100), scaled, made("xy", 20), there("x", "y"))
    assert found(made(numbered(12), 100), made("xy", 20), there("x", "y"))


@pytest.mark.parametrize("ago_s", [60, 4 * 60])
def test_pods_that_were_all_deleted_once_or_twice_are_somebodys_restart(ago_s: float) -> None:
    """By hand: those that were made then are gone once, at most."""
    assert not found(made(numbered(2), ago_s), made(numbered(2, "l"), ago_s / 2), made("xy", 5), there("x", "y"))


def test_few_pods_more_than_the_least_are_needed_of_a_large_workload() -> None:
    """All of them must have gone twice: a node with some of them may have been drained."""
    large = a_deployment(replicas=10, ready=8)
    maker = a_replica_set(large)
    lost = made(numbered(LEAST_LOST + 4), maker=maker)
    assert not list(pods_killed(a_snapshot(large, maker, lost, NODES)))
    assert list(pods_killed(a_snapshot(large, maker, made(numbered(20), maker=maker), NODES)))


def test_an_autoscaler_that_goes_up_and_down_says_so() -> None:
    """The controller scales, and the ReplicaSet deletes what it made."""
    up = event(1, DEPLOYMENT.ref, "ScalingReplicaSet", "Scaled up replica set cart-1 from 2 to 14", 100)
    names = numbered(12)
    deleted = [
        event(number, MAKER.ref, "SuccessfulDelete", f"Deleted pod: cart-1-{name}", 50)
        for number, name in enumerate(names)
    ]
    down = event(2, DEPLOYMENT.ref, "ScalingReplicaSet", "Scaled down replica set cart-1 from 14 to 2", 50)
    assert not found(up, made(names, 59), down)
    assert not found(up, made(names, 59), deleted)
    assert found(up, made(names, 59))


@pytest.mark.parametrize("node", ["cordoned", "lost", "gone"])
def test_what_went_from_a_node_that_is_drained_lost_or_gone_went_for_that(node: str) -> None:
    """Also what was made for it, of which nobody says where it was."""
    others = (*NODES, a_node("cordoned", unschedulable=True), a_node("lost", ready=False))
    assert not found(made(numbered(12), node=node), nodes=others)
    assert not found(made(numbered(12), node=""), nodes=others)
    assert found(made(numbered(12), node="node-2"), nodes=others)


@pytest.mark.parametrize("reason", ["Evicted", "Preempted", "TaintManagerEviction"])
def test_what_somebody_accounts_for_was_not_killed(reason: str) -> None:
    """The kubelet that is short of memory, the scheduler that needs the room, the taint that came."""
    names = numbered(12)
    told = [event(number, a_ref(f"cart-1-{name}", Kind.POD), reason, "", 40) for number, name in enumerate(names)]
    assert not found(made(names), told)


def test_pods_that_failed_and_are_still_there_are_not_gone() -> None:
    """As those that a kubelet evicted or did not take in are."""
    failed = [
        each.but(body=write(each.body, "/status/phase", Present(value="Failed"))) for each in there(*numbered(12))
    ]
    assert not found(made(numbered(12)), failed)


def test_what_was_long_ago_is_over() -> None:
    """Somebody ended it."""
    assert not found(made(numbered(12), 6 * 60))


def test_a_process_that_ends_again_and_again_keeps_its_pod() -> None:
    """The kubelet starts it anew in the same one, also after a liveness probe that failed."""
    pods = [a_pod(f"cart-1-{name}", owner=MAKER, ready=False, restarts=20, waiting="CrashLoopBackOff") for name in "xy"]
    killing = "Container main failed liveness probe, will be restarted"
    told = [event(number, pods[0].ref, "Killing", killing, 10 * number) for number in range(12)]
    assert not found(made("xy", 200), pods, told)


def test_other_workloads_pods_are_not_counted() -> None:
    """Their names begin alike."""
    other = a_replica_set(a_deployment("cart-1", replicas=2))
    assert not found(made(numbered(12), maker=other))


def test_nothing_else_is_found_of_it() -> None:
    """Its processes do not hang, and it was not scaled."""
    objects: Rollout = a_rollout("cart", replicas=2, ready=0, at=T0 - timedelta(days=1))
    events = made(numbered(12), maker=objects.current)
    snapshot = a_snapshot(objects.objects, NODES, events, there("x", maker=objects.current))
    assert [each.code for each in findings(snapshot)] == [CauseCode.PODS_KILLED]
