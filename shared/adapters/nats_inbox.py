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

    async def put(self, alert: Alert) -> None:
        said = {"Nats-Msg-Id": alert.delivery_id, "ce-id": alert.delivery_id, **traceparent("", alert.delivery_id)}
        subject = subjects.alert(alert.cluster, alert.fingerprint)
        await self._stream.write(Write(subject, alert.model_dump_json().encode(), said))
