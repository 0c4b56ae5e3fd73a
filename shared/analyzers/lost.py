"""Nodes that do not say Ready, and the workloads that are short of the pods they have there."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from shared.analyzers.placing import unscheduled, would_take
from shared.analyzers.pods import STUCK, live, runs_unready, starting
from shared.domain.cluster import Ref
from shared.domain.objects import Condition, Deployment, Node, Pod
from shared.domain.snapshot import Snapshot


class LostNode(NamedTuple):
    """A node, the word on it, what runs or ran there, and the workloads that are unwell for no other reason."""

    node: Node
    said: Condition
    pods: Sequence[Pod]
    workloads: Sequence[Ref]


def lost_nodes(snapshot: Snapshot) -> Sequence[LostNode]:
    """Find the nodes that say of themselves, or of which the control plane says, that they are not ready.

    One of which nobody said anything yet is none: it has just come.
    """
    said = [(node, word) for node in snapshot.nodes if (word := word_on(node)) is not None]
    nodes = {node.metadata.name: node for node, _ in said}
    return [_lost(node, word, nodes, snapshot) for node, word in said]


def word_on(node: Node) -> Condition | None:
    """Its condition Ready, if that is not true."""
    return next((said for said in node.status.conditions if said.type == "Ready" and said.status != "True"), None)


def _lost(node: Node, said: Condition, lost: Mapping[str, Node], snapshot: Snapshot) -> LostNode:
    pods = [pod for pod in snapshot.pods_on(node) if pod.status.phase not in {"Succeeded", "Failed"}]
    counted_on = {owner.ref for pod in live(pods) if (owner := snapshot.owner_of(pod)) is not None}
    owners = {owner.ref: owner for pod in pods if (owner := snapshot.owner_of(pod)) is not None}
    workloads = [
        ref
        for ref, owner in sorted(owners.items(), key=lambda each: each[0])
        # Those that were evicted there never end. Where others took their places, nothing is missing any more.
        if ref in counted_on or owner.status.available_replicas < owner.spec.replicas
        if not ails_beside(lost, owner, snapshot)
    ]
    return LostNode(node, said, pods, workloads)


def ails_beside(nodes: Mapping[str, Node], owner: Deployment, snapshot: Snapshot) -> bool:
    """Whether a workload has pods with a fault that is not the doing of these nodes: it is another incident then.

    What waits for a node may wait for one of these: not if none of them would take it either.
    """
    for pod in live(snapshot.pods_of(owner)):
        if pod.spec.node_name in nodes:
            continue
        if unscheduled(pod) is not None:
            if not any(would_take(node, owner.spec.template) for node in nodes.values()):
                return True
        elif pod.waiting_reasons & STUCK or (runs_unready(pod) and not starting(pod, snapshot)):
            return True
    return False
