"""The two queues of a service: incidents, one run at a time each with wake-ups coalesced; and alerts, in batches."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import NamedTuple

import structlog
from pydantic import ValidationError

from shared.adapters.nats_events import recorded
from shared.adapters.nats_stream import Stored
from shared.adapters.refused import Refused
from shared.adapters.seal import Seal
from shared.bus import streams
from shared.bus.attempt import Attempts
from shared.bus.delivery import Dead, Delivery, Done, Held, Later, Settlement
from shared.domain.acceptance import Refusal
from shared.domain.alert import Alert
from shared.domain.authority import MAY_ALERT
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
        except Refuse as error:  # whoever signed it: nothing is lost with a wake-up
            await self._held.settle(delivery, Dead(str(error), unsigned=True))

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


class Unsigned(Refuse):
    """Whoever may say such a thing did not say it."""


class SignedAlerts:
    """Reads alerts that the gateway signed, and no others."""

    def __init__(self, seal: Seal) -> None:
        self._seal, self._refused = seal, Refused(streams.ALERTS)

    def __call__(self, stored: Stored) -> Alert:
        """Raises Unsigned if the gateway did not say this, Refuse if it is no alert."""
        if (signer := self._seal.signer(stored)) not in MAY_ALERT:
            self._refused.note(stored, Refusal.FORGED if signer is None else Refusal.FOREIGN)
            raise Unsigned("this alert is not signed by the gateway: somebody put it here, or altered it")
        return alert_of(stored)


def alert_of(stored: Stored) -> Alert:
    """Read an alert, whoever said it. Raises Refuse if it is none."""
    try:
        return Alert.model_validate_json(stored.data)
    except ValidationError as error:
        raise Refuse(f"this is no alert: {' '.join(str(error).split())[:200]}") from error


class _Told(NamedTuple):
    """An alert, and the message that brought it."""

    alert: Alert
    delivery: Delivery


class Alerts:
    """Alerts, in the order in which they come; those that wait together are handled together."""

    def __init__(
        self,
        on_alerts: Callable[[Sequence[Alert]], Awaitable[None]],
        read: Callable[[Stored], Alert],
        attempts: Attempts,
        held: Held,
    ) -> None:
        self._on_alerts, self._read, self._attempts, self._held = on_alerts, read, attempts, held
        self._queue: asyncio.Queue[Delivery] = asyncio.Queue()

    async def take(self, delivery: Delivery) -> None:
        self._queue.put_nowait(delivery)

    async def next(self) -> Run:
        """Wait for the next alert, and return the handling of all that wait by then."""
        waiting = [await self._queue.get()]
        while not self._queue.empty():
            waiting.append(self._queue.get_nowait())
        return partial(self._run_and_settle, waiting)

    async def _run_and_settle(self, deliveries: Sequence[Delivery]) -> None:
        told = [_Told(alert, each) for each in deliveries if (alert := await self._take_in(each)) is not None]
        settlement = await self._run(told) if told else Done()
        one_by_one = len(told) > 1 and _may_be_one_alone(settlement)
        for each in told:
            await self._held.settle(each.delivery, await self._run([each]) if one_by_one else settlement)

    async def _take_in(self, delivery: Delivery) -> Alert | None:
        """Read a message; one that is no alert is a dead letter."""
        try:
            return self._read(delivery.stored)
        except Refuse as error:
            await self._held.settle(delivery, Dead(str(error), unsigned=isinstance(error, Unsigned)))
            return None

    async def _run(self, told: Sequence[_Told]) -> Settlement:
        return await self._attempts.run(
            ALERT,
            lambda: self._on_alerts([each.alert for each in told]),
            max(each.delivery.times for each in told),
            told[0].delivery.headers,
        )


def _may_be_one_alone(settlement: Settlement) -> bool:
    """Whether one of several may be what could not be handled: the others must not pay for it."""
    return isinstance(settlement, Dead) or (isinstance(settlement, Later) and settlement.by_a_bug)


def _incident_of(delivery: Delivery) -> IncidentId:
    """Which incident a wake-up is about. Raises Refuse if it is no event, or a timer without an incident."""
    if delivery.stored.subject.startswith("primum.ledger."):
        return recorded(delivery.stored).incident
    incident = delivery.stored.data.decode(errors="replace").strip()
    if not incident:
        raise Refuse("this timer names no incident")
    return IncidentId(incident)
