"""Alerts become durable here, signed; the stream drops exact repeats."""

from functools import cached_property

from nats.aio.client import Client

from shared.adapters.nats_stream import NatsStream
from shared.adapters.seal import Seal
from shared.bus import streams, subjects
from shared.bus.trace import traceparent
from shared.domain.alert import Alert


class NatsInbox:
    """The port Inbox."""

    def __init__(self, connection: Client, seal: Seal, timeout_s: float = 5.0) -> None:
        self._stream, self._seal = NatsStream(connection, streams.ALERTS, timeout_s), seal

    async def put(self, *alerts: Alert) -> None:
        await self._stream.write_each(*(AlertMessage(alert, self._seal) for alert in alerts))


class AlertMessage:
    """An alert as the stream keeps it; its Msg-Id is what repeats are known by.

    It is signed when its headers are asked for, at its turn: while the server is stuck, thousands wait for theirs, and
    to sign them all would take the seconds in which their senders should be told to come again.
    """

    def __init__(self, alert: Alert, seal: Seal) -> None:
        self._alert, self._seal = alert, seal

    @cached_property
    def subject(self) -> str:
        return subjects.alert(self._alert.cluster, self._alert.fingerprint)

    @cached_property
    def data(self) -> bytes:
        return self._alert.model_dump_json().encode()

    def wire_headers(self) -> dict[str, str]:
        id_ = self._alert.delivery_id
        said = {"Nats-Msg-Id": id_, "ce-id": id_, **traceparent("", id_)}
        return self._seal.on_repeated(self.subject, said, self.data)
