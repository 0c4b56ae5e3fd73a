"""One durable consumer, pulled: asks for as many messages as there is room for, and notices when nobody answers."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import NotFoundError
from structlog.typing import FilteringBoundLogger

from shared.adapters.nats_connection import words_of
from shared.bus import streams, subjects
from shared.bus.wakes import TAKES_ALERTS, WAKES_ON
from shared.domain.events import Base, Owner
from shared.ports.clock import Clock

_EXPIRES_S: Final = 30.0
_HEARTBEAT_S: Final = 1.0
_SILENCE_S: Final = 2.5 * _HEARTBEAT_S
"""The server says something every heartbeat while a request stands; after this long it has forgotten us."""
_PAUSE_S: Final = 0.25
_NO_RESPONDERS: Final = "503"
_CONFLICT: Final = "409"
_ADVICE: Final = "`primum bus setup` makes it, and `primum up` does while it runs"
_BEHIND_NAKS: Final = 10_000
"""A message given back with a delay counts as pending; the server's 1000 would let an outage block what is new."""


@dataclass(frozen=True)
class Source:
    """A durable consumer, as it shall be."""

    stream: str
    config: ConsumerConfig
    work: str


def sources(owner: Owner, ack_wait_s: float, wakes_on: Collection[type[Base]], *, alerts: bool) -> Sequence[Source]:
    """List the durables of a service: its fired timers, the events that wake it, and the inbox if it takes alerts.

    More replicas of the service share them.
    """
    # A new durable on the ledger begins now: the sweep sees to what is older. No alert is too old to be looked at.
    wanted = [(streams.TIMERS, DeliverPolicy.ALL, [subjects.fired_for(owner)])]
    if wakes_on:
        events = sorted(subjects.wake_ups(event.name) for event in wakes_on)
        wanted.append((streams.LEDGER, DeliverPolicy.NEW, events))
    if alerts:
        wanted.append((streams.ALERTS, DeliverPolicy.ALL, [subjects.ALL_ALERTS]))
    return [
        Source(stream, _config(owner, policy, heard, ack_wait_s), stream.lower()) for stream, policy, heard in wanted
    ]


def sources_of(owner: Owner, ack_wait_s: float) -> Sequence[Source]:
    """List the durables of a service as the operator makes them, before it runs."""
    return sources(owner, ack_wait_s, WAKES_ON[owner], alerts=owner in TAKES_ALERTS)


def _config(owner: Owner, policy: DeliverPolicy, heard: list[str], ack_wait_s: float) -> ConsumerConfig:
    """Configure a durable. `max_deliver` is not the server's: it would drop a message in silence after outages."""
    return ConsumerConfig(
        durable_name=str(owner),
        deliver_policy=policy,
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=ack_wait_s,
        max_deliver=-1,
        max_ack_pending=_BEHIND_NAKS,
        filter_subjects=heard,
    )


class Feeds(NamedTuple):
    """What a pull needs of its service."""

    take: Callable[[Msg], Awaitable[None]]
    room: Callable[[], Awaitable[int]]
    """Waits until there is room, and says for how many messages."""


class Pull:
    """Pulls one source until it is stopped. It outlives a lost durable, a wiped server, a broken connection."""

    def __init__(
        self,
        connection: Client,
        source: Source,
        *,
        feeds: Feeds,
        clock: Clock,
        log: FilteringBoundLogger,
    ) -> None:
        self._connection, self._source = connection, source
        self._feeds = feeds
        self._clock, self._log = clock, log.bind(stream=source.stream)
        self._answered = asyncio.Event()
        self._wanted = 0
        self._missing = f"the consumer on {source.stream} was not looked for yet"
        self._heard_s: float | None = None
        self.found = asyncio.Event()
        """Set once the durable was there for the first time: what is said from then on is not missed."""

    def problem(self) -> str | None:
        """Why nothing can come from this source, or None."""
        if self._heard_s is None or self._missing:
            return self._missing
        silent_s = self._clock.monotonic_s() - self._heard_s
        if self._wanted and silent_s > 2 * _SILENCE_S:
            return f"{self._source.stream} has been silent for {silent_s:.0f} s"
        return None

    async def run(self) -> None:
        """Pull until cancelled; then let go, after taking what was under way to us."""
        inbox = self._connection.new_inbox()
        subscription = await self._connection.subscribe(inbox, cb=self._on_message)
        try:
            while True:
                if self._missing:
                    await self._find()
                elif self._connection.is_connected:
                    await self._ask(inbox, await self._feeds.room())
                else:  # nats-py would keep every request and send them all at the reconnect
                    await self._clock.sleep(_PAUSE_S)
        finally:
            await self._let_go(subscription)

    async def _let_go(self, subscription: Subscription) -> None:
        """Drain: what the server sent before it heard of our end is still taken, and given back with the rest."""
        try:
            if self._connection.is_connected:
                await subscription.drain()  # type: ignore[no-untyped-call]  # nats-py leaves it without types
            else:
                await subscription.unsubscribe()
        except (nats.errors.Error, TimeoutError) as error:
            self._log.info("the connection went first", reason=str(error))

    async def _find(self) -> None:
        """Look for the durable. The operator makes it: no service may, and none may make it send elsewhere."""
        config = self._source.config
        try:
            info = await self._connection.jetstream().consumer_info(self._source.stream, str(config.durable_name))
        except (nats.errors.Error, TimeoutError) as error:
            why = "is not there" if isinstance(error, NotFoundError) else f"cannot be looked at ({words_of(error)})"
            await self._lacks(f"the consumer {config.durable_name} on {self._source.stream} {why}: {_ADVICE}")
            return
        if unheard := set(config.filter_subjects or ()) - set(filters(info.config)):
            names = ", ".join(sorted(unheard))
            await self._lacks(f"the consumer {config.durable_name} on {self._source.stream} lacks {names}: {_ADVICE}")
            return
        self._missing, self._heard_s = "", self._clock.monotonic_s()
        self.found.set()

    async def _lacks(self, what: str) -> None:
        """Say what is missing, once, and wait a little."""
        if what != self._missing:
            self._missing = what
            self._log.warning("waiting for the bus to be set up", reason=what)
        await self._clock.sleep(2 * _PAUSE_S)

    async def _ask(self, inbox: str, room: int) -> None:
        """Ask for messages and return once they came, the request ended, or nobody answers."""
        self._answered.clear()
        self._wanted, self._heard_s = room, self._clock.monotonic_s()
        request = {"batch": room, "expires": _ns(_EXPIRES_S), "idle_heartbeat": _ns(_HEARTBEAT_S)}
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._source.stream}.{self._source.config.durable_name}"
        await self._connection.publish(subject, json.dumps(request).encode(), reply=inbox)
        while not self._answered.is_set():
            try:
                async with asyncio.timeout(_SILENCE_S):
                    await self._answered.wait()
            except TimeoutError:
                if self._clock.monotonic_s() - (self._heard_s or 0.0) > _SILENCE_S:
                    self._log.info("the server forgot the request, asking again")
                    return

    async def _on_message(self, message: Msg) -> None:
        headers = message.headers or {}
        match headers.get("Status"):
            case None:
                self._wanted = max(0, self._wanted - 1)
                await self._feeds.take(message)
                if not self._wanted:
                    self._answered.set()
            case "100":
                pass
            case status:
                await self._ended(status, headers.get("Description", ""))
        self._heard_s = self._clock.monotonic_s()

    async def _ended(self, status: str, why: str) -> None:
        """The request is over: it expired (404, 408), or something happened to the consumer."""
        gone = status == _NO_RESPONDERS or (status == _CONFLICT and "Deleted" in why)
        if gone:
            self._log.warning("the consumer is gone", status=status, reason=why.strip())
            self._missing = f"the consumer on {self._source.stream} is gone: {_ADVICE}"
        if gone or status == _CONFLICT:
            await self._clock.sleep(_PAUSE_S)
        self._wanted = 0
        self._answered.set()


def filters(config: ConsumerConfig) -> Sequence[str]:
    """What a consumer hears: the server says one filter otherwise than several."""
    return config.filter_subjects or ([config.filter_subject] if config.filter_subject else [])


def _ns(seconds: float) -> int:
    return int(seconds * 1_000_000_000)
