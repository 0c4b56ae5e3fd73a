"""A service that has no connection left, and who may have taken them."""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from shared.analyzers.callers import changed_callers
from shared.analyzers.evidence import changed
from shared.analyzers.said import said_of_services
from shared.domain.cause import CauseCode, Evidence, Finding
from shared.domain.objects import Deployment, Service
from shared.domain.revisions import template_difference
from shared.domain.snapshot import Snapshot

_EXHAUSTED: Final = re.compile(
    r"too many (open )?(connections|clients)|remaining connection slots are reserved"
    r"|max(imum)? number of (clients|connections) reached|ORA-12519|ORA-00020",
    re.IGNORECASE,
)
"""What PostgreSQL, MySQL, Redis, MongoDB, Oracle and HTTP services say to who comes too late."""


def connections_exhausted(snapshot: Snapshot) -> Iterator[Finding]:
    """A service that turns its callers away for want of connections, and the one caller that was just rolled out.

    It limits them for all, and does not say who holds them. A caller that changed within the hour is the suspect, if
    it is the only one; else the service itself is named, and a person must look.
    """
    turned_away = said_of_services(_EXHAUSTED, snapshot)
    for service in snapshot.services:
        behind = snapshot.workloads_behind(service)
        if len(behind) == 1 and (lines := turned_away.get(service.ref)):
            yield _finding(behind[0], service, lines, snapshot)


def _finding(callee: Deployment, service: Service, lines: Sequence[Evidence], snapshot: Snapshot) -> Finding:
    suspects = tuple(changed_callers(service, snapshot))
    said = f"{callee.ref} has no connection left for its callers"
    if len(suspects) != 1:
        return Finding(
            code=CauseCode.CONNECTIONS_EXHAUSTED,
            object=callee.ref,
            evidence=tuple(lines[-3:]),
            summary=f"{said}; who holds them does not show",
            confidence=0.6,
        )
    ((caller, good),) = suspects
    return Finding(
        code=CauseCode.CONNECTIONS_EXHAUSTED,
        object=caller.ref,
        evidence=(
            *lines[-3:],
            *(changed(caller, edit) for edit in template_difference(caller, good)[:5]),
        ),
        summary=f"{said}, and of those {caller.ref} is the one that changed (revision {good.revision} differs)",
        confidence=0.75,
        remedy={"revision": good.revision},
        harms=callee.ref,
    )
