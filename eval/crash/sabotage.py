"""Defects on purpose: what the matrix must not let pass. The services know nothing of it."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from shared.adapters.nats_stream import NatsStream, Write
from shared.bus.delivery import Delivery
from shared.bus.work import Alerts, Incidents


def acknowledge_before_append() -> None:
    """Acknowledge a message when it comes, and handle it then: what dies in between is nobody's any more."""
    take, wake_by = Alerts.take, Incidents.wake_by

    async def take_early(alerts: Alerts, delivery: Delivery) -> None:
        await delivery.ack()
        await take(alerts, delivery)

    async def wake_early(incidents: Incidents, delivery: Delivery) -> None:
        await delivery.ack()
        await wake_by(incidents, delivery)

    Alerts.take, Incidents.wake_by = take_early, wake_early  # type: ignore[method-assign, assignment]


def append_unchecked() -> None:
    """Write whatever was decided, whoever wrote meanwhile."""
    write = NatsStream.write

    async def blindly(stream: NatsStream, *writes: Write, batch_id: str = "") -> int:
        return await write(stream, *(replace(each, expect=None) for each in writes), batch_id=batch_id)

    NatsStream.write = blindly  # type: ignore[method-assign, assignment]


SABOTAGES: Final[Mapping[str, Callable[[], None]]] = {
    "ack-before-append": acknowledge_before_append,
    "no-compare-and-swap": append_unchecked,
}
