"""A change shortly before the trouble: no proof, but most incidents follow one."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from shared.analyzers.evidence import at, changed, measured
from shared.domain.cause import CauseCode, Evidence, Finding
from shared.domain.objects import Deployment, ReplicaSet
from shared.domain.revisions import (
    came_back,
    current_revision,
    earlier_revisions,
    known_good,
    rolled_out_at,
    template_difference,
)
from shared.domain.snapshot import Snapshot

RECENT: Final = timedelta(minutes=15)
_OWN_MANAGER: Final = "primum"
_CONFIDENCE: Final = 0.7
_CONFIDENCE_IN_A_WAY_BACK: Final = 0.45
"""Somebody rolled back lately: to take that back unasked would be to fight the person who is mending it."""


def recent_rollout(snapshot: Snapshot) -> Iterator[Finding]:
    """A Deployment whose newest revision came within the last quarter of an hour, and not by Primum's own hand."""
    for deployment in snapshot.deployments:
        current = current_revision(deployment, snapshot)
        since = None if current is None else rolled_out_at(current, snapshot)
        if current is None or since is None or snapshot.taken_at - since > RECENT:
            continue
        if earlier_revisions(deployment, snapshot) and not _ours(deployment):
            yield _finding(deployment, current, since, snapshot)


def _ours(deployment: Deployment) -> bool:
    """Whether the template's last writer is Primum.

    By managedFields where the server keeps them; where it does not, the mark alone speaks, and in doubt it is ours:
    to suspect our own repair would undo it.
    """
    if deployment.transaction_mark is None:
        return False
    writers = sorted(_template_writers(deployment))
    return not writers or writers[-1][1].startswith(_OWN_MANAGER)


def _template_writers(deployment: Deployment) -> Iterator[tuple[str, str]]:
    """(time, manager) of each entry that owns a part of the pod template; times are RFC 3339 in UTC, so they sort."""
    entries = deployment.object.at("/metadata/managedFields")
    for entry in entries if isinstance(entries, list) else []:
        if not isinstance(entry, dict) or entry.get("subresource"):
            continue
        fields = entry.get("fieldsV1")
        spec = fields.get("f:spec") if isinstance(fields, dict) else None
        if isinstance(spec, dict) and "f:template" in spec:
            yield str(entry.get("time", "")), str(entry.get("manager", ""))


def _finding(deployment: Deployment, current: ReplicaSet, since: datetime, snapshot: Snapshot) -> Finding:
    age_s = (snapshot.taken_at - since).total_seconds()
    good = known_good(deployment, snapshot)
    edits = template_difference(deployment, good) if good is not None else ()
    return Finding(
        code=CauseCode.RECENT_ROLLOUT,
        object=deployment.ref,
        evidence=(
            at(current, "/metadata/creationTimestamp"),
            *(changed(deployment, edit) for edit in edits[:8]),
            *_errors(deployment, snapshot),
        ),
        summary=f"{deployment.ref} went to revision {current.revision} {age_s:.0f} s ago",
        confidence=_CONFIDENCE_IN_A_WAY_BACK if came_back(current) else _CONFIDENCE,
        remedy={} if good is None else {"revision": good.revision},
    )


def _errors(deployment: Deployment, snapshot: Snapshot) -> Iterator[Evidence]:
    """A hint only: whom the alert is about decides."""
    for service in snapshot.services_of(deployment):
        recent = snapshot.recent.get(service.ref.key)
        if recent is not None and recent.errors > 0:
            series = f'http_requests_total{{namespace="{service.ref.namespace}",service="{service.metadata.name}"}}'
            yield measured(series, f"{recent.error_ratio:.1%} of {recent.requests:.0f} recent requests failed")
