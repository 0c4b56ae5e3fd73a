"""A process that ends again and again."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from shared.analyzers.evidence import changed, seen
from shared.analyzers.memory_limit_too_low import memory_limit_too_low
from shared.analyzers.pods import CRASH_LOOP, ContainerSeen, containers, current_pods
from shared.domain.cause import CauseCode, Evidence, Finding
from shared.domain.objects import Deployment
from shared.domain.revisions import current_revision, known_good, rolled_out_at, template_difference
from shared.domain.snapshot import Snapshot

AFTER_A_CHANGE: Final = timedelta(hours=1)
_LEAST_RESTARTS: Final = 2


def crash_loop(snapshot: Snapshot) -> Iterator[Finding]:
    """A Deployment whose newest pods end again and again, and not for want of memory."""
    for_memory = {finding.object for finding in memory_limit_too_low(snapshot)}
    for deployment in snapshot.deployments:
        if deployment.ref in for_memory:
            continue
        crashing = [found for found in containers(current_pods(deployment, snapshot)) if crashes(found)]
        if crashing:
            yield _finding(deployment, crashing, snapshot)


def crashes(found: ContainerSeen) -> bool:
    """Whether a container ends again and again, and not for want of memory."""
    last = found.last_end
    if last is not None and last[0].reason == "OOMKilled":
        return False
    waiting, ended = found.status.state.waiting, found.status.state.terminated
    if waiting is not None:
        return waiting.reason == CRASH_LOOP
    return ended is not None and ended.exit_code != 0 and found.status.restart_count >= _LEAST_RESTARTS


def _finding(deployment: Deployment, crashing: list[ContainerSeen], snapshot: Snapshot) -> Finding:
    since = _changed_lately(deployment, snapshot)
    good = known_good(deployment, snapshot) if since else None
    difference = template_difference(deployment, good) if good is not None else ()
    return Finding(
        code=CauseCode.CRASH_LOOP,
        object=deployment.ref,
        evidence=(
            *(_crash(found) for found in crashing[:3]),
            *(changed(deployment, edit) for edit in difference[:5]),
        ),
        summary=f"{len(crashing)} containers of {deployment.ref} crash again and again"
        + (f", since its template changed (revision {good.revision} differs)" if good is not None else ""),
        confidence=0.85 if good is not None else 0.5,
        remedy={} if good is None else {"revision": good.revision},
    )


def _crash(found: ContainerSeen) -> Evidence:
    waiting, last = found.status.state.waiting, found.last_end
    ended = "" if last is None else f", exit code {last[0].exit_code} ({last[0].reason})"
    said = "" if waiting is None else f"{waiting.reason}: {waiting.message}"
    return seen(found.pod, found.path, f"{said}{ended}, {found.status.restart_count} restarts")


def _changed_lately(deployment: Deployment, snapshot: Snapshot) -> bool:
    """Whether the crashing template is new: what ran for days and crashes now was not broken by its rollout."""
    current = current_revision(deployment, snapshot)
    since = None if current is None else rolled_out_at(current, snapshot)
    return since is not None and snapshot.taken_at - since <= AFTER_A_CHANGE
