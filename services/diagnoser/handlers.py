"""The order of things in the diagnoser: look, find, rank, say."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from structlog.typing import FilteringBoundLogger

from services.diagnoser import decide
from services.diagnoser.settings import Settings
from shared.analyzers.registry import ANALYZERS, findings
from shared.analyzers.suspects import suspects
from shared.analyzers.topology import Topology
from shared.bus import wakes
from shared.domain.alert import Alert
from shared.domain.cause import Cause
from shared.domain.errors import ClusterForbidden, ClusterUnavailable, Retry
from shared.domain.events import (
    CouldNotLook,
    Diagnosed,
    DiagnosisStarted,
    NothingFound,
    Opened,
    Owner,
)
from shared.domain.ids import IncidentId
from shared.domain.incident import Incident, State
from shared.domain.snapshot import Snapshot
from shared.measure.enrich import with_metrics
from shared.measure.listen import with_logs
from shared.measure.symptom import alerts_of
from shared.ports.clock import Clock
from shared.ports.cluster import Cluster
from shared.ports.ledger import Activities, Ledger, Timers
from shared.ports.logs import Logs
from shared.ports.metrics import Metrics

WAKES_ON = wakes.WAKES_ON[Owner.DIAGNOSER]
_MOST_TOLD: Final = 20
"""Findings elsewhere that `looked_at` names: a broken cluster has hundreds."""


@dataclass(frozen=True)
class Context:
    """What the diagnoser's handlers work with."""

    ledger: Ledger
    cluster: Cluster
    metrics: Metrics | None
    timers: Timers
    activities: Activities
    clock: Clock
    settings: Settings
    log: FilteringBoundLogger
    logs: Logs | None = None
    waiting: dict[IncidentId, datetime] = field(default_factory=dict)
    """The incidents for which the cluster did not answer, by when it last did not."""


async def reconcile(incident_id: IncidentId, context: Context) -> None:
    """Start a diagnosis that is owed, and bring one that was started to its end."""
    incident = (await context.ledger.fold(incident_id)).understood()
    if incident.state is State.DETECTED:
        incident = await context.ledger.append(incident, DiagnosisStarted())
    if incident.state is not State.DIAGNOSING:
        context.waiting.pop(incident_id, None)
        return
    await context.activities.doing(_waits(context) or f"diagnosing:{incident_id}")
    try:
        await _diagnose(incident, context)
    finally:
        await context.activities.doing(_waits(context) or "idle")


def _waits(context: Context) -> str | None:
    """Say so while the cluster does not answer; not longer than any diagnosis would: somebody else may have made it."""
    oldest = context.clock.now() - timedelta(seconds=context.settings.look_deadline_s)
    waiting = [incident for incident, at in context.waiting.items() if at > oldest]
    return f"waiting-for-the-cluster:{waiting[0]}" if waiting else None


async def _diagnose(incident: Incident, context: Context) -> None:
    try:
        snapshot = await _look(incident, context)
    except ClusterForbidden as refusal:
        context.waiting.pop(incident.id, None)
        await context.ledger.append(incident, CouldNotLook(reason=str(refusal)))
        return
    except ClusterUnavailable as failure:
        await _could_not_look(incident, failure, context)
        return
    context.waiting.clear()
    alerts = await _alerts(incident, context)
    topology = Topology.of(snapshot)
    found = findings(snapshot)
    causes = decide.rank(found, incident, topology, alerts)
    settings = context.settings
    look_again_s = settings.look_again_s / settings.pace
    # After a rollout, rates of the new pods need a whole window before they mean anything.
    window_s = settings.metrics_window_s if context.metrics else 0.0
    grace_s = max(look_again_s * (settings.looks - 1), 2 * window_s)
    now = context.clock.now()
    if decide.worth_another_look(causes, topology, incident, now, grace_s=grace_s, window_s=window_s):
        await context.timers.wake(incident.id, look_again_s)
        return
    looked_at = _looked_at(snapshot, alerts, decide.elsewhere(found, causes), context)
    await _conclude(incident, causes, looked_at, context)


async def _alerts(incident: Incident, context: Context) -> Sequence[Alert]:
    """Those that joined; the first of all is in the opening itself, and may be noted only after it."""
    if joined := alerts_of(await context.ledger.facts(incident.id)):
        return joined
    history = await context.ledger.history(incident.id)
    return [record.event.alert for record in history if isinstance(record.event, Opened)]


async def _look(incident: Incident, context: Context) -> Snapshot:
    """Read the whole cluster: what an alert's object depends on may be of any namespace."""
    snapshot, window_s = await context.cluster.snapshot(), context.settings.metrics_window_s
    if context.metrics is not None:
        snapshot = await with_metrics(snapshot, context.metrics, window_s)
    if context.logs is not None:
        root = [incident.root] if incident.root else []
        snapshot = await with_logs(snapshot, context.logs, [*root, *suspects(snapshot)], window_s)
    return snapshot


async def _could_not_look(incident: Incident, failure: ClusterUnavailable, context: Context) -> None:
    """Try again until the deadline; then a person must know that nobody looked."""
    settings = context.settings
    since = incident.updated_at or context.clock.now()
    if context.clock.now() - since < timedelta(seconds=settings.look_deadline_s):
        if incident.id not in context.waiting:
            context.log.warning("the cluster cannot be looked at", incident=incident.id, reason=str(failure))
        context.waiting[incident.id] = context.clock.now()
        raise Retry(f"the cluster cannot be looked at: {failure}", after_s=settings.look_again_s) from failure
    context.waiting.pop(incident.id, None)
    reason = f"the cluster could not be looked at for {settings.look_deadline_s:.0f} s: {failure}"
    await context.ledger.append(incident, CouldNotLook(reason=reason))


def _looked_at(
    snapshot: Snapshot, alerts: Sequence[Alert], elsewhere: Sequence[str], context: Context
) -> tuple[str, ...]:
    without = ("not read: metrics (no Prometheus is configured)",) if context.metrics is None else ()
    more = (f"and {len(elsewhere) - _MOST_TOLD} more findings elsewhere",) if len(elsewhere) > _MOST_TOLD else ()
    return (
        *snapshot.looked_at,
        *without,
        f"{len(alerts)} alerts, with {len(ANALYZERS)} analyzers over {len(snapshot.objects)} objects",
        *elsewhere[:_MOST_TOLD],
        *more,
    )


async def _conclude(
    incident: Incident, causes: tuple[Cause, ...], looked_at: tuple[str, ...], context: Context
) -> None:
    if not causes:
        await context.ledger.append(incident, NothingFound(looked_at=looked_at))
        return
    await context.ledger.append(incident, Diagnosed(causes=causes, looked_at=looked_at))
    context.log.info("diagnosed", incident=incident.id, cause=causes[0].code, object=str(causes[0].object))
