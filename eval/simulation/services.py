"""The five services, each composed as its own app.py composes it, with one process's ports behind them."""

import functools
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar, cast

from starlette.applications import Starlette
from structlog.typing import FilteringBoundLogger

from eval.lab.world import World
from eval.simulation.bus import ACK_WAIT_S, SimBus
from eval.simulation.cluster import CLUSTER, ApiServer, FarCluster
from eval.simulation.ports import (
    FarActivities,
    FarClaims,
    FarDead,
    FarHeartbeats,
    FarInbox,
    FarLedger,
    FarMetrics,
    FarNotifier,
    FarTimers,
)
from eval.simulation.process import Process, ProcessClock
from eval.simulation.ways import Way
from services.detector import handlers as detecting
from services.detector.settings import Settings as DetectorSettings
from services.detector.surroundings import Surroundings
from services.diagnoser import handlers as diagnosing
from services.diagnoser.settings import Settings as DiagnoserSettings
from services.gateway.api import Api
from services.gateway.app import WAKES_ON as TELLER_WAKES_ON
from services.gateway.handlers import Teller
from services.gateway.intake import Intake
from services.gateway.settings import GatewaySettings
from services.mitigator import handlers as mitigating
from services.mitigator.context import Context as MitigatorContext
from services.mitigator.settings import Settings as MitigatorSettings
from services.undo import handlers as undoing
from services.undo.context import Context as UndoContext
from services.undo.listening import Listening
from services.undo.settings import Settings as UndoSettings
from shared.bus.attempt import OUTAGES, Attempts, HandlerTooSlowError
from shared.bus.delivery import Delivery, Held
from shared.bus.service import Duties
from shared.bus.settings import ServiceSettings
from shared.bus.work import Alerts, Incidents, alert_of
from shared.domain.events import Base, Owner
from shared.domain.frozen import JsonObject
from shared.domain.ids import IncidentId
from shared.domain.policy import Mode
from shared.ports.clock import Clock
from shared.ports.ledger import Ledger
from shared.runbooks.catalog import load

S = TypeVar("S", bound=ServiceSettings)
PACE: Final = 2.0
HEARTBEAT_TTL_S: Final = 10.0
WATCH_S: Final = 100.0
WORKERS: Final = 3
_EVERYWHERE: Final[Mapping[str, object]] = {
    "cluster": str(CLUSTER),
    "pace": PACE,
    "ack_wait_s": ACK_WAIT_S,
    "concurrency": WORKERS,
    "metrics_window_s": 30,
    "heartbeat_every_s": 2.5,
    "heartbeat_ttl_s": HEARTBEAT_TTL_S,
    "prometheus_url": "http://prometheus.lab",
}
"""Faster than in production by `PACE`: an incident that takes minutes is over in a few hundred ticks of the lab."""
WAKES_ON: Final[Mapping[Owner, frozenset[type[Base]]]] = {
    Owner.GATEWAY: TELLER_WAKES_ON,
    Owner.DETECTOR: detecting.WAKES_ON,
    Owner.DIAGNOSER: diagnosing.WAKES_ON,
    Owner.MITIGATOR: mitigating.WAKES_ON,
    Owner.UNDO: undoing.WAKES_ON,
}


@dataclass
class Outside:
    """What the processes of one simulation share."""

    world: World
    bus: SimBus
    api: ApiServer
    prometheus: Way
    people: Way
    receive: Callable[[JsonObject], None]
    mode: Mode
    stuck_at: Callable[[], Any] = lambda: None
    on_bug: Callable[[str, str], None] = lambda *_: None
    ledgers: Callable[[Process, SimBus], Ledger] = FarLedger
    """Replaced by a sabotage."""
    clusters: Callable[[Process, ApiServer], FarCluster] = FarCluster
    duties: Mapping[Owner, Callable[[Duties, Process], Duties]] = field(default_factory=dict)
    """What a sabotage makes of a service's duties."""


class SimLog:
    """As much of a logger as the services use: a handler that failed by a bug is what a simulation looks for."""

    def __init__(self, process: Process, on_bug: Callable[[str, str], None]) -> None:
        self._process, self._on_bug = process, on_bug

    def debug(self, *_: object, **__: object) -> None: ...

    def info(self, *_: object, **__: object) -> None: ...

    def warning(self, *_: object, **__: object) -> None: ...

    def error(self, said: str, **more: object) -> None:
        error = more.get("exc_info")
        if isinstance(error, HandlerTooSlowError):  # it stood frozen, or waited for one slow answer after another
            self._process.story.tell("outage", self._process.name, str(error))
            return
        self._on_bug(self._process.name, f"{said}: {type(error).__name__}: {error}")

    critical = error


class Service:
    """The loop of one process around its duties: `shared/bus/service.py` without its connection."""

    def __init__(self, process: Process, outside: Outside) -> None:
        self._process, self._bus = process, outside.bus
        clock, log = ProcessClock(process), cast("FilteringBoundLogger", SimLog(process, outside.on_bug))
        self.settings, duties, self.app = _COMPOSED[process.owner](process, outside, clock, log)
        if (change := outside.duties.get(process.owner)) is not None:
            duties = change(duties, process)
        self._duties = duties
        self._ledger = outside.ledgers(process, outside.bus)
        attempts = Attempts(process.owner, self.settings, clock, log)
        self._held = Held(process.owner, FarDead(process, outside.bus), clock, log)
        self._incidents = Incidents(duties.reconcile, attempts, self._held)
        self._alerts = (
            Alerts(duties.on_alerts, alert_of, attempts, self._held) if duties.on_alerts is not None else None
        )

    def start(self) -> None:
        """Run its workers, its sweep, its renewals and its own loops, and take what the bus delivers."""
        process, owner = self._process, self._process.owner
        for number in range(WORKERS):
            process.spawn(self._work(self._incidents.next), f"worker {number}")
            if self._alerts is not None:
                process.spawn(self._work(self._alerts.next), f"alerts {number}")
        process.spawn(process.every(self.settings.sweep_every_s, self._sweep, OUTAGES), "sweep")
        process.spawn(process.every(self.settings.ack_wait_s / 3, self._held.renew, OUTAGES), "renew")
        for number, loop in enumerate(self._duties.background):
            process.spawn(process.every(1.0, loop, OUTAGES), f"loop {number}")
        for stream in ("LEDGER", "TIMERS"):
            self._bus.durable(owner, stream).serve(process, self._take)
        if self._alerts is not None:
            self._bus.durable(owner, "ALERTS").serve(process, self._take)

    async def _work(self, await_next: Callable[[], Awaitable[Callable[[], Awaitable[None]]]]) -> None:
        while True:
            run_one = await await_next()
            await self._process.gate()
            await run_one()

    async def _sweep(self) -> None:
        for incident in await self._ledger.open_incidents():
            self._incidents.wake(incident)

    def _take(self, message: Any, incident: str) -> None:
        delivery = Delivery(message, message.subject)
        self._held.add(delivery)
        if incident:
            self._incidents.wake(IncidentId(incident), delivery)
        else:
            self._process.spawn(self._take_alert(delivery), "take")

    async def _take_alert(self, delivery: Delivery) -> None:
        if self._alerts is not None:
            await self._alerts.take(delivery)


@functools.cache
def _settings(kind: type[S], **own: object) -> S:
    """A service's settings, validated once: they are frozen."""
    return kind.model_validate({**_EVERYWHERE, **own})


_Composed = tuple[ServiceSettings, Duties, Starlette | None]


def _gateway(process: Process, outside: Outside, clock: Clock, log: FilteringBoundLogger) -> _Composed:
    settings = _settings(GatewaySettings, mode=outside.mode)
    ledger, activities = outside.ledgers(process, outside.bus), FarActivities(process, outside.bus)
    notifier = FarNotifier(process, outside.people, outside.receive)
    claims = FarClaims(process, outside.bus)
    teller = Teller(
        ledger,
        notifier,
        "http://gateway.lab",
        claims=claims,
        activities=activities,
        clock=clock,
        undo_late_s=settings.undo_late_s / settings.pace,
        log=log,
    )
    api = Api(
        settings=settings,
        ledger=ledger,
        inbox=FarInbox(process, outside.bus),
        activities=activities,
        clock=clock,
        intake=Intake(clock, settings.max_intake_bytes, settings.store_timeout_s),
        unread=_nothing_unread,
    )
    return settings, Duties(wakes_on=TELLER_WAKES_ON, reconcile=teller.reconcile), Starlette(routes=list(api.routes()))


async def _nothing_unread() -> None: ...


def _detector(process: Process, outside: Outside, clock: Clock, log: FilteringBoundLogger) -> _Composed:
    settings = _settings(DetectorSettings, symptom_every_s=20, relapse_after_s=120, watch_s=WATCH_S * PACE)
    metrics = FarMetrics(process, outside.world, outside.prometheus, outside.stuck_at)
    context = detecting.Context(
        ledger=outside.ledgers(process, outside.bus),
        surroundings=Surroundings(outside.clusters(process, outside.api), metrics, clock, settings),
        metrics=metrics,
        timers=FarTimers(process, outside.bus),
        activities=FarActivities(process, outside.bus),
        clock=clock,
        identity=outside.bus.identity,
        settings=settings,
        log=log,
    )
    duties = Duties(
        wakes_on=detecting.WAKES_ON,
        reconcile=functools.partial(detecting.reconcile, context=context),
        on_alerts=functools.partial(detecting.on_alerts, context=context),
    )
    return settings, duties, None


def _diagnoser(process: Process, outside: Outside, clock: Clock, log: FilteringBoundLogger) -> _Composed:
    settings = _settings(DiagnoserSettings)
    context = diagnosing.Context(
        ledger=outside.ledgers(process, outside.bus),
        cluster=outside.clusters(process, outside.api),
        metrics=FarMetrics(process, outside.world, outside.prometheus, outside.stuck_at),
        timers=FarTimers(process, outside.bus),
        activities=FarActivities(process, outside.bus),
        clock=clock,
        settings=settings,
        log=log,
    )
    reconcile = functools.partial(diagnosing.reconcile, context=context)
    return settings, Duties(wakes_on=diagnosing.WAKES_ON, reconcile=reconcile), None


def _mitigator(process: Process, outside: Outside, clock: Clock, log: FilteringBoundLogger) -> _Composed:
    settings = _settings(
        MitigatorSettings,
        mode=outside.mode,
        sample_every_s=10,
        watch_s=WATCH_S * PACE,
        approval_expires_s=120,
        diagnosis_stale_s=240,
        max_transactions_per_workload=6,
    )
    context = MitigatorContext(
        ledger=outside.ledgers(process, outside.bus),
        cluster=outside.clusters(process, outside.api),
        metrics=FarMetrics(process, outside.world, outside.prometheus, outside.stuck_at),
        timers=FarTimers(process, outside.bus),
        heartbeats=FarHeartbeats(process, outside.bus),
        activities=FarActivities(process, outside.bus),
        clock=clock,
        identity=outside.bus.identity,
        holder=process.holder,
        catalog=_catalog(),
        settings=settings,
        log=log,
    )
    duties = Duties(
        wakes_on=mitigating.WAKES_ON,
        reconcile=functools.partial(mitigating.reconcile, context=context),
        background=(functools.partial(mitigating.beat, context),),
    )
    return settings, duties, None


def _undo(process: Process, outside: Outside, clock: Clock, log: FilteringBoundLogger) -> _Composed:
    del log
    settings = _settings(UndoSettings, verify_every_s=10)
    context = UndoContext(
        ledger=outside.ledgers(process, outside.bus),
        cluster=outside.clusters(process, outside.api),
        metrics=FarMetrics(process, outside.world, outside.prometheus, outside.stuck_at),
        timers=FarTimers(process, outside.bus),
        heartbeats=FarHeartbeats(process, outside.bus),
        listening=Listening(settings.heartbeat_ttl_s / 2),
        activities=FarActivities(process, outside.bus),
        clock=clock,
        holder=process.holder,
        settings=settings,
    )
    duties = Duties(
        wakes_on=undoing.WAKES_ON,
        reconcile=functools.partial(undoing.reconcile, context=context),
        background=(functools.partial(undoing.beat, context),),
    )
    return settings, duties, None


_COMPOSED: Final[Mapping[Owner, Callable[[Process, Outside, Clock, FilteringBoundLogger], _Composed]]] = {
    Owner.GATEWAY: _gateway,
    Owner.DETECTOR: _detector,
    Owner.DIAGNOSER: _diagnoser,
    Owner.MITIGATOR: _mitigator,
    Owner.UNDO: _undo,
}


@functools.cache
def _catalog() -> Any:
    return load(None)
