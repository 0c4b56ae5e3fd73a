"""Pods that wait for a node that somebody cordoned."""

from collections.abc import Iterator, Sequence
from typing import Final

from shared.analyzers.evidence import at, seen
from shared.analyzers.placing import cordoned_for, unscheduled
from shared.analyzers.pods import current_pods
from shared.domain.cause import CauseCode, Finding
from shared.domain.objects import Condition, Deployment, Node, Pod
from shared.domain.snapshot import Snapshot

_WORDS: Final = "were unschedulable"
"""The scheduler's own, of nodes with `spec.unschedulable`; it says nothing else of those."""


def node_cordoned(snapshot: Snapshot) -> Iterator[Finding]:
    """A Deployment whose newest pods find no node, while a cordoned one has what they ask for, and room for one more.

    Whether what it was cordoned for is over is for whoever did it to say.
    """
    for deployment in snapshot.deployments:
        waiting = [
            (pod, said)
            for pod in current_pods(deployment, snapshot)
            if (said := unscheduled(pod)) is not None and _WORDS in said.message
        ]
        if waiting and (cordoned := cordoned_for(deployment, waiting[0][1], snapshot)):
            yield _finding(deployment, waiting, cordoned)


def _finding(deployment: Deployment, waiting: Sequence[tuple[Pod, Condition]], cordoned: Sequence[Node]) -> Finding:
    names = ", ".join(node.metadata.name for node in cordoned)
    return Finding(
        code=CauseCode.NODE_CORDONED,
        object=deployment.ref,
        evidence=(
            *(
                seen(pod, "/status/conditions/PodScheduled", f"{said.reason}: {said.message}")
                for pod, said in waiting[:3]
            ),
            *(at(node, "/spec/unschedulable") for node in cordoned[:5]),
        ),
        summary=f"{len(waiting)} pods of {deployment.ref} find no node: of those that would take them, {names} "
        f"{'is' if len(cordoned) == 1 else 'are'} cordoned; whoever did that knows whether they are needed again",
        confidence=0.9,
    )
