"""Alerts become durable here; the stream drops exact repeats."""

from nats.aio.client import Client

from shared.adapters.nats_stream import NatsStream, Write
from shared.bus import streams, subjects
from shared.bus.trace import traceparent
from shared.domain.alert import Alert


class NatsInbox:
    """The port Inbox."""

    def __init__(self, connection: Client, timeout_s: float = 5.0) -> None:
        self._stream = NatsStream(connection, streams.ALERTS, timeout_s)

    async def put(self, *alerts: Alert) -> None:
        await self._stream.write_each(*map(message, alerts))


def message(alert: Alert) -> Write:
    """Return an alert as the stream keeps it; its Msg-Id is what repeats are known by."""
    id_ = alert.delivery_id
    said = {"Nats-Msg-Id": id_, "ce-id": id_, **traceparent("", id_)}
    return Write(subjects.alert(alert.cluster, alert.fingerprint), alert.model_dump_json().encode(), said)
