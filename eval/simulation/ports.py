"""The ports as one process has them: far away, on a way that may fail, behind its own gate."""

import asyncio
import math
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from eval.lab.world import World
from eval.simulation.bus import Asker, NearLedger, SimBus
from eval.simulation.loop import at_once
from eval.simulation.process import Process, ProcessClock
from eval.simulation.ways import Way
from shared.adapters.nats_dead import DeadLetter, NatsDeadLetters
from shared.bus.streams import CLAIM_TTL_S
from shared.domain.alert import Alert
from shared.domain.cluster import Ref
from shared.domain.errors import MetricsUnavailable, Retry
from shared.domain.events import Event, Fact, Opened, Recorded
from shared.domain.frozen import JsonObject
from shared.domain.ids import CorrelationKey, IncidentId
from shared.domain.incident import Incident
from shared.domain.transaction import Lock
from shared.ports.ledger import Ledger
from shared.ports.metrics import Series

T = TypeVar("T")


class FarLedger:
    """The port Ledger: every call lands as one moment, and everybody else acts between the calls."""

    def __init__(self, process: Process, bus: SimBus, near: Ledger | None = None) -> None:
        self._process, self._bus = process, bus
        self._near = near or NearLedger(bus, process.owner, ProcessClock(process))

    async def _far(self, asked: str, there: Callable[[], Coroutine[Any, Any, T]]) -> T:
        asker = self._asker()

        def land() -> T:
            self._bus.asker = asker
            try:
                return at_once(there())
            finally:
                self._bus.tell_on()

        return await self._process.call(self._bus.way, asked, land)

    def _asker(self) -> Asker:
        task = asyncio.current_task()
        return Asker(self._process, task.get_name() if task else "")

    async def fold(self, incident: IncidentId) -> Incident:
        return await self._far("fold", lambda: self._near.fold(incident))

    async def history(self, incident: IncidentId) -> Sequence[Recorded]:
        return await self._far("history", lambda: self._near.history(incident))

    async def append(
        self,
        incident: Incident,
        *events: Event,
        locks: Sequence[Lock] = (),
        frees_key: bool = False,
        while_open: Incident | None = None,
    ) -> Incident:
        asked = f"append {'+'.join(event.name for event in events)}"

        async def there() -> Incident:
            return await self._near.append(incident, *events, locks=locks, frees_key=frees_key, while_open=while_open)

        return await self._far(asked, there)

    async def open(self, incident: IncidentId, opened: Opened, *then: Event) -> Incident:
        return await self._far("append Opened", lambda: self._near.open(incident, opened, *then))

    async def open_incident(self, key: CorrelationKey) -> IncidentId | None:
        return await self._far("open incident of a key", lambda: self._near.open_incident(key))

    async def open_incidents(self) -> Sequence[IncidentId]:
        return await self._far("open incidents", self._near.open_incidents)

    async def incidents(self, limit: int = 100) -> Sequence[IncidentId]:
        return await self._far("incidents", lambda: self._near.incidents(limit))

    async def lock(self, workload: Ref) -> Lock | None:
        return await self._far("lock", lambda: self._near.lock(workload))

    async def note(self, incident: IncidentId, *facts: Fact) -> None:
        await self._far("note", lambda: self._near.note(incident, *facts))

    async def facts(self, incident: IncidentId) -> Sequence[Fact]:
        return await self._far("facts", lambda: self._near.facts(incident))

    async def paused(self) -> str | None:
        asker = self._asker()

        async def look() -> str | None:
            said = await self._near.paused()
            self._bus.on_pause_read(asker, said)
            return said

        return await self._far("paused", look)

    async def set_paused(self, reason: str | None) -> None:
        await self._far("pause", lambda: self._near.set_paused(reason))


class FarInbox:
    """The port Inbox."""

    def __init__(self, process: Process, bus: SimBus) -> None:
        self._process, self._bus = process, bus

    async def put(self, *alerts: Alert) -> None:
        for outcome in await asyncio.gather(*map(self._put, alerts), return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome

    async def _put(self, alert: Alert) -> None:
        await self._process.call(self._bus.way, "store an alert", lambda: self._bus.store_alert(alert))


class FarTimers:
    """The port Timers; the moment is told to the server in absolute time, by the process's own clock."""

    def __init__(self, process: Process, bus: SimBus) -> None:
        self._process, self._bus = process, bus

    async def wake(self, incident: IncidentId, after_s: float) -> None:
        due_s = self._process.loop.time() + self._process.skew_s + max(0.0, after_s)
        await self._process.call(
            self._bus.way,
            "set a timer",
            lambda: self._bus.set_timer(self._process.owner, incident, due_s - self._process.loop.time()),
        )


class FarHeartbeats:
    """The port Heartbeats: the server forgets a beat after its time to live, by the server's clock."""

    def __init__(self, process: Process, bus: SimBus) -> None:
        self._process, self._bus = process, bus

    async def beat(self, holder: str) -> None:
        def land() -> None:
            self._bus.beats[holder] = self._process.loop.time()

        await self._process.call(self._bus.way, "beat", land)

    async def alive(self, holder: str) -> bool:
        def land() -> bool:
            last_s = self._bus.beats.get(holder)
            return last_s is not None and self._process.loop.time() - last_s < self._bus.heartbeat_ttl_s

        return await self._process.call(self._bus.way, "alive", land)


class FarClaims:
    """The port Claims: the server forgets a claim after its time to live."""

    def __init__(self, process: Process, bus: SimBus) -> None:
        self._process, self._bus = process, bus

    async def take(self, what: str) -> bool:
        def land() -> bool:
            taken_s, now_s = self._bus.claims.get(what), self._process.loop.time()
            if taken_s is not None and now_s - taken_s < CLAIM_TTL_S:
                return False
            self._bus.claims[what] = now_s
            return True

        return await self._process.call(self._bus.way, "claim", land)

    async def let_go(self, what: str) -> None:
        def land() -> None:
            self._bus.claims.pop(what, None)

        await self._process.call(self._bus.way, "end a claim", land)


class FarActivities:
    """The port Activities."""

    def __init__(self, process: Process, bus: SimBus) -> None:
        self._process, self._bus = process, bus

    async def doing(self, activity: str) -> None:
        def land() -> None:
            self._bus.activities[self._process.holder] = (self._process.loop.time(), activity)

        await self._process.call(self._bus.way, "say what it does", land)

    async def all(self) -> Mapping[str, str]:
        return {agent: activity for agent, (_, activity) in self._bus.activities.items()}


class FarDead(NatsDeadLetters):
    """The stream DEAD."""

    def __init__(self, process: Process, bus: SimBus) -> None:
        self._process, self._bus = process, bus

    async def bury(self, letter: DeadLetter) -> None:
        def land() -> None:
            self._bus.dead.append(letter)
            self._bus.story.tell("dead", self._process.name, f"{letter.subject}: {letter.reason}")

        await self._process.call(self._bus.way, "bury", land)


class FarMetrics:
    """The port Metrics, in front of the lab's own query engine; `stuck_at` is when a Prometheus stopped scraping."""

    def __init__(self, process: Process, world: World, way: Way, stuck_at: Callable[[], datetime | None]) -> None:
        self._process, self._world, self._way, self._stuck_at = process, world, way, stuck_at

    async def query(self, expression: str) -> tuple[Series, ...]:
        return await self._process.call(self._way, "query", lambda: self._answer(expression))

    def _answer(self, expression: str) -> tuple[Series, ...]:
        at = self._stuck_at() or self._world.sampled_at
        value = self._world.queries.instant(expression, at.timestamp())
        if isinstance(value, float):
            return (Series(labels={}, value=value, at=at),)
        return tuple(
            Series.model_construct(labels=dict(pairs), value=number, at=at)  # they are what they must be
            for pairs, number in value.items()
            if not math.isnan(number)
        )


class FarNotifier:
    """The port Notifier: a person's receiver, which is not always there."""

    def __init__(self, process: Process, way: Way, receive: Callable[[JsonObject], None]) -> None:
        self._process, self._way, self._receive = process, way, receive

    async def notify(self, message: JsonObject) -> None:
        await self._process.call(self._way, "notify", lambda: self._receive(message))


def not_notified(reason: str) -> Retry:
    """What the notifier says when nobody took the message."""
    return Retry(reason)


def no_metrics(reason: str) -> MetricsUnavailable:
    """What Prometheus's adapter says when no answer came."""
    return MetricsUnavailable(reason)
