"""A workload that somebody scaled away from under its callers."""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from shared.analyzers.addresses import services_named
from shared.analyzers.cpu import at_its_end
from shared.analyzers.evidence import at, measured, seen, told
from shared.domain.cause import CauseCode, Evidence, Finding
from shared.domain.objects import Deployment, Event
from shared.domain.revisions import current_revision
from shared.domain.snapshot import Snapshot

_SCALED_DOWN: Final = re.compile(r"Scaled down replica set (?P<name>\S+) from (?P<before>\d+) to (?P<after>\d+)")


class _Before(NamedTuple):
    replicas: int
    event: Event


def scaled_too_low(snapshot: Snapshot) -> Iterator[Finding]:
    """A Deployment at zero, or at less than half of what it was, while somebody needs more of it."""
    for deployment in snapshot.deployments:
        needed = list(_needed(deployment, snapshot))
        if needed:
            yield _finding(deployment, needed, _before(deployment, snapshot))


def _needed(deployment: Deployment, snapshot: Snapshot) -> Iterator[Evidence]:
    """What shows that it should run: at zero, failing requests or callers; else saturation after a scaling down."""
    if deployment.spec.replicas == 0:
        yield from _failing_requests(deployment, snapshot)
        yield from _callers(deployment, snapshot)
        return
    before = _before(deployment, snapshot)
    if before is None or before.replicas <= 2 * deployment.spec.replicas:
        return
    if (use := at_its_end(deployment, snapshot)) is not None:
        yield measured(f"CPU use of {deployment.ref}", f"its pods {use.in_words}")


def _failing_requests(deployment: Deployment, snapshot: Snapshot) -> Iterator[Evidence]:
    for service in snapshot.services_of(deployment):
        key = service.ref.key
        recent = snapshot.recent.get(key)
        if recent is not None and recent.errors > 0:
            series = f'http_requests_total{{namespace="{service.ref.namespace}",service="{service.metadata.name}"}}'
            yield measured(series, f"{recent.errors:.0f} of {recent.requests:.0f} recent requests failed")


def _callers(deployment: Deployment, snapshot: Snapshot) -> Iterator[Evidence]:
    """Running workloads whose environment names a Service of it."""
    fronts = {(service.ref.namespace, service.metadata.name) for service in snapshot.services_of(deployment)}
    if not fronts:
        return
    for caller in snapshot.deployments:
        if caller.spec.replicas > 0 and not fronts.isdisjoint(services_named(caller)):
            yield seen(caller, "/spec/template/spec/containers", f"its environment names a Service of {deployment.ref}")


def _before(deployment: Deployment, snapshot: Snapshot) -> _Before | None:
    """How many replicas its current revision had before it was last scaled down, by the controller's own event."""
    current = current_revision(deployment, snapshot)
    if current is None:
        return None
    scalings = [
        (at, int(matched["before"]), event)
        for event in snapshot.events_about(deployment.ref)
        if (matched := _SCALED_DOWN.search(event.message)) is not None
        and matched["name"] == current.metadata.name
        and int(matched["after"]) == deployment.spec.replicas
        and (at := event.at) is not None
    ]
    if not scalings:
        return None
    _, replicas, event = max(scalings, key=lambda scaling: scaling[0])
    return _Before(replicas, event)


def _finding(deployment: Deployment, needed: list[Evidence], before: _Before | None) -> Finding:
    known = () if before is None else (told(before.event),)
    wants = deployment.spec.replicas
    return Finding(
        code=CauseCode.SCALED_TOO_LOW,
        object=deployment.ref,
        evidence=(at(deployment, "/spec/replicas"), *known, *needed[:4]),
        summary=f"{deployment.ref} wants {wants} replicas"
        + (f", had {before.replicas}," if before is not None else "")
        + " while others need it",
        confidence=0.9 if before is not None else 0.65,
        remedy={"replicas": before.replicas if before is not None else 1},
    )
