"""A message that this process holds: what may become of it, and the set of all that are held."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeAlias, assert_never

import nats.errors
from nats.aio.msg import Msg
from structlog.typing import FilteringBoundLogger

from shared.adapters.nats_dead import DeadLetter, NatsDeadLetters
from shared.adapters.nats_stream import Stored
from shared.adapters.refused import worth_saying
from shared.bus import meters
from shared.domain.errors import LedgerUnavailable
from shared.domain.events import Owner
from shared.ports.clock import Clock

_LONGEST_REASON: Final = 200


@dataclass(frozen=True)
class Done:
    """Handled: acknowledge."""


@dataclass(frozen=True)
class Later:
    """Not now: give it back, to come again after so many seconds."""

    after_s: float
    reason: str
    by_a_bug: bool = False
    """Whether a handler failed in a way nobody foresaw: the message may be the reason."""


@dataclass(frozen=True)
class Dead:
    """Never: copy it to DEAD with the reason, and end its deliveries."""

    reason: str
    unsigned: bool = False
    """Whether nobody vouches for it, so that there may be thousands: of those only so many are copied as are said."""


Settlement: TypeAlias = Done | Later | Dead


class Delivery:
    """One delivery of one message. It is settled once."""

    def __init__(self, message: Msg, work: str) -> None:
        self._message, self.work = message, work
        known = message.metadata
        self.stream, self.times, self.stored_at = known.stream, known.num_delivered, known.timestamp
        self.behind = known.num_pending
        self.sequence = known.sequence.stream

    @property
    def headers(self) -> Mapping[str, str]:
        return self._message.headers or {}

    @property
    def stored(self) -> Stored:
        return Stored(self._message.subject, self.sequence, self.headers, self._message.data)

    async def still_working(self) -> None:
        await self._message.in_progress()

    async def ack(self) -> None:
        await self._message.ack()

    async def nak(self, after_s: float) -> None:
        # The server hands a message with no delay out again at once; with one, it keeps it that long.
        await self._message.nak(delay=after_s or None)

    async def term(self, reason: str) -> None:
        # nats-py sends no reason; the server puts it into its advisory.
        await self._message._client.publish(self._message.reply, f"+TERM {reason[:_LONGEST_REASON]}".encode())  # noqa: SLF001

    def letter(self, owner: Owner, reason: str, at: datetime) -> DeadLetter:
        subject, sequence, headers, data = self.stored
        return DeadLetter.of(self.stream, subject, sequence, headers, data, service=owner, reason=reason, at=at)


class Held:
    """Every delivery between its arrival and its settlement."""

    def __init__(self, owner: Owner, dead: NatsDeadLetters, clock: Clock, log: FilteringBoundLogger) -> None:
        self._owner, self._dead, self._clock, self._log = owner, dead, clock, log
        self._deliveries: set[Delivery] = set()
        self._unsigned = 0
        self.freed = asyncio.Event()
        meters.OLDEST_S.labels(str(owner)).set_function(self._oldest_s)

    def add(self, delivery: Delivery) -> None:
        self._deliveries.add(delivery)
        meters.WAITING.labels(str(self._owner), delivery.stream).set(delivery.behind)

    def count(self, stream: str) -> int:
        return sum(delivery.stream == stream for delivery in self._deliveries)

    async def renew(self) -> None:
        """Tell the server that all of them are still in work."""
        for delivery in tuple(self._deliveries):
            await delivery.still_working()

    async def settle(self, delivery: Delivery, settlement: Settlement) -> None:
        """Say the word to the server. Without a connection it is lost, and the message comes again after ack_wait."""
        if delivery not in self._deliveries:
            return
        try:
            await self._say(delivery, settlement)
        except nats.errors.Error as error:
            self._log.warning("no word about a message could be sent, so it comes again", reason=str(error))
        finally:
            self._deliveries.discard(delivery)
            self.freed.set()

    async def give_back(self) -> int:
        """Give back all that is still held, at once; return how many."""
        left = tuple(self._deliveries)
        for delivery in left:
            await self.settle(delivery, Later(0, "the service stops"))
        return len(left)

    async def _say(self, delivery: Delivery, settlement: Settlement) -> None:
        labels = (str(self._owner), delivery.work)
        match settlement:
            case Done():
                await delivery.ack()
            case Later(after_s=after_s):
                meters.NAKS.labels(*labels).inc()
                await delivery.nak(after_s)
            case Dead():
                await self._end(delivery, settlement, labels)
            case _:
                assert_never(settlement)

    async def _end(self, delivery: Delivery, dead: Dead, labels: tuple[str, str]) -> None:
        self._unsigned += dead.unsigned
        if not dead.unsigned or worth_saying(self._unsigned):
            try:
                await self._dead.bury(delivery.letter(self._owner, dead.reason, self._clock.now()))
            except LedgerUnavailable:
                self._unsigned -= dead.unsigned  # it comes again
                await delivery.nak(1)  # nothing ends its deliveries before the copy is safe
                return
            meters.DEAD_LETTERS.labels(*labels).inc()
        await delivery.term(dead.reason)

    def _oldest_s(self) -> float:
        oldest = min((delivery.stored_at for delivery in self._deliveries), default=None)
        return 0.0 if oldest is None else (self._clock.now() - oldest).total_seconds()
