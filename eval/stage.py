"""Where scenarios play: a lab in this process, a real Primum in processes of its own, and the API between them."""

import asyncio
import itertools
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final, Self

import httpx
import structlog

from eval.lab.lab import Lab, LabSettings
from eval.lab.rules import WINDOW_S
from services.cli.supervisor import Supervisor, SupervisorSettings
from shared.adapters.system import SystemClock

PACE: Final = 20.0
"""How much faster than a real cluster the lab runs: images are pulled in a fifth of a second."""
SETTLES_WITHIN_S: Final = 30.0
READY_WITHIN_S: Final = 180.0
"""Fifteen processes on a busy machine of two cores."""
PEOPLE: Final = "demo"
_AGAIN_AFTER_S: Final = 0.1


@dataclass(frozen=True)
class Organs:
    """What is switched off or replaced from outside; nothing, unless a demo sabotages itself."""

    disabled: Collection[str] = ()
    modules: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """What single services are told besides."""
    everywhere: Mapping[str, str] = field(default_factory=dict)
    """What all services are told besides."""
    drop_writes: bool = False
    replicas: int = 1
    """Of each service."""
    nats_url: str = ""
    """The bus to run on; empty for one of the stage's own."""
    patience_s: float = 0.0
    """How long a call to the API is made again, at another gateway each time, until one answers."""


class Stage:
    """`async with Stage(seed=1) as stage:` has everything running and the shop at rest."""

    pace: ClassVar[float] = PACE

    def __init__(self, seed: int, organs: Organs | None = None, data: Path | None = None) -> None:
        self.organs = organs or Organs()
        self.lab = Lab(LabSettings(seed=seed, pace=self.pace, senders=2))
        self._data = data
        self._stack = AsyncExitStack()
        self.supervisor: Supervisor
        self.prometheus_url = ""
        self.data: Path
        self._http: httpx.AsyncClient
        self._gateways: Iterator[str]
        self._clock = SystemClock()

    async def __aenter__(self) -> Self:
        try:
            await self._set_up()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def stop_primum(self) -> None:
        """Stop the services and their NATS; the lab, and the data, stay for the oracles."""
        await self.supervisor.stop()

    async def _set_up(self) -> None:
        own = tempfile.TemporaryDirectory(prefix="primum-demo-", ignore_cleanup_errors=True)
        self.data = self._data or Path(self._stack.enter_context(own))
        await self._stack.enter_async_context(self.lab)
        self.prometheus_url = await self._watched()
        self.supervisor = Supervisor(
            SupervisorSettings(
                data_dir=self.data,
                port=0,
                nats_url=self.organs.nats_url,
                host="127.0.0.1",
                replicas=self.organs.replicas,
                ready_within_s=READY_WITHIN_S,
            ),
            env=self.organs.env,
            everywhere={**self._environment(), **self.organs.everywhere},
            disabled=self.organs.disabled,
            modules=self.organs.modules,
            log=structlog.wrap_logger(structlog.ReturnLogger()),
        )
        await asyncio.gather(
            self._stack.enter_async_context(self.supervisor), self.lab.until(self.lab.quiet, SETTLES_WITHIN_S)
        )
        headers = {"Authorization": f"Bearer {self.supervisor.token}"}
        self._http = await self._stack.enter_async_context(
            httpx.AsyncClient(headers=headers, timeout=10, trust_env=False)
        )
        self._gateways = itertools.cycle(self.supervisor.gateway_urls)
        webhooks = [f"{url}/webhooks/alertmanager" for url in self.supervisor.gateway_urls]
        await self._told(self.supervisor.token, *webhooks)
        if self.organs.drop_writes:
            self.lab.faults.drop_writes()

    async def _watched(self) -> str:
        """Where the lab's metrics are asked for: its own Prometheus, unless a stage brings another."""
        return self.lab.prometheus_url

    async def _told(self, token: str, *webhooks: str) -> None:
        """Let alerts go there: to the gateway's replicas."""
        self.lab.send_to(token, *webhooks)

    def _environment(self) -> Mapping[str, str]:
        """The settings of a team that lets Primum act, at the lab's pace."""
        return {
            "PRIMUM_CLUSTER": "lab",
            "PRIMUM_KUBECONFIG": str(self.lab.kubeconfig(self.data / "kubeconfig")),
            "PRIMUM_KUBE_CONTEXT": "lab",
            "PRIMUM_PROMETHEUS_URL": self.prometheus_url,
            "PRIMUM_METRICS_WINDOW_S": f"{WINDOW_S / self.pace:g}",
            "PRIMUM_MODE": "act",
            "PRIMUM_PACE": str(self.pace),
            "PRIMUM_SURROUNDINGS_AGE_S": "0.5",
            "PRIMUM_WATCH_S": "40",
            "PRIMUM_RELAPSE_AFTER_S": "40",
        }

    # --- the real API

    async def incidents(self) -> Sequence[Mapping[str, Any]]:
        """Summaries of all incidents, newest first."""
        listed: Sequence[Mapping[str, Any]] = (await self._get("/api/incidents"))["incidents"]
        return listed

    async def incident(self, name: str) -> Mapping[str, Any]:
        """One incident whole."""
        return await self._get(f"/api/incidents/{name}")

    async def approve(self, name: str, plan_hash: str) -> bool:
        """Approve as a person would; False if the incident has moved on meanwhile (409)."""
        body = {"plan_hash": plan_hash, "by": PEOPLE}
        return (await self._call("POST", f"/api/incidents/{name}/approve", body, httpx.codes.CONFLICT)).is_success

    async def order(self, path: str, **said: str) -> None:
        """Give an order as a person would. Raises httpx.HTTPStatusError if it is refused."""
        await self._call("POST", path, {"by": PEOPLE, **said})

    async def close(self, name: str) -> None:
        """Take an incident over and close it, as a person would who gives up on it."""
        for order, said in (("take", {"by": PEOPLE}), ("close", {"by": PEOPLE, "reason": "the scenario is over"})):
            await self._call("POST", f"/api/incidents/{name}/{order}", said, httpx.codes.CONFLICT)

    async def status(self) -> Mapping[str, Any]:
        """What each agent does now, and what is open."""
        return await self._get("/api/status")

    async def _get(self, path: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = (await self._call("GET", path)).json()
        return found

    async def _call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *as_well: int
    ) -> httpx.Response:
        """Ask the gateways in turn, as a load balancer would, for as long as the stage is patient.

        Raises httpx.HTTPError for what is no success, and not `as_well` an answer.
        """
        deadline_s = self._clock.monotonic_s() + self.organs.patience_s
        while True:
            try:
                answer = await self._http.request(method, next(self._gateways) + path, json=body)
                if answer.status_code not in as_well:
                    answer.raise_for_status()
            except httpx.HTTPError as error:
                refused = isinstance(error, httpx.HTTPStatusError) and error.response.is_client_error
                if refused or self._clock.monotonic_s() > deadline_s:
                    raise
                await self._clock.sleep(_AGAIN_AFTER_S)
            else:
                return answer
