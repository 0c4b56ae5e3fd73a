"""An image that cannot be pulled."""

from collections.abc import Iterator, Sequence

from shared.analyzers.evidence import at, seen
from shared.analyzers.pods import IMAGE_PULL, ContainerSeen, containers, current_pods
from shared.domain.cause import CauseCode, Finding
from shared.domain.objects import Deployment, Pod
from shared.domain.path import join
from shared.domain.revisions import known_good
from shared.domain.snapshot import Snapshot


def image_pull_failed(snapshot: Snapshot) -> Iterator[Finding]:
    """A Deployment whose newest pods wait for an image that cannot be pulled."""
    for deployment in snapshot.deployments:
        pods = current_pods(deployment, snapshot)
        stuck = [found for found in containers(pods) if _reason(found) in IMAGE_PULL]
        if stuck:
            yield _finding(deployment, pods, stuck, snapshot)


def _reason(found: ContainerSeen) -> str:
    waiting = found.status.state.waiting
    return "" if waiting is None else waiting.reason


def _message(found: ContainerSeen) -> str:
    waiting = found.status.state.waiting
    return "" if waiting is None else f"{waiting.reason}: {waiting.message}"


def _finding(
    deployment: Deployment, pods: Sequence[Pod], stuck: Sequence[ContainerSeen], snapshot: Snapshot
) -> Finding:
    name = stuck[0].status.name
    listed = "initContainers" if "/initContainerStatuses/" in stuck[0].path else "containers"
    image_path = join("spec", "template", "spec", listed, name, "image")
    image = deployment.object.at(image_path)
    pulled_elsewhere = any(pod.ready for pod in pods)
    good = known_good(deployment, snapshot)
    waiting = [seen(found.pod, f"{found.path}/state/waiting", _message(found)) for found in stuck[:3]]
    return Finding(
        code=CauseCode.IMAGE_PULL_FAILED,
        object=deployment.ref,
        evidence=(*waiting, at(deployment, image_path)),
        summary=f"{len(stuck)} of {len(pods)} new pods of {deployment.ref} cannot pull {image}"
        + (", others could: the image exists, a node or the registry is at fault" if pulled_elsewhere else ""),
        confidence=0.4 if pulled_elsewhere else 0.95,
        remedy={} if good is None else {"revision": good.revision},
    )
