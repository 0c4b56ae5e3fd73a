"""Pods that keep one another away from every node."""

from collections.abc import Iterator
from typing import Final

from shared.analyzers.evidence import at, seen
from shared.analyzers.placing import BESIDE_NONE, cordoned_for, unscheduled
from shared.analyzers.pods import current_pods
from shared.domain.cause import CauseCode, Finding
from shared.domain.revisions import known_good, otherwise
from shared.domain.snapshot import Snapshot

_AFFINITY: Final = "/spec/template/spec/affinity"


def anti_affinity_unsatisfiable(snapshot: Snapshot) -> Iterator[Finding]:
    """A Deployment whose newest pods find no node, because each has a pod already that they must not be beside."""
    for deployment in snapshot.deployments:
        waiting = [
            seen(pod, "/status/conditions/PodScheduled", f"{said.reason}: {said.message}")
            for pod in current_pods(deployment, snapshot)
            if (said := unscheduled(pod)) is not None
            and BESIDE_NONE in said.message
            and not cordoned_for(deployment, said, snapshot)
        ]
        if waiting:
            good = known_good(deployment, snapshot, otherwise(deployment, _AFFINITY))
            yield Finding(
                code=CauseCode.ANTI_AFFINITY_UNSATISFIABLE,
                object=deployment.ref,
                evidence=(*waiting[:3], at(deployment, _AFFINITY), at(deployment, "/spec/replicas")),
                summary=f"{len(waiting)} pods of {deployment.ref} must not be beside others, and no node is without",
                confidence=0.9,
                remedy={} if good is None else {"revision": good.revision},
            )
