"""A taint that keeps pods away."""

from collections.abc import Iterator, Sequence
from typing import Final

from shared.analyzers.evidence import at, seen
from shared.analyzers.placing import barred, taints, unscheduled
from shared.analyzers.pods import current_pods
from shared.domain.cause import CauseCode, Finding
from shared.domain.objects import Node
from shared.domain.revisions import known_good, otherwise
from shared.domain.snapshot import Snapshot

_TOLERATIONS: Final = "/spec/template/spec/tolerations"
_SELECTOR: Final = "/spec/template/spec/nodeSelector"


def taint_not_tolerated(snapshot: Snapshot) -> Iterator[Finding]:
    """A Deployment whose newest pods find no node, because the ones that fit have a taint that they do not tolerate."""
    tainted = [node for node in snapshot.nodes if taints(node)]
    for deployment in snapshot.deployments:
        waiting = [
            seen(pod, "/status/conditions/PodScheduled", f"{said.reason}: {said.message}")
            for pod in current_pods(deployment, snapshot)
            if (said := unscheduled(pod)) is not None and _for_taints_alone(said.message)
        ]
        if waiting and tainted and not barred(deployment, snapshot):
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


def _said(nodes: Sequence[Node]) -> Sequence[str]:
    return sorted({str(taint) for node in nodes for taint in taints(node)})
