"""Where a pod may run: what its template asks of a node, and what the scheduler says of one that finds none."""

from collections.abc import Mapping, Sequence
from typing import Final

from shared.analyzers.labels import holds
from shared.analyzers.pods import live
from shared.domain.objects import (
    Condition,
    Container,
    Deployment,
    Node,
    NodeTerm,
    Pod,
    PodTemplate,
    Taint,
    quantity,
)
from shared.domain.snapshot import Snapshot, matches

OF_ITS_STATE: Final = "node.kubernetes.io/"
"""Taints with this prefix come and go with what a node is: cordoned, not ready, short of memory."""
BESIDE_NONE: Final = "anti-affinity rules"
"""The scheduler's own words of nodes with a pod that another must not be beside."""
KEEPS_AWAY: Final = frozenset({"NoSchedule", "NoExecute"})


def unscheduled(pod: Pod) -> Condition | None:
    """What the scheduler says of a pod that it finds no node for."""
    return next((said for said in pod.status.conditions if _says_unschedulable(said)), None)


def _says_unschedulable(said: Condition) -> bool:
    return (said.type, said.status, said.reason) == ("PodScheduled", "False", "Unschedulable")


def would_take(node: Node, template: PodTemplate, beside: Sequence[Pod] = ()) -> bool:
    """Whether nothing but what state a node is in keeps a pod away, which must have room beside these."""
    return _selects(template, node) and _tolerates(template, node) and _has_room(node, template, beside)


def barred(deployment: Deployment, snapshot: Snapshot) -> Sequence[Node]:
    """The nodes that would take its pods, if only they were empty, not cordoned, and in a good state."""
    template = deployment.spec.template
    return [node for node in snapshot.nodes if not _takes_any(node) and would_take(node, template)]


def cordoned_for(deployment: Deployment, said: Condition, snapshot: Snapshot) -> Sequence[Node]:
    """The cordoned nodes that would take one more of its pods now, of which the scheduler said that.

    Not those where it has one, if others do not take it for being beside another.
    """
    template = deployment.spec.template
    apart = live(snapshot.pods_of(deployment)) if BESIDE_NONE in said.message else ()
    taken = {pod.spec.node_name for pod in apart}
    cordoned = [node for node in snapshot.nodes if node.spec.unschedulable and node.metadata.name not in taken]
    return [node for node in cordoned if would_take(node, template, live(snapshot.pods_on(node)))]


def _takes_any(node: Node) -> bool:
    """Whether a node is in a state to take pods at all."""
    ailing = any(taint.effect in KEEPS_AWAY and taint.key.startswith(OF_ITS_STATE) for taint in node.spec.taints)
    return not node.spec.unschedulable and not ailing


def taints(node: Node) -> Sequence[Taint]:
    """What keeps pods away from a node that is in a good state."""
    return [
        taint for taint in node.spec.taints if taint.effect in KEEPS_AWAY and not taint.key.startswith(OF_ITS_STATE)
    ]


def _tolerates(template: PodTemplate, node: Node) -> bool:
    return all(_tolerates_one(template, taint) for taint in taints(node))


def _tolerates_one(template: PodTemplate, taint: Taint) -> bool:
    return any(
        each.key in {"", taint.key}
        and each.effect in {"", taint.effect}
        and (each.operator == "Exists" or (bool(each.key) and each.value == taint.value))
        for each in template.spec.tolerations
    )


def _selects(template: PodTemplate, node: Node) -> bool:
    """Whether a node has the labels that a pod must have. What it only prefers keeps it from nowhere."""
    affinity = template.spec.affinity and template.spec.affinity.node_affinity
    required = affinity.required if affinity else None
    chosen = required is None or any(_fits(term, node) for term in required.node_selector_terms)
    return chosen and matches(template.spec.node_selector, node.metadata.labels)


def _fits(term: NodeTerm, node: Node) -> bool:
    """A term that demands nothing fits nothing: so it is in Kubernetes."""
    by_label = all(holds(each, node.metadata.labels) for each in term.match_expressions)
    by_field = all(holds(each, {"metadata.name": node.metadata.name}) for each in term.match_fields)
    return bool(term.match_expressions or term.match_fields) and by_label and by_field


def _has_room(node: Node, template: PodTemplate, beside: Sequence[Pod]) -> bool:
    """Where a node says nothing of what it has, nothing speaks against it."""
    has = node.status.allocatable
    taken = [asked(pod.spec.containers) for pod in beside]
    return not has or all(
        amount + sum(each.get(resource, 0.0) for each in taken) <= quantity(has.get(resource, 0))
        for resource, amount in asked(template.spec.containers).items()
    )


def asked(containers: Sequence[Container]) -> Mapping[str, float]:
    """What a pod asks for in all; of what has a limit and no request, the limit."""
    asked: dict[str, float] = {}
    for container in containers:
        for resource, amount in {**container.resources.limits, **container.resources.requests}.items():
            asked[resource] = asked.get(resource, 0.0) + quantity(amount)
    return asked
