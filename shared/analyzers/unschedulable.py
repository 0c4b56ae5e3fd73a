"""A pod that no node is meant for."""

from collections.abc import Iterator, Sequence
from typing import Final

from shared.analyzers.evidence import at, seen
from shared.analyzers.placing import barred, unscheduled
from shared.analyzers.pods import current_pods
from shared.domain.cause import CauseCode, Evidence, Finding
from shared.domain.objects import Condition, Deployment, Node, Pod, PodTemplate, ReplicaSet
from shared.domain.revisions import known_good
from shared.domain.snapshot import Snapshot, matches

_SELECTOR: Final = "/spec/template/spec/nodeSelector"
_AFFINITY: Final = "/spec/template/spec/affinity/nodeAffinity"
_MISMATCH: Final = "didn't match Pod's node affinity/selector"
"""The scheduler's own words."""


def unschedulable(snapshot: Snapshot) -> Iterator[Finding]:
    """A Deployment whose newest pods wait for a node with labels that no node has."""
    for deployment in snapshot.deployments:
        waiting = [
            (pod, said)
            for pod in current_pods(deployment, snapshot)
            if (said := unscheduled(pod)) is not None and _MISMATCH in said.message
        ]
        if waiting and not _fits_a_node(deployment.spec.template, snapshot) and not barred(deployment, snapshot):
            yield _finding(deployment, waiting, snapshot)


def _fits_a_node(template: PodTemplate, snapshot: Snapshot) -> bool:
    """Whether some node has all the labels of its nodeSelector: then the scheduler has other objections, too.

    Without a nodeSelector it is the affinity that the scheduler's words are about, and they are believed.
    """
    wanted = template.spec.node_selector
    return bool(wanted) and any(matches(wanted, node.metadata.labels) for node in snapshot.nodes)


def _finding(deployment: Deployment, waiting: Sequence[tuple[Pod, Condition]], snapshot: Snapshot) -> Finding:
    good = known_good(deployment, snapshot, lambda made: _finds_a_node(made, deployment, snapshot))
    place = _SELECTOR if deployment.spec.template.spec.node_selector else _AFFINITY
    return Finding(
        code=CauseCode.UNSCHEDULABLE,
        object=deployment.ref,
        evidence=(
            *(_word_of_the_scheduler(pod, said) for pod, said in waiting[:3]),
            at(deployment, place),
            *(seen(node, "/metadata/labels", _asked_of(deployment, node)) for node in snapshot.nodes[:5]),
        ),
        summary=f"{len(waiting)} pods of {deployment.ref} find no node: none has the labels that they ask for"
        + (f", and revision {good.revision} asked for others" if good is not None else ""),
        confidence=0.95,
        remedy={} if good is None else {"revision": good.revision},
    )


def _word_of_the_scheduler(pod: Pod, said: Condition) -> Evidence:
    return seen(pod, "/status/conditions/PodScheduled", f"{said.reason}: {said.message}")


def _asked_of(deployment: Deployment, node: Node) -> str:
    """What a node has of the labels that are asked for."""
    labels, wanted = node.metadata.labels, deployment.spec.template.spec.node_selector
    return ", ".join(f"{key}={labels.get(key, 'absent')}" for key in sorted(wanted)) or f"{len(labels)} labels"


def _finds_a_node(made: ReplicaSet, deployment: Deployment, snapshot: Snapshot) -> bool:
    """Whether it asks for other labels, and some node has them."""
    differs = any(made.object.at(path) != deployment.object.at(path) for path in (_SELECTOR, _AFFINITY))
    return differs and (not made.spec.template.spec.node_selector or _fits_a_node(made.spec.template, snapshot))
