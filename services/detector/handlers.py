"""The order of things in the detector: group alerts, open incidents, watch symptoms."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from structlog.typing import FilteringBoundLogger

from services.detector import decide
from services.detector.look import Look
from services.detector.memory import Memory
from services.detector.settings import Settings
from services.detector.surroundings import Surroundings, View
from shared.analyzers.unhealthy import why_unwell
from shared.bus import wakes
from shared.domain.alert import Alert, AlertStatus
from shared.domain.cluster import Kind, Ref
from shared.domain.errors import ClusterForbidden, ClusterUnavailable, Conflict
from shared.domain.events import (
    AlertJoined,
    Cleared,
    Merged,
    Opened,
    Owner,
    Quiet,
    Relapsed,
)
from shared.domain.ids import IncidentId
from shared.domain.incident import Incident, State
from shared.measure.symptom import alerts_of, last_reading, read_symptom
from shared.ports.clock import Clock
from shared.ports.identity import Identity
from shared.ports.ledger import Activities, Ledger, Timers
from shared.ports.metrics import Metrics

WAKES_ON = wakes.WAKES_ON[Owner.DETECTOR]
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
_SHOWING_HEALTH = (Kind.DEPLOYMENT, Kind.REPLICA_SET, Kind.POD, Kind.SERVICE, Kind.ENDPOINT_SLICE)
"""Without one of these a workload that is not seen to be unwell is not well."""


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


async def on_alerts(alerts: Sequence[Alert], context: Context) -> None:
    """Let each alert join the open incident that explains it, or open one. A resolved notice only makes us look.

    They are handled together: one look at the cluster, one fold of each incident, and what is recorded goes at once.
    """
    look = Look(await _view(context), context.ledger)
    joins: dict[IncidentId, list[AlertJoined]] = {}
    wakes: set[IncidentId] = set()
    to_be_open: set[IncidentId] = set()
    for alert in alerts:
        group = decide.group_of(alert, look.topology)
        home = await _home(group, alert, look, context)
        if alert.status is AlertStatus.FIRING:
            home = home or await _open(alert, group, look, context)
            joins.setdefault(home.incident, []).append(AlertJoined(alert=alert, because=home.because))
            to_be_open |= set() if home.over else {home.incident}
        elif home is not None:
            wakes.add(home.incident)
    for incident, joined in joins.items():
        await _join(incident, joined, context)
        if incident in to_be_open and not (await context.ledger.fold(incident)).open:
            raise Conflict(f"{incident} was closed while alerts joined it: nobody would look at them there")
    for incident in wakes:
        await context.timers.wake(incident, 0)


async def _home(group: decide.Group, alert: Alert, look: Look, context: Context) -> decide.Home | None:
    """Find the open incident that explains it; for a storm's thousands the ledger is asked once, then only verifies."""
    remembered = context.memory.home(look.view, group)
    if remembered and decide.may_hold(await look.fold(remembered.incident), alert.starts_at):
        return remembered
    home = await _look_for_home(group, alert, look, context)
    if home is not None:
        context.memory.went(look.view, group, home)
    return home


async def _look_for_home(group: decide.Group, alert: Alert, look: Look, context: Context) -> decide.Home | None:
    if (known := await context.ledger.open_incident(group.key)) is not None:
        return decide.Home(incident=known, because=group.because)
    if look.topology is None:
        return None
    return decide.home_of(group, alert.starts_at, look.topology, await look.open_incidents())


async def _view(context: Context) -> View | None:
    """Look around; without the cluster alerts are still grouped, by their names."""
    try:
        return await context.surroundings.view()
    except (ClusterUnavailable, ClusterForbidden) as failure:
        context.log.warning("grouping without the cluster", reason=str(failure))
        return None


async def _open(alert: Alert, group: decide.Group, look: Look, context: Context) -> decide.Home:
    """Open an incident; one whose symptom is gone already is opened and cleared in one batch.

    If what is over explains an alert that is over, it came late: it belongs there and opens nothing.
    """
    await context.activities.doing("triaging")
    reading = await read_symptom([alert], context.metrics)
    gone = decide.over(reading, _seen(group.root, look.view))
    if gone and (late := await _late_home(alert, group, look)) is not None:
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
        look.opened(await context.ledger.open(incident, opened, *then))
    except Conflict:
        other = await context.ledger.open_incident(group.key)
        if other is None:
            raise  # it was opened and closed meanwhile: the loop calls us again
        return decide.Home(incident=other, because=group.because)
    context.log.info("incident opened", incident=incident, title=opened.title, because=group.because)
    return decide.Home(incident=incident, because=group.because)


async def _late_home(alert: Alert, group: decide.Group, look: Look) -> decide.Home | None:
    """Where an alert that is over belongs: to what explains it, and is over as well, or to what healed as it did."""
    if look.topology is None:
        return None
    ended = await look.lately_over()
    explained = decide.home_of(group, alert.starts_at, look.topology, ended)
    if explained is not None:
        return explained.but(over=True)
    return decide.healed_with(group, alert.starts_at, look.topology, [*await look.open_incidents(), *ended])


def _title(alert: Alert, group: decide.Group) -> str:
    where = str(group.root) if group.root else alert.namespace or "the cluster"
    return f"{alert.name or 'an alert without a name'} on {where}"


def _seen(root: Ref | None, view: View | None) -> decide.Seen:
    """Look whether the root, or a Service in front of it, is unwell; without a root nothing is."""
    if root is None or view is None:
        return decide.Seen(looked=view is not None)
    ailing = why_unwell(root, view.topology.unwell, view.snapshot)
    unread = view.snapshot.unread_in(root.namespace, *_SHOWING_HEALTH, root.kind)
    return decide.Seen(looked=unread is None, ailing=ailing)


async def _join(incident: IncidentId, alerts: Sequence[AlertJoined], context: Context) -> None:
    """Record that these alerts belong here, each once for each time it began to fire."""
    known = context.memory.joined(incident)
    if known is None:
        known = {fact.once for fact in await context.ledger.facts(incident) if isinstance(fact, AlertJoined)}
        context.memory.looked(incident, known)
    news = {fact.once: fact for fact in alerts if fact.once not in known}
    await context.ledger.note(incident, *news.values())
    context.memory.add(incident, news)


async def reconcile(incident_id: IncidentId, context: Context) -> None:
    """Look at the symptom of an open incident, and come back."""
    incident = (await context.ledger.fold(incident_id)).understood()
    if incident.state is State.CLOSED:
        context.memory.forget(incident_id)
    if incident.state not in _WATCHED:
        return
    await context.activities.doing(f"watching:{incident.id}")
    view = await _view(context)
    if view and decide.may_merge(incident) and await _merge(incident, view, context):
        return
    await _watch(incident, view, context)


async def _merge(incident: Incident, view: View, context: Context) -> bool:
    """Close an incident into the one that explains it, if another has proved to."""
    async with context.merging:  # of two that explain each other, one must stay
        facts = await context.ledger.facts(incident.id)
        alert = next((fact.alert for fact in facts if isinstance(fact, AlertJoined)), None)
        if alert is None:
            return False
        group = decide.group_now(incident, alert, view.topology)
        look = Look(view, context.ledger)
        others = [other for other in await look.open_incidents() if other.id != incident.id]
        home = decide.merges_into(incident, group, alert.starts_at, view.topology, others)
        into = next((other for other in others if home and other.id == home.incident), None)
        if home is None or into is None or not decide.keeps(into, incident, view.topology):
            return False
        theirs = [fact.but(because=home.because) for fact in facts if isinstance(fact, AlertJoined)]
        await _join(into.id, theirs, context)  # first, for once this one is closed nobody comes back to it
        merged = Merged(into=into.id, reason=home.because)
        await context.ledger.append(incident, merged, frees_key=True, while_open=into)
        context.memory.forget(incident.id)
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
            context.memory.forget(incident.id)
            await context.activities.doing("idle")
        case Cleared() | Relapsed():
            await context.ledger.append(incident, outcome)
        case None:
            await context.timers.wake(incident.id, settings.symptom_every_s / settings.pace)
