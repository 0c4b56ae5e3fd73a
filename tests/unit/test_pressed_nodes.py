"""A node that runs short of memory: its cause, the root of what its evictions do, and what is not their doing."""

from datetime import timedelta
from typing import Final

import pytest

from services.diagnoser.decide import rank
from shared.analyzers.node_memory_pressure import node_memory_pressure
from shared.analyzers.pods_killed import pods_killed
from shared.analyzers.registry import findings
from shared.analyzers.topology import Topology
from shared.domain.cause import CauseCode
from shared.domain.cluster import Kind, Object
from shared.domain.frozen import Json
from shared.domain.incident import State
from shared.domain.path import Present, write
from shared.domain.snapshot import Snapshot, Usage
from shared.testing.builders import (
    T0,
    a_deployment,
    a_node,
    a_pod,
    a_ref,
    a_replica_set,
    a_service,
    a_snapshot,
    an_endpoint_slice,
    an_incident,
)

NODE: Final = a_ref("short", Kind.NODE)
WORDS: Final = "The node was low on resource: memory. Threshold quantity: 100Mi, available: 88Mi."


def with_field(seen: Object, path: str, value: Json) -> Object:
    """The same object, with one value set."""
    return seen.but(body=write(seen.body, path, Present(value=value)))


def a_short_node(status: str = "True", ago_s: float = 20) -> Object:
    """A node that says of its memory what it says, since then."""
    since = (T0 - timedelta(seconds=ago_s)).isoformat()
    pressure: Json = {
        "type": "MemoryPressure",
        "status": status,
        "reason": "KubeletHasInsufficientMemory",
        "message": "kubelet has insufficient memory available",
        "lastTransitionTime": since,
    }
    return with_field(a_node("short"), "/status/conditions", [{"type": "Ready", "status": "True"}, pressure])


def evicted(name: str, owner: Object, *, ago_s: float, why: str, node: str) -> Object:
    """A pod that the kubelet evicted; it stays, and says why."""
    since = (T0 - timedelta(seconds=ago_s)).isoformat()
    status: Json = {
        "phase": "Failed",
        "reason": "Evicted",
        "message": why,
        "conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": since}],
    }
    return with_field(a_pod(name, owner=owner, node=node), "/status", status)


def a_victim(
    *, ready: int = 1, waiting: str = "ContainerCreating", ago_s: float = 30, why: str = WORDS, node: str = "short"
) -> list[Object]:
    """A workload of two, one of which was evicted; the one that is to take its place may wait elsewhere."""
    deployment = a_deployment(replicas=2, ready=ready)
    current = a_replica_set(deployment)
    gone = evicted("cart-1-0", current, ago_s=ago_s, why=why, node=node)
    here = a_pod("cart-1-1", owner=current, node="well")
    new = a_pod("cart-1-2", owner=current, node="well", ready=ready == 2, waiting=waiting)
    return [deployment, current, gone, here, new, a_service(), an_endpoint_slice(ready=ready, unready=2 - ready)]


def snapshot(*objects: Object | list[Object], node: Object | None = None) -> Snapshot:
    return a_snapshot(node or a_short_node(), a_node("well"), *objects)


def root(seen: Snapshot) -> str:
    return str(Topology.of(seen).root_of(a_ref("cart")).ref)


def test_a_node_that_says_so_is_named_with_whom_it_evicted_and_who_uses_most() -> None:
    """Only whoever runs it can give it more."""
    large = a_pod("hog-1-a", node="short")
    usage = {"shop/hog-1-a": Usage(cpu_cores=0.1, memory_bytes=800 * 1024.0**2)}
    (found,) = node_memory_pressure(snapshot(a_victim(), large).but(usage=usage))
    assert (found.code, found.object, found.remedy) == (CauseCode.NODE_MEMORY_PRESSURE, NODE, {})
    assert [(each.pointer, each.value) for each in found.evidence] == [
        (
            "Node/short#/status/conditions/MemoryPressure",
            "status True, KubeletHasInsufficientMemory: kubelet has insufficient memory available",
        ),
        ("Pod/shop/cart-1-0#/status", f"Evicted: {WORDS}"),
        ("memory of Pod/shop/hog-1-a", "800 MiB"),
    ]
    assert "evicted 1 pods for that, and Deployment/shop/cart are short of them" in found.summary


def test_a_node_that_had_to_evict_nobody_yet_is_named_too() -> None:
    """It says so itself."""
    (found,) = node_memory_pressure(snapshot())
    assert found.object == NODE


def test_it_is_the_root_of_what_is_short_of_the_pods_that_it_evicted() -> None:
    """And the cause of it, whatever the incident was opened about."""
    seen = snapshot(a_victim())
    assert root(seen) == "Node/short"
    for opened in (NODE, a_ref("cart")):
        incident = an_incident(State.DIAGNOSING).but(root=opened, causes=(), transactions=())
        assert rank(findings(seen), incident, Topology.of(seen))[0].code is CauseCode.NODE_MEMORY_PRESSURE


@pytest.mark.parametrize(("ago_s", "pressed"), [(60, True), (300, False)])
def test_an_eviction_helps_for_a_moment_only(ago_s: float, *, pressed: bool) -> None:
    """What said so two minutes ago and evicted somebody is the same trouble; five minutes ago, it is over."""
    node = a_short_node("False", ago_s)
    assert bool(list(node_memory_pressure(snapshot(a_victim(), node=node)))) is pressed
    assert not list(node_memory_pressure(snapshot(node=node)))


def test_a_workload_that_has_its_pods_elsewhere_again_is_out_of_it() -> None:
    """What then goes wrong there is something else."""
    assert root(snapshot(a_victim(ready=2))) == "Deployment/shop/cart"


@pytest.mark.parametrize("reason", ["ErrImagePull", "CrashLoopBackOff"])
def test_a_workload_whose_new_pod_has_a_fault_of_its_own_is_another_incident(reason: str) -> None:
    """On a node that has memory enough."""
    assert root(snapshot(a_victim(waiting=reason))) == "Deployment/shop/cart"


def test_what_was_evicted_long_ago_elsewhere_or_for_something_else_is_not_its_doing() -> None:
    """Evicted pods stay as they are for days."""
    storage = "The node was low on resource: ephemeral-storage."
    for victim in (a_victim(ago_s=3600), a_victim(why=storage), a_victim(node="well")):
        assert root(snapshot(victim)) == "Deployment/shop/cart"


def test_a_node_that_is_well_is_not_pressed() -> None:
    """Nor one that says nothing of its memory."""
    well = a_short_node("False", 86_400)
    assert not list(node_memory_pressure(snapshot(a_victim(), node=well)))
    assert not list(node_memory_pressure(a_snapshot(a_node("short"), a_victim())))
    assert not list(pods_killed(snapshot(a_victim())))
