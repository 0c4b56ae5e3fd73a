"""A service under test, in the test's own event loop: the real loop of `shared/bus` on a real nats-server."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
import structlog

from shared.adapters.loopback import PLAIN
from shared.adapters.nats_connection import connected
from shared.bus import streams
from shared.bus.ending import cancelled
from shared.bus.service import Bus, Duties, bus_of, run, sources_for
from shared.bus.settings import ServiceSettings
from shared.bus.setup import Plan, keep_up, set_up
from shared.domain.errors import LedgerUnavailable
from shared.domain.events import Owner
from shared.ports.clock import Clock
from shared.testing.keys import operator

_LOOK_EVERY_S = 0.01


async def until(check: Callable[[], Awaitable[bool]], clock: Clock, within_s: float = 10.0) -> None:
    """Return once `check` holds; fail with TimeoutError when it does not within the time."""
    async with asyncio.timeout(within_s):
        while not await check():
            await clock.sleep(_LOOK_EVERY_S)


class RunningService:
    """One run of a service: its bus, its URL, and its exit status once it was stopped.

    An operator sees to its streams and consumers meanwhile, as `primum up` does.
    """

    def __init__(
        self, owner: Owner, settings: ServiceSettings, duties: Callable[[Bus], Duties], *, operated: bool = True
    ) -> None:
        self._operated = operated
        self._owner, self._settings, self._duties = owner, settings, duties
        self._stop = asyncio.Event()
        self._bus: Bus | None = None
        self._task = asyncio.create_task(
            run(owner, settings, self._build, self._stop, structlog.get_logger(service=str(owner)))
        )

    @asynccontextmanager
    async def _build(self, bus: Bus) -> AsyncIterator[Duties]:
        self._bus = bus
        duties = self._duties(bus)
        if not self._operated:
            yield duties
            return
        keeping = streams.Keeping(1, self._settings.heartbeat_ttl_s, self._settings.activity_ttl_s)
        plan = Plan(keeping, sources_for(bus, duties))
        with suppress(LedgerUnavailable):  # then it comes later, and with it what the service waits for
            async with connected(self._settings.nats_url, operator(), timeout_s=1) as connection:
                await set_up(connection, plan)
        operating = asyncio.create_task(keep_up(self._settings.nats_url, operator(), plan, bus.clock, bus.log.info))
        try:
            yield duties
        finally:
            await cancelled([operating])

    @property
    def bus(self) -> Bus:
        return self._bus if self._bus is not None else bus_of(self._owner, self._settings, structlog.get_logger())

    @property
    def _file(self) -> Path:
        return (self._settings.runtime_dir or Path()) / f"service-{self._owner}.json"

    async def get(self, path: str) -> httpx.Response:
        """GET from the service. It must be listening."""
        async with self._http() as http:
            return await http.get(path)

    def _http(self) -> httpx.AsyncClient:
        url = json.loads(self._file.read_text())["url"]
        return httpx.AsyncClient(base_url=url, trust_env=False, verify=PLAIN)

    async def listening(self) -> None:
        async def there() -> bool:
            return self._file.exists() or self._task.done()

        await until(there, self.bus.clock)

    async def ready(self, *, within_s: float = 10.0) -> None:
        """Wait until /ready says so."""
        await self.listening()

        async with self._http() as http:  # one for all looks: to make one costs more than to ask

            async def is_ready() -> bool:
                return (await http.get("/ready")).is_success

            await until(is_ready, self.bus.clock, within_s)

    async def stop(self) -> int:
        """Stop it as SIGTERM does; return the exit status."""
        self._stop.set()
        return await self.ended()

    async def ended(self, *, within_s: float = 10.0) -> int:
        """Wait for its end; return the exit status."""
        async with asyncio.timeout(within_s):
            return await self._task
