"""A taint that keeps pods away."""

from collections.abc import Iterator, Sequence
from typing import Final

from shared.analyzers.evidence import at, seen
from shared.analyzers.pods import current_pods
from shared.analyzers.unschedulable import unscheduled
from shared.domain.cause import CauseCode, Finding
from shared.domain.objects import Node
from shared.domain.revisions import known_good, otherwise
from shared.domain.snapshot import Snapshot

_OF_ITS_STATE: Final = "node.kubernetes.io/"
"""Taints with this prefix come and go with what a node is: cordoned, not ready, short of memory."""
_TOLERATIONS: Final = "/spec/template/spec/tolerations"
_SELECTOR: Final = "/spec/template/spec/nodeSelector"
_KEEPS_AWAY: Final = frozenset({"NoSchedule", "NoExecute"})


def taint_not_tolerated(snapshot: Snapshot) -> Iterator[Finding]:
    """A Deployment whose newest pods find no node, because the ones that fit have a taint that they do not tolerate."""
    tainted = [node for node in snapshot.nodes if _taints(node)]
    for deployment in snapshot.deployments:
        waiting = [
            seen(pod, "/status/conditions/PodScheduled", f"{said.reason}: {said.message}")
            for pod in current_pods(deployment, snapshot)
            if (said := unscheduled(pod)) is not None and _for_taints_alone(said.message)
        ]
        if waiting and tainted:
            good = known_good(deployment, snapshot, otherwise(deployment, _TOLERATIONS, _SELECTOR))
            yield Finding(
                code=CauseCode.TAINT_NOT_TOLERATED,
                object=deployment.ref,
                evidence=(
                    *waiting[:3],
                    *(at(node, "/spec/taints") for node in tainted[:3]),
                    at(deployment, _TOLERATIONS),
                ),
                summary=f"{len(waiting)} pods of {deployment.ref} do not tolerate {', '.join(_said(tainted))}",
                confidence=0.9,
                remedy={} if good is None else {"revision": good.revision},
            )


def _for_taints_alone(message: str) -> bool:
    """Beside another objection a taint may be as it should: nearly every cluster has a node that is not for all."""
    others = ("Insufficient", "didn't match", "unschedulable")
    return "untolerated taint" in message and not any(other in message for other in others)


def _taints(node: Node) -> Sequence[str]:
    return [
        str(taint)
        for taint in node.spec.taints
        if taint.effect in _KEEPS_AWAY and not taint.key.startswith(_OF_ITS_STATE)
    ]


def _said(nodes: Sequence[Node]) -> Sequence[str]:
    return sorted({taint for node in nodes for taint in _taints(node)})
