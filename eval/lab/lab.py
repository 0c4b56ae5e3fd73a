"""The lab as a running thing: the world on a clock, its Kubernetes API and Prometheus over HTTP, alerts by webhook."""

import asyncio
import socket
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import uvicorn

from eval.kubeconfig import write_kubeconfig
from eval.lab import prometheus
from eval.lab.alertmanager import Notification
from eval.lab.api import Api
from eval.lab.webhook import Webhook
from eval.lab.world import World
from shared.adapters.http_server import Guest

TICK_S: Final = 0.05  # of the wall
CATCH_UP: Final = 5  # ticks at once when the machine was busy; beyond it the lab's time slips
TOKEN: Final = "lab-bearer-token"  # noqa: S105 - it opens a lab on loopback, and must be somewhere to be checked


@dataclass(frozen=True)
class LabSettings:
    """How a lab is to be. `pace` is how much faster than the wall its time runs."""

    seed: int = 1
    pace: float = 20.0
    port: int = 0
    webhook: str | None = None
    webhook_token: str | None = None
    senders: int = 1


def wall_clock() -> datetime:
    """The real time, in UTC."""
    return datetime.now(UTC)


class Lab(World):
    """`async with Lab(LabSettings(seed=1)) as lab:` serves until the block ends."""

    def __init__(self, settings: LabSettings | None = None, wall: Callable[[], datetime] = wall_clock) -> None:
        self.settings = settings or LabSettings()
        super().__init__(self.settings.seed, wall, self.settings.pace, self.settings.senders)
        self.url = ""
        self._api = Api(
            self.store,
            self.faults,
            TOKEN,
            self.kubelet.read_log,
            prometheus.routes(self.queries, lambda: self.exporter.samples(self.now_s), lambda: self.sampled_at),
        )
        self._ticked = asyncio.Event()
        self._steps = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._serving = AsyncExitStack()
        self._webhook: Webhook | None = None

    @property
    def app(self) -> Callable[..., object]:
        """The ASGI application, for those who serve it themselves."""
        return self._api.app

    @property
    def prometheus_url(self) -> str:
        return self.url + prometheus.PREFIX

    @property
    def metrics_url(self) -> str:
        return self.url + "/metrics"

    @property
    def token(self) -> str:
        """The one bearer token that is accepted now."""
        return self._api.token

    def rotate_token(self, token: str = "") -> str:
        """Let the token expire: what is written down somewhere is 401 from now on. Return the next one."""
        stem, _, number = self._api.token.partition("~")
        self._api.token = token or f"{stem}~{int(number or 1) + 1}"
        return self.token

    def kubeconfig(self, path: Path, token_file: Path | None = None) -> Path:
        """Write a kubeconfig for kubectl and Primum, with the bearer token in it or in a file that it names."""
        user = {"token": self.token}
        if token_file is not None:
            token_file.write_text(self.token)
            user = {"tokenFile": str(token_file)}
        return write_kubeconfig(path, self.url, user, context="lab")

    # -- running

    async def __aenter__(self) -> Self:
        listener = socket.create_server(("127.0.0.1", self.settings.port))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self.alertmanager.url = self.prometheus_url
        if self.settings.webhook:
            self.send_to(self.settings.webhook_token, self.settings.webhook)
        config = uvicorn.Config(
            self._api.app, log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=2
        )
        await self._serving.enter_async_context(Guest(config).open_on(listener))
        self._tasks = [asyncio.create_task(self._drive())]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        (driver,) = self._tasks
        failed = driver.done() and not driver.cancelled()
        driver.cancel()
        self._api.close()
        if self._webhook:
            await self._webhook.close()
        await self._serving.aclose()
        await asyncio.wait([driver])
        if failed:
            driver.result()

    def send_to(self, token: str | None, *urls: str) -> None:
        """Name the receiver of alerts, or its replicas; may be called while the lab runs, once."""
        self._webhook = Webhook(urls, token, self.alertmanager, lambda: self.now_s)

    def send(self, notification: Notification) -> None:
        if self._webhook is None:
            super().send(notification)
        else:
            self._webhook.send(notification, self._delivered)

    def _delivered(self, notification: Notification) -> None:
        self.alertmanager.delivered(notification, self.now_s, self.wall())

    def roll_out(self) -> None:
        """Have the beginning behind it, until every Deployment is rolled out; to be called before it serves."""
        while not self.complete():
            self._step()
        self.began_at = self.wall() - timedelta(seconds=self.now_s / self.pace)

    def _step(self) -> None:
        self._steps += 1
        self.tick(self._steps * TICK_S * self.settings.pace)

    async def _drive(self) -> None:
        loop = asyncio.get_running_loop()
        began_s = loop.time() - self._steps * TICK_S
        while True:
            behind = int((loop.time() - began_s) / TICK_S) - self._steps
            for _ in range(min(behind, CATCH_UP)):
                self._step()
            began_s += max(0, behind - CATCH_UP) * TICK_S
            ticked, self._ticked = self._ticked, asyncio.Event()
            ticked.set()
            await asyncio.sleep(max(0.0, began_s + (self._steps + 1) * TICK_S - loop.time()))

    async def until(self, predicate: Callable[[], bool], timeout_s: float) -> None:
        """Wait until the predicate holds, looking after every tick. Raises TimeoutError after `timeout_s`."""
        async with asyncio.timeout(timeout_s):
            while not predicate():
                await self.next_tick()

    async def next_tick(self) -> None:
        for task in self._tasks:
            if task.done():
                task.result()
        await self._ticked.wait()
