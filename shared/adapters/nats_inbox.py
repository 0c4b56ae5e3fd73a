"""Alerts become durable here, signed; the stream drops exact repeats."""

from nats.aio.client import Client

from shared.adapters.nats_stream import NatsStream, Write
from shared.adapters.seal import Seal
from shared.bus import streams, subjects
from shared.bus.trace import traceparent
from shared.domain.alert import Alert


class NatsInbox:
    """The port Inbox."""

    def __init__(self, connection: Client, seal: Seal, timeout_s: float = 5.0) -> None:
        self._stream, self._seal = NatsStream(connection, streams.ALERTS, timeout_s), seal

    async def put(self, *alerts: Alert) -> None:
        await self._stream.write_each(*(message(alert, self._seal) for alert in alerts))


def message(alert: Alert, seal: Seal) -> Write:
    """Return an alert as the stream keeps it, signed; its Msg-Id is what repeats are known by."""
    id_ = alert.delivery_id
    subject, body = subjects.alert(alert.cluster, alert.fingerprint), alert.model_dump_json().encode()
    said = {"Nats-Msg-Id": id_, "ce-id": id_, **traceparent("", id_)}
    return Write(subject, body, seal.on(subject, said, body))
