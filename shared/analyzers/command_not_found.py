"""A program that is not in its image."""

import re
from collections.abc import Iterator
from typing import Final

from shared.analyzers.evidence import at, seen
from shared.analyzers.pods import ContainerSeen, containers, current_pods
from shared.domain.cause import CauseCode, Finding
from shared.domain.objects import Deployment
from shared.domain.path import join
from shared.domain.revisions import known_good, otherwise
from shared.domain.snapshot import Snapshot

_NOT_THERE: Final = re.compile(r"exec: .{0,200}(no such file or directory|executable file not found|permission denied)")
"""runc's words, as containerd and CRI-O hand them on."""


def command_not_found(snapshot: Snapshot) -> Iterator[Finding]:
    """A Deployment whose newest containers cannot be started, because the command that they are to run is not there."""
    for deployment in snapshot.deployments:
        stuck = [found for found in containers(current_pods(deployment, snapshot)) if _said(found)]
        if stuck:
            yield _finding(deployment, stuck, snapshot)


def _said(found: ContainerSeen) -> str:
    """What the runtime said, if it is that."""
    waiting, last = found.status.state.waiting, found.last_end
    words = (*((waiting.message,) if waiting else ()), *((last[0].message,) if last else ()))
    return next((message for message in words if _NOT_THERE.search(message)), "")


def _finding(deployment: Deployment, stuck: list[ContainerSeen], snapshot: Snapshot) -> Finding:
    name = stuck[0].status.name
    listed = "initContainers" if "/initContainerStatuses/" in stuck[0].path else "containers"
    place = join("spec", "template", "spec", listed, name)
    paths = [f"{place}/{field}" for field in ("command", "args", "image")]
    good = known_good(deployment, snapshot, otherwise(deployment, *paths))
    return Finding(
        code=CauseCode.COMMAND_NOT_FOUND,
        object=deployment.ref,
        evidence=(
            *(seen(found.pod, found.path, _said(found)) for found in stuck[:3]),
            *(at(deployment, path) for path in paths[:2]),
        ),
        summary=f"the command of container {name} of {deployment.ref} is not in its image",
        confidence=0.95,
        remedy={} if good is None else {"revision": good.revision},
    )
