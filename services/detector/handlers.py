"""The order of things in the detector: group alerts, open incidents, watch symptoms."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from structlog.typing import FilteringBoundLogger

from services.detector import decide
from services.detector.memory import Memory
from services.detector.settings import Settings
from services.detector.surroundings import Surroundings, View
from shared.domain.alert import Alert, AlertStatus
from shared.domain.cluster import Ref
from shared.domain.errors import ClusterForbidden, ClusterUnavailable, Conflict
from shared.domain.events import (
    AlertJoined,
    Base,
    Cleared,
    Kept,
    Merged,
    Opened,
    Quiet,
    Relapsed,
    UndoneForGood,
)
from shared.domain.ids import IncidentId
from shared.domain.incident import Incident, State
from shared.measure.symptom import alerts_of, last_reading, read_symptom
from shared.ports.clock import Clock
from shared.ports.identity import Identity
from shared.ports.ledger import Activities, Ledger, Timers
from shared.ports.metrics import Metrics

WAKES_ON: frozenset[type[Base]] = frozenset({Opened, Cleared, Relapsed, Kept, UndoneForGood})
_WATCHED = frozenset(
    {
        State.DETECTED,
        State.DIAGNOSING,
        State.PLANNING,
        State.AWAITING_APPROVAL,
        State.ESCALATED,
        State.RESOLVED,
    }
)
LATELY = 20
"""How many of the newest incidents a late alert may belong to."""
_MERGEABLE = frozenset({State.DETECTED, State.DIAGNOSING, State.PLANNING, State.AWAITING_APPROVAL})


@dataclass(frozen=True)
class Context:
    """What the detector's handlers work with."""

    ledger: Ledger
    surroundings: Surroundings
    metrics: Metrics | None
    timers: Timers
    activities: Activities
    clock: Clock
    identity: Identity
    settings: Settings
    log: FilteringBoundLogger
    memory: Memory = field(default_factory=Memory)
    merging: asyncio.Lock = field(default_factory=asyncio.Lock)


async def on_alert(alert: Alert, context: Context) -> None:
    """Join the open incident that explains the alert, or open one. A resolved notice only makes us look."""
    view = await _view(context)
    group = decide.group_of(alert, view.topology if view else None)
    home = await _home(group, alert, view, context)
    if alert.status is AlertStatus.RESOLVED:
        if home is not None:
            await context.timers.wake(home.incident, 0)
    elif home is not None:
        await _join(home, alert, context)
    else:
        await _join(await _open(alert, group, view, context), alert, context)


async def _home(group: decide.Group, alert: Alert, view: View | None, context: Context) -> decide.Home | None:
    """Find the open incident that explains it; for a storm's hundreds the ledger is asked once, then only verifies."""
    remembered = context.memory.home(view, group)
    if remembered and decide.may_hold(await context.ledger.fold(remembered.incident), alert.starts_at):
        return remembered
    home = await _look_for_home(group, alert, view, context)
    if home is not None:
        context.memory.went(view, group, home)
    return home


async def _look_for_home(group: decide.Group, alert: Alert, view: View | None, context: Context) -> decide.Home | None:
    if (known := await context.ledger.open_incident(group.key)) is not None:
        return decide.Home(incident=known, because=group.because)
    if view is None:
        return None
    return decide.home_of(group, alert.starts_at, view.topology, await _open_incidents(context))


async def _open_incidents(context: Context) -> Sequence[Incident]:
    folded = [await context.ledger.fold(known) for known in await context.ledger.open_incidents()]
    return [incident for incident in folded if incident.open]


async def _lately_over(context: Context) -> Sequence[Incident]:
    """The newest incidents that ended by themselves, quietly."""
    folded = [await context.ledger.fold(known) for known in await context.ledger.incidents(limit=LATELY)]
    return [incident for incident in folded if incident.states[-2:] == (State.RESOLVED, State.CLOSED)]


async def _view(context: Context) -> View | None:
    """Look around; without the cluster alerts are still grouped, by their names."""
    try:
        return await context.surroundings.view()
    except (ClusterUnavailable, ClusterForbidden) as failure:
        context.log.warning("grouping without the cluster", reason=str(failure))
        return None


async def _open(alert: Alert, group: decide.Group, view: View | None, context: Context) -> decide.Home:
    """Open an incident; one whose symptom is gone already is opened and cleared in one batch.

    If what is over explains an alert that is over, it came late: it belongs there and opens nothing.
    """
    await context.activities.doing("triaging")
    reading = await read_symptom([alert], context.metrics)
    gone = decide.over(reading, _seen(group.root, view))
    if gone and view and (late := decide.home_of(group, alert.starts_at, view.topology, await _lately_over(context))):
        return late
    incident = IncidentId(context.identity.new("inc"))
    opened = Opened(
        cluster=alert.cluster,
        key=group.key,
        root=group.root,
        title=_title(alert, group),
        alert=alert,
        grouped_because=group.because,
    )
    then = [Cleared(reading=reading)] if gone else []
    try:
        await context.ledger.open(incident, opened, *then)
    except Conflict:
        other = await context.ledger.open_incident(group.key)
        if other is None:
            raise  # it was opened and closed meanwhile: the loop calls us again
        return decide.Home(incident=other, because=group.because)
    context.log.info("incident opened", incident=incident, title=opened.title, because=group.because)
    return decide.Home(incident=incident, because=group.because)


def _title(alert: Alert, group: decide.Group) -> str:
    where = str(group.root) if group.root else alert.namespace or "the cluster"
    return f"{alert.name or 'an alert without a name'} on {where}"


def _seen(root: Ref | None, view: View | None) -> decide.Seen:
    """Look whether the root, or a Service in front of it, is unwell; without a root nothing is."""
    if root is None or view is None:
        return decide.Seen(looked=view is not None)
    workload = view.snapshot.deployment(root)
    fronts = [service.ref for service in view.snapshot.services_of(workload)] if workload else []
    unwell = view.topology.unwell
    ailing = next((f"{ref}: {unwell[ref].why}" for ref in (root, *fronts) if ref in unwell), None)
    return decide.Seen(looked=True, ailing=ailing)


async def _join(home: decide.Home, alert: Alert, context: Context) -> None:
    """Record that the alert belongs here, once for each time it began to fire."""
    joined = context.memory.joined(home.incident)
    if joined is None:
        facts = await context.ledger.facts(home.incident)
        joined = {(fact.alert.fingerprint, fact.alert.starts_at) for fact in facts if isinstance(fact, AlertJoined)}
        context.memory.looked(home.incident, joined)
    if (alert.fingerprint, alert.starts_at) not in joined:
        await context.ledger.note(home.incident, AlertJoined(alert=alert, because=home.because))
        joined.add((alert.fingerprint, alert.starts_at))


async def reconcile(incident_id: IncidentId, context: Context) -> None:
    """Look at the symptom of an open incident, and come back."""
    incident = await context.ledger.fold(incident_id)
    if incident.state not in _WATCHED:
        return
    await context.activities.doing(f"watching:{incident.id}")
    view = await _view(context)
    if view and incident.state in _MERGEABLE and await _merge(incident, view, context):
        return
    await _watch(incident, view, context)


async def _merge(incident: Incident, view: View, context: Context) -> bool:
    """Close an incident into the one that explains it, if another has proved to."""
    async with context.merging:  # of two that explain each other, one must stay
        facts = await context.ledger.facts(incident.id)
        alert = next((fact.alert for fact in facts if isinstance(fact, AlertJoined)), None)
        if alert is None or incident.root is None:
            return False
        group = decide.group_of(alert, view.topology)
        others = [other for other in await _open_incidents(context) if other.id != incident.id]
        home = decide.home_of(group, alert.starts_at, view.topology, others)
        into = next((other for other in others if home and other.id == home.incident), None)
        if home is None or into is None or not decide.keeps(into, incident, view.topology):
            return False
        for fact in facts:  # first, for once this incident is closed nobody comes back to it
            if isinstance(fact, AlertJoined):
                await _join(home, fact.alert, context)
        await context.ledger.append(incident, Merged(into=into.id, reason=home.because), frees_key=True)
    return True


async def _watch(incident: Incident, view: View | None, context: Context) -> None:
    settings, facts = context.settings, await context.ledger.facts(incident.id)
    reading = await read_symptom(alerts_of(facts), context.metrics, last_reading(facts))
    outcome = decide.watch(
        incident,
        reading,
        _seen(incident.root, view),
        context.clock.now(),
        relapse_after_s=settings.relapse_after_s / settings.pace,
        watch_s=settings.watch_s / settings.pace,
    )
    match outcome:
        case Quiet():
            await context.ledger.append(incident, outcome, frees_key=True)
            await context.activities.doing("idle")
        case Cleared() | Relapsed():
            await context.ledger.append(incident, outcome)
        case None:
            await context.timers.wake(incident.id, settings.symptom_every_s / settings.pace)
