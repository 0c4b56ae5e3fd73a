"""The two queues of a service: incidents, one run at a time each with wake-ups coalesced; and alerts."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import structlog
from pydantic import ValidationError

from shared.adapters.nats_events import recorded
from shared.bus.attempt import Attempts
from shared.bus.delivery import Dead, Delivery, Held, Settlement
from shared.domain.alert import Alert
from shared.domain.errors import Refuse
from shared.domain.ids import IncidentId

RECONCILE = "reconcile"
ALERT = "alert"

Run = Callable[[], Awaitable[None]]


class Incidents:
    """Wake-ups become runs: an incident is run by one worker at a time, and a run covers all that came before it."""

    def __init__(self, reconcile: Callable[[IncidentId], Awaitable[None]], attempts: Attempts, held: Held) -> None:
        self._reconcile, self._attempts, self._held = reconcile, attempts, held
        self._queue: asyncio.Queue[IncidentId] = asyncio.Queue()
        self._waiting: dict[IncidentId, list[Delivery]] = {}
        self._running: set[IncidentId] = set()

    def wake(self, incident: IncidentId, *deliveries: Delivery) -> None:
        """Ask for a run, on behalf of these messages, or of nobody: that is the sweep."""
        known = incident in self._waiting
        self._waiting.setdefault(incident, []).extend(deliveries)
        if not known and incident not in self._running:
            self._queue.put_nowait(incident)

    async def wake_by(self, delivery: Delivery) -> None:
        """Ask for the run that a message of LEDGER or TIMERS means; one that cannot be read is a dead letter."""
        try:
            self.wake(_incident_of(delivery), delivery)
        except Refuse as error:
            await self._held.settle(delivery, Dead(str(error)))

    async def next(self) -> Run:
        """Wait for the next incident that wants a run, and return that run."""
        return partial(self._run_and_settle, await self._queue.get())

    async def _run_and_settle(self, incident: IncidentId) -> None:
        deliveries = self._waiting.pop(incident)
        self._running.add(incident)
        try:
            settlement = await self._run(incident, deliveries)
        finally:
            self._running.discard(incident)
            if incident in self._waiting:
                self._queue.put_nowait(incident)
        for delivery in deliveries:
            await self._held.settle(delivery, settlement)

    async def _run(self, incident: IncidentId, deliveries: Sequence[Delivery]) -> Settlement:
        with structlog.contextvars.bound_contextvars(incident=incident):
            return await self._attempts.run(
                RECONCILE,
                lambda: self._reconcile(incident),
                max((delivery.times for delivery in deliveries), default=1),
                deliveries[-1].headers if deliveries else {},
            )


class Alerts:
    """Alerts, in the order in which they come, several at a time."""

    def __init__(self, on_alert: Callable[[Alert], Awaitable[None]], attempts: Attempts, held: Held) -> None:
        self._on_alert, self._attempts, self._held = on_alert, attempts, held
        self._queue: asyncio.Queue[Delivery] = asyncio.Queue()

    async def take(self, delivery: Delivery) -> None:
        self._queue.put_nowait(delivery)

    async def next(self) -> Run:
        """Wait for the next alert, and return its handling; one that cannot be read is a dead letter."""
        return partial(self._run_and_settle, await self._queue.get())

    async def _run_and_settle(self, delivery: Delivery) -> None:
        try:
            alert = Alert.model_validate_json(delivery.stored.data)
        except ValidationError as error:
            reason = f"this is no alert: {' '.join(str(error).split())[:200]}"
            await self._held.settle(delivery, Dead(reason))
            return
        settlement = await self._attempts.run(ALERT, lambda: self._on_alert(alert), delivery.times, delivery.headers)
        await self._held.settle(delivery, settlement)


def _incident_of(delivery: Delivery) -> IncidentId:
    """Which incident a wake-up is about. Raises Refuse if it is no event, or a timer without an incident."""
    if delivery.stored.subject.startswith("primum.ledger."):
        return recorded(delivery.stored).incident
    incident = delivery.stored.data.decode(errors="replace").strip()
    if not incident:
        raise Refuse("this timer names no incident")
    return IncidentId(incident)
