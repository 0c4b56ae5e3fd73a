"""Move the pods of a node elsewhere."""

from typing import Final

from shared.actions.action import NotApplicable, action
from shared.domain.change import Change, Evict
from shared.domain.cluster import Kind, Ref
from shared.domain.frozen import Frozen
from shared.domain.objects import Node, Pod
from shared.domain.snapshot import Snapshot

_STAY: Final = frozenset({"DaemonSet", "Node"})
"""Owners whose pods belong to the node: a DaemonSet's come back at once, static ones are the kubelet's own."""


class EvictPods(Frozen):
    """Which Node."""

    node: Ref


@action("node.evict-pods", params=EvictPods, writes=[Kind.POD])
def evict_pods(params: EvictPods, snapshot: Snapshot) -> list[Change]:
    """Evict the pods of a node that a controller will replace elsewhere; the others stay."""
    node = next((node for node in snapshot.nodes if node.ref == params.node), None)
    if node is None:
        raise NotApplicable(f"{params.node} is not a Node of this cluster")
    evictions: list[Change] = [
        Evict(ref=pod.ref, uid=pod.object.uid, controller=f"{owner.kind}/{pod.ref.namespace}/{owner.name}")
        for pod in _leaving(node, snapshot)
        if (owner := pod.controller) is not None and owner.kind not in _STAY
    ]
    if not evictions:
        raise NotApplicable(f"{node.ref} has no pod that a controller would replace elsewhere")
    return evictions


def _leaving(node: Node, snapshot: Snapshot) -> list[Pod]:
    return [
        pod
        for pod in sorted(snapshot.pods_on(node), key=lambda pod: pod.ref)
        if pod.metadata.deletion_timestamp is None and pod.status.phase not in {"Succeeded", "Failed"}
    ]
