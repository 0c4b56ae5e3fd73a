"""Alerts become durable here, those of a call signed together.

The stream drops exact repeats; those of a moment ago are not even sent.

Whoever repeats an alert gets his success when the one that is in the stream, or on its way there, was acknowledged: as
if he had sent it again and the stream had dropped it. What a power cut takes from the stream, it took from its first
sender, too; and what was acknowledged before is forgotten as soon as the connection is another one.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from typing import Final, TypeAlias

from nats.aio.client import Client

from shared.adapters.nats_stream import NatsStream
from shared.adapters.seal import Draft, Seal
from shared.bus import streams, subjects
from shared.bus.trace import traceparent
from shared.domain.alert import Alert
from shared.domain.errors import LedgerUnavailable

_REMEMBERED_S: Final = 2.0
"""At least that long and at most twice as long: enough for a pair's second half, and for the repeat after an answer
that was lost. Not more, since a server that vanished is missed only after seconds, and a repeat shall wait for it."""
_REMEMBERED: Final = 8_192
"""And so many, or twice as many: 3 MB."""
_SIGNED_TOGETHER: Final = 32
"""A signature takes 22 us; to share it among so many, 2 us each and a way of 220 bytes."""

_Call: TypeAlias = asyncio.Future[None]
"""The alerts that one call sends: done when the stream has acknowledged all of them, cancelled if it has not."""


class NatsInbox:
    """The port Inbox."""

    def __init__(
        self, connection: Client, seal: Seal, timeout_s: float = 5.0, remembered_s: float = _REMEMBERED_S
    ) -> None:
        self._stream, self._seal = NatsStream(connection, streams.ALERTS, timeout_s), seal
        self._recent = _Recent(connection, remembered_s)

    async def put(self, *alerts: Alert) -> None:
        call: _Call = asyncio.get_running_loop().create_future()
        try:
            fresh, others = self._sorted(alerts, call)
            await self._stream.write_each(*fresh)
            call.set_result(None)
        finally:
            call.cancel()
        await _all_stored(others)

    def _sorted(self, alerts: Sequence[Alert], call: _Call) -> tuple[Sequence["AlertMessage"], Collection[_Call]]:
        """Split into what this call sends, and the calls that brought the rest a moment ago."""
        self._recent.forget_the_old()
        fresh, others = dict[str, Alert](), set[_Call]()
        for alert in alerts:
            id_ = alert.delivery_id
            sender = self._recent.sender(id_)
            if sender is None:
                fresh[id_] = alert
                self._recent.add(id_, call)
            elif sender is not call:
                others.add(sender)
        return messages(fresh, self._seal), others


def messages(alerts: Mapping[str, Alert], seal: Seal) -> Sequence["AlertMessage"]:
    """Make the messages of alerts that came together, each under the id that its repeats are known by."""
    drafts = [_draft(alert, id_) for id_, alert in alerts.items()]
    groups = [drafts[start : start + _SIGNED_TOGETHER] for start in range(0, len(drafts), _SIGNED_TOGETHER)]
    return [
        AlertMessage(together, place)
        for group in groups
        for together in [_Together(group, seal)]
        for place in range(len(group))
    ]


def _draft(alert: Alert, id_: str) -> Draft:
    said = {"Nats-Msg-Id": id_, "ce-id": id_, **traceparent("", id_)}
    return Draft(subjects.alert(alert.cluster, alert.fingerprint), said, alert.model_dump_json().encode())


class _Together:
    """Messages under one signature.

    It is made when the first of them is asked for its headers, at its turn: while the server is stuck, thousands wait
    for theirs, and to sign them all would take the seconds in which their senders should be told to come again.
    """

    def __init__(self, drafts: Sequence[Draft], seal: Seal) -> None:
        self.drafts, self._seal = drafts, seal

    @cached_property
    def headers(self) -> Sequence[dict[str, str]]:
        return self._seal.on_what_others_read(self.drafts)


class AlertMessage:
    """An alert as the stream keeps it."""

    def __init__(self, together: _Together, place: int) -> None:
        self._together, self._place = together, place
        self.subject, _, self.data = together.drafts[place]

    def wire_headers(self) -> dict[str, str]:
        return self._together.headers[self._place]


class _Recent:
    """Which call sent an alert over this connection a moment ago, by Msg-Id; bounded in time and in number."""

    def __init__(self, connection: Client, remembered_s: float) -> None:
        self._connection, self._remembered_s = connection, remembered_s
        self._new, self._old = dict[str, _Call](), dict[str, _Call]()
        self._turn, self._reconnects = 0, 0

    def forget_the_old(self) -> None:
        turn = int(asyncio.get_running_loop().time() // self._remembered_s)
        reconnects = self._connection.stats["reconnects"]
        if reconnects != self._reconnects or turn > self._turn + 1:  # another server has to say itself what it holds
            self._new, self._old = {}, {}
        elif turn != self._turn or len(self._new) >= _REMEMBERED:
            self._new, self._old = {}, self._new
        self._turn, self._reconnects = turn, reconnects

    def sender(self, id_: str) -> _Call | None:
        """Return the call; None if nobody sends or sent it, or if it was not acknowledged."""
        call = self._new.get(id_) or self._old.get(id_)
        return None if call is None or call.cancelled() else call

    def add(self, id_: str, call: _Call) -> None:
        self._new[id_] = call


async def _all_stored(calls: Collection[_Call]) -> None:
    """Return once these were acknowledged. Raises LedgerUnavailable if one was not: then nobody knows."""
    if under_way := [call for call in calls if not call.done()]:
        await asyncio.wait(under_way)
    if any(call.cancelled() for call in calls):
        raise LedgerUnavailable("another call sent the same alert, and it was not acknowledged")
