"""A memory limit that the process does not fit into."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from shared.analyzers.evidence import at, seen, told
from shared.analyzers.pods import ContainerSeen, containers, current_pods, probe_failures
from shared.domain.cause import CauseCode, Evidence, Finding
from shared.domain.frozen import Json
from shared.domain.objects import Container, Deployment, ReplicaSet, Terminated, quantity
from shared.domain.path import join
from shared.domain.revisions import current_revision
from shared.domain.snapshot import Snapshot

RECENT: Final = timedelta(minutes=15)
"""A kill longer ago, in a pod that has been well since, is history."""
_KILLED: Final = 137


def memory_limit_too_low(snapshot: Snapshot) -> Iterator[Finding]:
    """A container that the kernel kills for memory, although an earlier revision had a higher limit, or none."""
    for deployment in snapshot.deployments:
        for container in deployment.spec.template.spec.containers:
            if killed := killed_for_memory(deployment, container, snapshot):
                yield _finding(deployment, container, killed, roomier(deployment, container, snapshot), snapshot)


def killed_for_memory(deployment: Deployment, container: Container, snapshot: Snapshot) -> list[ContainerSeen]:
    """Where this container of the newest pods was killed for memory lately; of one that has a limit."""
    if "memory" not in container.resources.limits:
        return []
    lowered = roomier(deployment, container, snapshot) is not None
    mine = (found for found in containers(current_pods(deployment, snapshot)) if found.status.name == container.name)
    return [found for found in mine if _was_killed(found, snapshot, lowered=lowered)]


def _was_killed(found: ContainerSeen, snapshot: Snapshot, *, lowered: bool) -> bool:
    if (last := found.last_end) is None or not _for_memory(last[0], found, snapshot, lowered=lowered):
        return False
    finished_at = last[0].finished_at
    return not found.status.ready or finished_at is None or snapshot.taken_at - finished_at <= RECENT


def _for_memory(end: Terminated, found: ContainerSeen, snapshot: Snapshot, *, lowered: bool) -> bool:
    """Whether the kernel killed it for memory.

    137 alone is any SIGKILL, such as a failed liveness probe's. It is one for memory if an event says so, or if the
    limit was lowered and no probe killed it: containerd loses the word of the kernel now and then, and says `Error`.
    """
    if end.reason == "OOMKilled":
        return True
    said = bool(_oom_events(found, snapshot)) or (lowered and not probe_failures("Liveness", found.pod, snapshot))
    return end.exit_code == _KILLED and said


def _oom_events(found: ContainerSeen, snapshot: Snapshot) -> list[Evidence]:
    about = snapshot.events_about(found.pod.ref)
    return [told(event) for event in about if "oom" in f"{event.reason} {event.message}".lower()]


def _finding(
    deployment: Deployment,
    container: Container,
    killed: list[ContainerSeen],
    earlier: ReplicaSet | None,
    snapshot: Snapshot,
) -> Finding:
    path = join("spec", "template", "spec", "containers", container.name, "resources", "limits", "memory")
    limit = container.resources.limits["memory"]
    evidence = [end(found) for found in killed[:3]] + _oom_events(killed[0], snapshot)[:1] + [at(deployment, path)]
    remedy: dict[str, Json] = {"container": container.name}
    summary = f"container {container.name} of {deployment.ref} is killed for memory at a limit of {limit}"
    if earlier is not None:
        evidence.append(at(earlier, path))
        remedy["revision"] = earlier.revision
        summary += f"; revision {earlier.revision} had {earlier.object.at(path) or 'none'}"
    return Finding(
        code=CauseCode.MEMORY_LIMIT_TOO_LOW,
        object=deployment.ref,
        evidence=tuple(evidence),
        summary=summary,
        confidence=(0.95 if _told(killed, snapshot) else 0.8) if earlier is not None else 0.75,
        remedy=remedy,
    )


def _told(killed: list[ContainerSeen], snapshot: Snapshot) -> bool:
    """Whether somebody says memory, or only the number and the change speak for it."""
    ends = (last[0].reason for found in killed if (last := found.last_end) is not None)
    return "OOMKilled" in ends or any(_oom_events(found, snapshot) for found in killed)


def end(found: ContainerSeen) -> Evidence:
    """Point at how a container ended."""
    if (last := found.last_end) is None:
        return seen(found.pod, found.path, f"{found.status.restart_count} restarts")
    return seen(
        found.pod, last[1], f"{last[0].reason}, exit code {last[0].exit_code}, {found.status.restart_count} restarts"
    )


def roomier(deployment: Deployment, container: Container, snapshot: Snapshot) -> ReplicaSet | None:
    """The newest earlier revision that gave this container more memory."""
    current = current_revision(deployment, snapshot)
    limit = quantity(container.resources.limits["memory"])
    for made in snapshot.revisions_of(deployment):
        if current is not None and made.revision < current.revision:
            same = next((c for c in made.spec.template.spec.containers if c.name == container.name), None)
            if same is not None and quantity(same.resources.limits.get("memory", "1E")) > limit:
                return made
    return None
