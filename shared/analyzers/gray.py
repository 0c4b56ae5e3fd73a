"""Nodes that say Ready while what runs on them does not work."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from shared.analyzers.pods import live
from shared.domain.cluster import Ref
from shared.domain.objects import Node, Pod
from shared.domain.snapshot import Snapshot

LEAST_WORKLOADS: Final = 2
LEAST_SHARE: Final = 0.8
"""Of the pods of Deployments on the node."""


class GrayNode(NamedTuple):
    """A node under suspicion, the pods that fail there and the workloads that are well elsewhere."""

    node: Node
    failing: Sequence[Pod]
    pods: int
    workloads: Sequence[Ref]


def gray_nodes(snapshot: Snapshot) -> Sequence[GrayNode]:
    """Find Ready nodes where nearly all pods fail while pods of the same revisions are well on other nodes."""
    well_elsewhere = _ready_by_revision_and_node(snapshot)
    suspects = (_suspect(node, snapshot, well_elsewhere) for node in snapshot.nodes if says_ready(node))
    return [suspect for suspect in suspects if suspect is not None]


def says_ready(node: Node) -> bool:
    """Whether the node's own word is that it is well."""
    return any(condition.type == "Ready" and condition.status == "True" for condition in node.status.conditions)


def unheard(snapshot: Snapshot) -> frozenset[Ref]:
    """The pods of nodes that do not say Ready: a controller calls them not ready, as nobody speaks for them now."""
    return frozenset(pod.ref for node in snapshot.nodes if not says_ready(node) for pod in snapshot.pods_on(node))


def _suspect(node: Node, snapshot: Snapshot, ready: Mapping[tuple[str, str], Counter[str]]) -> GrayNode | None:
    here = live(snapshot.pods_on(node))
    if sum(not pod.ready for pod in here) < LEAST_WORKLOADS:
        return None
    mine = [pod for pod in here if snapshot.owner_of(pod) is not None]
    failing = [pod for pod in mine if not pod.ready]
    if len(failing) < LEAST_SHARE * len(mine):
        return None
    compared: dict[Ref, bool] = {}
    for pod in mine:
        owner = snapshot.owner_of(pod)
        by_node = ready.get(_revision(pod), Counter())
        elsewhere = by_node.total() > by_node[node.metadata.name]
        if owner is not None:
            compared[owner.ref] = compared.get(owner.ref, True) and not pod.ready and elsewhere
    workloads = sorted(ref for ref, fails_only_here in compared.items() if fails_only_here)
    return GrayNode(node, failing, len(mine), workloads) if len(workloads) >= LEAST_WORKLOADS else None


def _ready_by_revision_and_node(snapshot: Snapshot) -> Mapping[tuple[str, str], Counter[str]]:
    ready: dict[tuple[str, str], Counter[str]] = {}
    for pod in snapshot.pods:
        if pod.ready:
            ready.setdefault(_revision(pod), Counter())[pod.spec.node_name] += 1
    return ready


def _revision(pod: Pod) -> tuple[str, str]:
    return pod.ref.namespace, pod.controller.name if pod.controller is not None else ""
