"""A release that needs more memory than it may have."""

from collections.abc import Iterator, Sequence

from shared.analyzers.crash_loop import AFTER_A_CHANGE
from shared.analyzers.evidence import at, changed
from shared.analyzers.memory_limit_too_low import end, killed_for_memory, roomier
from shared.analyzers.pods import ContainerSeen
from shared.domain.cause import CauseCode, Finding
from shared.domain.objects import Container, Deployment, ReplicaSet
from shared.domain.path import join
from shared.domain.revisions import known_good, rolled_out_within, template_difference
from shared.domain.snapshot import Snapshot


def memory_use_grown(snapshot: Snapshot) -> Iterator[Finding]:
    """A container that the kernel kills for memory since a rollout of the last hour which did not lower its limit.

    Whether it leaks or just needs more, only its author can say; the revision before did with what it had.
    """
    for deployment in snapshot.deployments:
        good = _before(deployment, snapshot)
        for container in deployment.spec.template.spec.containers if good is not None else ():
            killed = killed_for_memory(deployment, container, snapshot)
            if good is not None and killed and roomier(deployment, container, snapshot) is None:
                yield _finding(deployment, container, killed, good)


def _before(deployment: Deployment, snapshot: Snapshot) -> ReplicaSet | None:
    recent = rolled_out_within(AFTER_A_CHANGE, deployment, snapshot)
    return known_good(deployment, snapshot) if recent else None


def _finding(
    deployment: Deployment, container: Container, killed: Sequence[ContainerSeen], good: ReplicaSet
) -> Finding:
    path = join("spec", "template", "spec", "containers", container.name, "resources", "limits", "memory")
    return Finding(
        code=CauseCode.MEMORY_USE_GROWN,
        object=deployment.ref,
        evidence=(
            *(end(found) for found in killed[:3]),
            at(deployment, path),
            at(good, path),
            *(changed(deployment, edit) for edit in template_difference(deployment, good)[:5]),
        ),
        summary=f"container {container.name} of {deployment.ref} is killed for memory since its rollout, at a limit of "
        f"{container.resources.limits['memory']} that revision {good.revision} did with",
        confidence=0.8,
        remedy={"revision": good.revision},
    )
