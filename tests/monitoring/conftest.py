"""Real Prometheus and Alertmanager before a real gateway; everything here is skipped where they are not installed."""

import functools
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final, Self

import nats
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from eval.lab.rules import Rule
from eval.monitoring.monitoring import PROGRAMS, Intervals, Monitoring, page, rules_file
from eval.monitoring.program import missing
from eval.ports import free_ports
from services.gateway.app import duties
from services.gateway.settings import GatewaySettings
from shared.adapters.nats_server import EmbeddedNats
from shared.adapters.nats_stream import NatsStream
from shared.bus import streams
from shared.domain.events import Owner
from shared.testing.http_server import serving
from shared.testing.keys import settings_of, write_keys
from shared.testing.running import RunningService

INTERVALS: Final = Intervals(scrape_s=0.25, group_wait_s=0.5, group_interval_s=1.0, gossip_s=60)
TOKEN: Final = "open-sesame"
WANTED: Final = Rule("Wanted", "wanted > 0", "warning", "Something is wanted.", "{{ $labels.thing }} is.", for_s=0)


@pytest.fixture(scope="session", autouse=True)
def installed() -> None:
    """Skip, with the reason, where the programs are missing."""
    if said := missing(*PROGRAMS):
        pytest.skip(said)


class Things:
    """An application that exports one gauge a thing, for a rule to fire on."""

    def __init__(self) -> None:
        self.wanted: list[str] = []
        self.app = Starlette(routes=[Route("/metrics", self._metrics)])

    async def _metrics(self, _: Request) -> Response:
        lines = [f'wanted{{namespace="shop",thing="{thing}"}} 1\n' for thing in self.wanted]
        return PlainTextResponse("".join(["# TYPE wanted gauge\n", *lines]), media_type="text/plain; version=0.0.4")


class Inbound:
    """Things that are watched, a pair that tells, a gateway that is told, and the stream behind it."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._stack, self._port = folder, AsyncExitStack(), free_ports(1)[0]
        self.things, self.nats = Things(), EmbeddedNats(folder / "nats")
        self.monitoring: Monitoring
        self._gateway: RunningService | None = None

    async def __aenter__(self) -> Self:
        try:
            await self._stack.enter_async_context(self.nats)
            await self.open_gateway()
            self._stack.push_async_callback(self.close_gateway)
            url = await self._stack.enter_async_context(serving(self.things.app))
            rules = rules_file([WANTED], pace=1)
            self.monitoring = Monitoring(self._folder / "monitoring", [page(f"{url}/metrics")], rules, INTERVALS)
            await self._stack.enter_async_context(self.monitoring)
            await self.monitoring.tell(f"http://127.0.0.1:{self._port}/webhooks/alertmanager", TOKEN)
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def open_gateway(self) -> None:
        """Start it, where Alertmanager was told that it is."""
        settings = GatewaySettings(
            runtime_dir=self._folder / "run",
            nats_url=self.nats.url,
            token=TOKEN,
            port=self._port,
            grace_s=1,
            **settings_of(Owner.GATEWAY, write_keys(self._folder / "keys")),
        )
        self._gateway = RunningService(Owner.GATEWAY, settings, functools.partial(duties, settings))
        await self._gateway.ready()

    async def close_gateway(self) -> None:
        """Stop it; nobody listens there then."""
        if self._gateway is not None:
            await self._gateway.stop()
        self._gateway = None

    async def stored(self) -> Sequence[dict[str, Any]]:
        """The alerts in the stream, oldest first."""
        connection = await nats.connect(self.nats.url)
        try:
            found = await NatsStream(connection, streams.ALERTS, timeout_s=5).after("primum.alert.>")
            return [json.loads(each.data) for each in found]
        finally:
            await connection.close()

    async def things_stored(self, status: str = "firing") -> Sequence[str]:
        return sorted(each["labels"]["thing"] for each in await self.stored() if each["status"] == status)

    async def sent(self, what: str) -> tuple[float, float]:
        """What each of the pair counts of its notifications: `total`, `failed_total`, `requests_failed_total`."""
        counts = [
            await self.monitoring.count(n, f"alertmanager_notification{what}", integration="webhook") for n in (0, 1)
        ]
        return counts[0], counts[1]


@pytest.fixture
async def inbound(tmp_path: Path) -> AsyncIterator[Inbound]:
    """All of it, at rest."""
    async with Inbound(tmp_path) as running:
        yield running
