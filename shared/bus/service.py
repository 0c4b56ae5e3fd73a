"""The one way to run a service: `serve` connects, subscribes, sweeps, answers for its health, and stops cleanly."""

import asyncio
import contextlib
import gc
import signal
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final

from nats.aio.client import Client
from nats.aio.msg import Msg
from starlette.routing import BaseRoute
from structlog.typing import FilteringBoundLogger

from shared.adapters.nats_clock import NatsClock
from shared.adapters.nats_connection import DENIED_ADVICE, User, Watcher, address, advice_for, close, connect_for_ever
from shared.adapters.nats_dead import NatsDeadLetters
from shared.adapters.nats_inbox import NatsInbox
from shared.adapters.nats_kv import NatsActivities, NatsClaims, NatsHeartbeats
from shared.adapters.nats_ledger import NatsLedger, Writer
from shared.adapters.nats_timers import NatsTimers
from shared.adapters.nkey import exposed
from shared.adapters.seal import Seal
from shared.adapters.seal import load as load_seal
from shared.adapters.system import RandomIdentity, SystemClock
from shared.bus import log as logs
from shared.bus import pull, streams, web
from shared.bus.attempt import OUTAGES, Attempts
from shared.bus.connections import Limits
from shared.bus.delivery import Delivery, Held
from shared.bus.ending import cancelled
from shared.bus.settings import REFUSED, ServiceSettings
from shared.bus.work import Alerts, Incidents, Run, SignedAlerts
from shared.domain.alert import Alert
from shared.domain.errors import LedgerUnavailable, PrimumError
from shared.domain.events import Base, Owner
from shared.domain.ids import HolderId, IncidentId
from shared.ports.identity import Identity
from shared.ports.ledger import Claims, Heartbeats, Inbox, Ledger, Timers

_HELD_PER_WORKER: Final = 16
"""Messages of one stream that are held for each worker: enough to coalesce, few enough to share with other replicas."""
_ALERT_WORKERS: Final = 2
"""Each takes all alerts that wait: one would leave new ones waiting while a query hangs, many would tear them apart."""
FAILED: Final = 1
_SKEW_S: Final = 5.0
"""From here on a machine's clock is called wrong."""


@dataclass(frozen=True)
class Bus:
    """What a service is given: the ready-made ports, and who it is.

    Until NATS answers every call raises LedgerUnavailable, so `build` makes none.
    """

    owner: Owner
    settings: ServiceSettings
    seal: Seal
    holder: HolderId
    """This run of this process."""
    connection: Client
    ledger: Ledger
    inbox: Inbox
    timers: Timers
    heartbeats: Heartbeats
    claims: Claims
    activities: NatsActivities
    dead: NatsDeadLetters
    clock: NatsClock
    """The bus's time: nobody's own clock decides what is over."""
    identity: Identity
    log: FilteringBoundLogger


@dataclass(frozen=True)
class Duties:
    """What a service does."""

    wakes_on: frozenset[type[Base]]
    """The ledger events that wake it."""
    reconcile: Callable[[IncidentId], Awaitable[None]]
    on_alerts: Callable[[Sequence[Alert]], Awaitable[None]] | None = None
    """Only the detector has it: it consumes ALERTS, and gets those that wait together at once."""
    routes: Sequence[BaseRoute] = ()
    """HTTP beside /alive, /ready and /metrics."""
    background: Sequence[Callable[[], Awaitable[None]]] = ()
    """Loops that run from the first connection until the stop. One that ends or crashes stops the service; one that
    raises an outage is started again."""


Build = Callable[[Bus], AbstractAsyncContextManager[Duties]]


def serve(owner: Owner, settings: ServiceSettings, build: Build) -> int:
    """Run a service until SIGTERM or SIGINT; return the exit status.

    0: stopped cleanly. 1: something broke that a restart may mend. 2: its settings can never work.
    """
    log = logs.configure(str(owner), settings)

    async def main() -> int:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        gc.freeze()  # what was imported stays; to look through it again takes 40 ms each time
        return await run(owner, settings, build, stop, log)

    return asyncio.run(main())


async def run(
    owner: Owner, settings: ServiceSettings, build: Build, stop: asyncio.Event, log: FilteringBoundLogger
) -> int:
    """Run a service inside a loop that exists, until `stop` is set; return the exit status."""
    try:
        bus = bus_of(owner, settings, log)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(close, bus.connection)
            duties = await stack.enter_async_context(build(bus))
            service = _Service(bus, duties)
            listening = web.listen(settings.host, settings.port)
            url = web.url_of(listening)
            app = web.application(str(owner), service.problems, duties.routes)
            limits = Limits(settings.head_timeout_s, settings.max_connections)
            await stack.enter_async_context(web.serving(app, listening, settings.grace_s, limits))
            stack.enter_context(web.announced(settings.runtime_dir, str(owner), url))
            log.info("listening", url=url, holder=bus.holder)
            return await service.run(stop)
    except OUTAGES as error:
        log.critical("cannot start", reason=str(error))
        return FAILED
    except PrimumError as error:
        log.critical("refuses to start", reason=str(error))
        return REFUSED


def bus_of(owner: Owner, settings: ServiceSettings, log: FilteringBoundLogger) -> Bus:
    """Make the ports on a connection that is not made yet. Raises PrimumError without the service's keys."""
    seal = load_seal(owner, settings.nkey_file, settings.keyring)
    for danger in exposed(settings.nkey_file, settings.keyring):
        log.warning("a key is not safe", reason=danger)
    connection, identity, timeout_s = Client(), RandomIdentity(), settings.nats_timeout_s
    clock = NatsClock(connection, SystemClock(), streams.TIMERS, str(owner), timeout_s)
    holder = HolderId(identity.new(str(owner)))
    return Bus(
        owner=owner,
        settings=settings,
        seal=seal,
        holder=holder,
        connection=connection,
        ledger=NatsLedger(connection, Writer(seal, clock, identity), timeout_s),
        inbox=NatsInbox(connection, seal, timeout_s),
        timers=NatsTimers(connection, owner, clock, timeout_s),
        heartbeats=NatsHeartbeats(connection, seal, timeout_s),
        claims=NatsClaims(connection, seal, timeout_s),
        activities=NatsActivities(connection, owner, holder, timeout_s),
        dead=NatsDeadLetters(connection, timeout_s),
        clock=clock,
        identity=identity,
        log=log,
    )


def sources_for(bus: Bus, duties: Duties) -> Sequence[pull.Source]:
    """List the durables that a service of these duties pulls."""
    return pull.sources(bus.owner, bus.settings.ack_wait_s, duties.wakes_on, alerts=duties.on_alerts is not None)


class _Service:
    """The loops of one service: connection, pulls, workers, sweep, renewals."""

    def __init__(self, bus: Bus, duties: Duties) -> None:
        self._bus, self._duties, self._settings = bus, duties, bus.settings
        attempts = Attempts(bus.owner, bus.settings, bus.clock, bus.log)
        self._held = Held(bus.owner, bus.dead, bus.clock, bus.log)
        self._incidents = Incidents(duties.reconcile, attempts, self._held)
        takes = duties.on_alerts
        self._alerts = Alerts(takes, SignedAlerts(bus.seal), attempts, self._held) if takes is not None else None
        self._pulls = [self._pull(source) for source in self._sources()]
        self._complaint = f"no NATS answers at {address(bus.settings.nats_url)} yet"
        self._stopping, self._swept = False, False
        self._busy: set[asyncio.Task[Any] | None] = set()
        self._closed, self._timed, self._skewed = asyncio.Event(), asyncio.Event(), False

    def problems(self) -> Sequence[str]:
        """Why the service is not ready; empty when it is."""
        if self._stopping:
            return ["the service stops"]
        if not self._bus.connection.is_connected:
            return [self._complaint]
        problems = [problem for each in self._pulls if (problem := each.problem()) is not None]
        if not problems and not self._timed.is_set():
            return ["the bus did not say what time it is yet"]
        return problems or ([] if self._swept else ["the open incidents were not looked at yet"])

    async def run(self, stop: asyncio.Event) -> int:
        """Do all of it until `stop`, or until something breaks."""
        stopped = asyncio.create_task(stop.wait())
        connecting = asyncio.create_task(self._connect())
        await asyncio.wait({stopped, connecting}, return_when=asyncio.FIRST_COMPLETED)
        if not connecting.done():
            await cancelled([connecting])
            return 0
        connecting.result()
        self._bus.log.info("connected to NATS", at=address(self._settings.nats_url))
        pulls = [asyncio.create_task(each.run()) for each in self._pulls]
        workers = self._workers()
        others = [asyncio.create_task(loop) for loop in self._loops()]
        done, _ = await asyncio.wait({stopped, *pulls, *workers, *others}, return_when=asyncio.FIRST_COMPLETED)
        status = 0 if stopped in done else self._blame(done)
        await self._wind_down(pulls, workers, [*others, stopped])
        return status

    # --- the pieces

    def _sources(self) -> Sequence[pull.Source]:
        return sources_for(self._bus, self._duties)

    def _pull(self, source: pull.Source) -> pull.Pull:
        async def take(message: Msg) -> None:
            delivery = Delivery(message, source.work)
            self._held.add(delivery)
            if self._alerts is not None and source.stream == streams.ALERTS:
                await self._alerts.take(delivery)
            else:
                await self._incidents.wake_by(delivery)

        async def room() -> int:
            most = self._settings.concurrency * _HELD_PER_WORKER
            while (free := most - self._held.count(source.stream)) <= 0:
                self._held.freed.clear()
                await self._held.freed.wait()
            return free

        return pull.Pull(
            self._bus.connection,
            source,
            feeds=pull.Feeds(take, room),
            clock=self._bus.clock,
            log=self._bus.log,
        )

    def _workers(self) -> list[asyncio.Task[None]]:
        concurrency = self._settings.concurrency
        queues = [self._incidents.next] * concurrency
        if self._alerts is not None:
            queues += [self._alerts.next] * min(_ALERT_WORKERS, concurrency)
        return [asyncio.create_task(self._work(await_next)) for await_next in queues]

    async def _work(self, await_next: Callable[[], Awaitable[Run]]) -> None:
        me = asyncio.current_task()
        await self._timed.wait()
        while not self._stopping:
            run_one = await await_next()
            self._busy.add(me)
            try:
                await run_one()
            finally:
                self._busy.discard(me)

    def _loops(self) -> Sequence[Coroutine[object, object, None]]:
        settings = self._settings
        return [
            self._every(settings.sweep_every_s, self._sweep),
            self._keep_time(),
            self._every(settings.ack_wait_s / 3, self._renew),
            self._every(settings.activity_ttl_s / 3, self._bus.activities.repeat),
            self._until_closed(),
            *(self._steadily(loop) for loop in self._duties.background),
        ]

    async def _renew(self) -> None:
        if self._bus.connection.is_connected:  # later it would be stale, and nats-py would send it all the same
            await self._held.renew()

    async def _every(self, seconds: float, do: Callable[[], Awaitable[None]]) -> None:
        await self._all_found()
        while True:
            try:
                await do()
            except OUTAGES as error:
                self._bus.log.warning("something does not answer", reason=str(error))
            await self._bus.clock.sleep(seconds)

    async def _keep_time(self) -> None:
        """Nothing is handled before the bus's time is known; then it is asked for again now and then."""
        await self._all_found()
        while True:
            try:
                ahead_s = await self._bus.clock.ask()
            except LedgerUnavailable as error:
                self._bus.log.warning("something does not answer", reason=str(error))
                await self._bus.clock.sleep(1)
                continue
            self._tell_of_skew(ahead_s)
            self._timed.set()
            await self._bus.clock.sleep(self._settings.sweep_every_s)

    def _tell_of_skew(self, ahead_s: float) -> None:
        if abs(ahead_s) > _SKEW_S and not self._skewed:
            self._bus.log.warning(
                "this machine's clock is not that of NATS, whose is used", ahead_s=round(ahead_s, 1), advice="run NTP"
            )
        self._skewed = abs(ahead_s) > _SKEW_S

    async def _steadily(self, loop: Callable[[], Awaitable[None]]) -> None:
        """Run a loop of the service's own; an outage starts it again, as nothing is wrong with it."""
        await self._all_found()
        while True:
            try:
                await loop()
            except OUTAGES as error:
                self._bus.log.warning("something does not answer", reason=str(error))
                await self._bus.clock.sleep(1)
            else:
                raise RuntimeError("a background loop ended by itself")

    async def _all_found(self) -> None:
        """Wait for the streams and consumers: the first sweep comes after them, so that nothing falls between."""
        for each in self._pulls:
            await each.found.wait()

    async def _sweep(self) -> None:
        """Look at every open incident, whoever was or was not woken: a lost message delays, it never strands."""
        for incident in await self._bus.ledger.open_incidents():
            self._incidents.wake(incident)
        self._swept = True

    # --- the connection

    async def _connect(self) -> None:
        await connect_for_ever(
            self._bus.connection,
            self._settings.nats_url,
            User(str(self._bus.owner), self._bus.seal.key),
            Watcher(self._lost, self._back, self._on_closed, self._denied),
        )

    def _lost(self, reason: str) -> None:
        """Say it once for each reason, however often it is tried."""
        if self._stopping or self._bus.connection.is_connected:
            return
        complaint = f"no NATS answers at {address(self._settings.nats_url)} ({reason})"
        if complaint != self._complaint:
            self._complaint = complaint
            self._bus.log.warning("waiting for NATS", reason=complaint, advice=advice_for(reason))

    def _back(self, _: str) -> None:
        self._complaint = ""
        self._bus.log.info("connected to NATS again", at=address(self._settings.nats_url))

    def _denied(self, reason: str) -> None:
        self._bus.log.error("NATS denies it", reason=reason, advice=DENIED_ADVICE)

    def _on_closed(self, _: str) -> None:
        self._closed.set()

    async def _until_closed(self) -> None:
        await self._closed.wait()
        raise LedgerUnavailable("the connection to NATS closed for good")

    # --- the end

    def _blame(self, done: set[asyncio.Task[Any]]) -> int:
        for task in done:
            self._bus.log.error("the service stops because a loop of it broke", exc_info=task.exception())
        return FAILED

    async def _wind_down(
        self,
        pulls: Sequence[asyncio.Task[None]],
        workers: Sequence[asyncio.Task[None]],
        others: Sequence[asyncio.Task[Any]],
    ) -> None:
        """Fetch nothing more, let running handlers finish within the grace, give back the rest."""
        self._stopping = True
        await cancelled(pulls)
        if busy := [worker for worker in workers if worker in self._busy]:
            await asyncio.wait(busy, timeout=self._settings.grace_s)
        await cancelled([*workers, *others])
        given_back = await self._held.give_back()
        with contextlib.suppress(LedgerUnavailable):  # then it is forgotten a little later
            await self._bus.activities.gone()
        if self._bus.connection.is_connected:
            await self._bus.connection.flush()
        self._bus.log.info("stopped", given_back=given_back)
