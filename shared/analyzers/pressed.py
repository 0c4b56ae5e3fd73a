"""Nodes that run short of memory, and the workloads that miss the pods which their kubelets evicted for that."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final, NamedTuple

from shared.analyzers.lost import ails_beside
from shared.domain.cluster import Ref
from shared.domain.objects import Condition, Node, Pod
from shared.domain.snapshot import Snapshot

LATELY: Final = timedelta(minutes=10)
"""Evicted pods stay as they are, for days: older ones say nothing of now."""
_AFTERMATH: Final = timedelta(minutes=2)
"""An eviction helps for a moment: a node that is not short just now, and lately was, is still the same trouble."""
_FOR_MEMORY: Final = "low on resource: memory"
"""The kubelet's own words."""


class PressedNode(NamedTuple):
    """A node, its word on its memory, the pods that it evicted lately, and the workloads that are short of them."""

    node: Node
    said: Condition
    evicted: Sequence[Pod]
    workloads: Sequence[Ref]


def pressed_nodes(snapshot: Snapshot) -> Sequence[PressedNode]:
    """Find the nodes that say so of themselves, or said it a moment ago and evicted pods for it."""
    found: list[PressedNode] = []
    for node in snapshot.nodes:
        said = next((each for each in node.status.conditions if each.type == "MemoryPressure"), None)
        evicted = [pod for pod in snapshot.pods_on(node) if _evicted_lately(pod, snapshot)] if said else []
        if said is not None and (said.status == "True" or (evicted and _moments_ago(said, snapshot))):
            found.append(PressedNode(node, said, evicted, _short(node, evicted, snapshot)))
    return found


def _evicted_lately(pod: Pod, snapshot: Snapshot) -> bool:
    if pod.status.reason != "Evicted" or _FOR_MEMORY not in pod.status.message:
        return False
    moments = [at for said in pod.status.conditions if (at := said.last_transition_time) is not None]
    return not moments or snapshot.taken_at - max(moments) <= LATELY


def _moments_ago(said: Condition, snapshot: Snapshot) -> bool:
    return said.last_transition_time is not None and snapshot.taken_at - said.last_transition_time <= _AFTERMATH


def _short(node: Node, evicted: Sequence[Pod], snapshot: Snapshot) -> Sequence[Ref]:
    owners = {owner.ref: owner for pod in evicted if (owner := snapshot.owner_of(pod)) is not None}
    return [
        ref
        for ref, owner in sorted(owners.items(), key=lambda each: each[0])
        if owner.status.available_replicas < owner.spec.replicas
        if not ails_beside({node.metadata.name: node}, owner, snapshot)
    ]
