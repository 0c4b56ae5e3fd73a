"""An init container that does not end."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from shared.analyzers.evidence import at, seen
from shared.analyzers.pods import ContainerSeen, containers, current_pods
from shared.domain.cause import CauseCode, Finding
from shared.domain.objects import Deployment
from shared.domain.path import join
from shared.domain.revisions import known_good, otherwise
from shared.domain.snapshot import Snapshot

LONG: Final = timedelta(minutes=1)
"""What prepares a pod within this is not said to hang; what takes longer may, and a migration may not be done."""


def init_container_hanging(snapshot: Snapshot) -> Iterator[Finding]:
    """A Deployment none of whose newest pods gets on, because what runs before their containers does not end."""
    for deployment in snapshot.deployments:
        pods = current_pods(deployment, snapshot)
        hanging = [found for found in containers(pods) if _hangs(found, snapshot)]
        if hanging and len({found.pod.ref for found in hanging}) == len(pods):
            yield _finding(deployment, hanging, snapshot)


def _hangs(found: ContainerSeen, snapshot: Snapshot) -> bool:
    """Whether it runs for long, and is no sidecar: of those the pod's own containers do not wait."""
    running = found.status.state.running
    waits = "PodInitializing" in found.pod.waiting_reasons
    since = None if running is None else running.started_at
    return "/initContainerStatuses/" in found.path and waits and since is not None and snapshot.taken_at - since > LONG


def _finding(deployment: Deployment, hanging: list[ContainerSeen], snapshot: Snapshot) -> Finding:
    name = hanging[0].status.name
    path = join("spec", "template", "spec", "initContainers", name)
    good = known_good(deployment, snapshot, otherwise(deployment, path))
    return Finding(
        code=CauseCode.INIT_CONTAINER_HANGING,
        object=deployment.ref,
        evidence=(
            *(
                seen(found.pod, f"{found.path}/state/running", "it runs, and the pod waits for it")
                for found in hanging[:3]
            ),
            at(deployment, path),
        ),
        summary=f"init container {name} of {deployment.ref} does not end"
        + (f"; revision {good.revision} had none such" if good is not None else ""),
        confidence=0.9 if good is not None else 0.6,
        remedy={} if good is None else {"revision": good.revision},
    )
