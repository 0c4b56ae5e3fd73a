"""Where scenarios play: a lab in this process, a real Primum in processes of its own, and the API between them."""

import asyncio
import tempfile
from collections.abc import Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final, Self

import httpx
import structlog

from eval.lab.lab import Lab, LabSettings
from eval.lab.rules import WINDOW_S
from services.cli.supervisor import Supervisor, SupervisorSettings

PACE: Final = 20.0
"""How much faster than a real cluster the lab runs: images are pulled in a fifth of a second."""
SETTLES_WITHIN_S: Final = 30.0
PEOPLE: Final = "demo"


@dataclass(frozen=True)
class Organs:
    """What is switched off or replaced from outside; nothing, unless a demo sabotages itself."""

    disabled: Collection[str] = ()
    modules: Mapping[str, str] = field(default_factory=dict)
    drop_writes: bool = False


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
            SupervisorSettings(data_dir=self.data, port=0, nats_url="", host="127.0.0.1"),
            everywhere=self._environment(),
            disabled=self.organs.disabled,
            modules=self.organs.modules,
            log=structlog.wrap_logger(structlog.ReturnLogger()),
        )
        await asyncio.gather(
            self._stack.enter_async_context(self.supervisor), self.lab.until(self.lab.quiet, SETTLES_WITHIN_S)
        )
        headers = {"Authorization": f"Bearer {self.supervisor.token}"}
        self._http = await self._stack.enter_async_context(
            httpx.AsyncClient(base_url=self.supervisor.gateway_url, headers=headers, timeout=10, trust_env=False)
        )
        await self._told(f"{self.supervisor.gateway_url}/webhooks/alertmanager", self.supervisor.token)
        if self.organs.drop_writes:
            self.lab.faults.drop_writes()

    async def _watched(self) -> str:
        """Where the lab's metrics are asked for: its own Prometheus, unless a stage brings another."""
        return self.lab.prometheus_url

    async def _told(self, webhook: str, token: str) -> None:
        """Let alerts go there."""
        self.lab.send_to(webhook, token)

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
        answer = await self._http.post(f"/api/incidents/{name}/approve", json={"plan_hash": plan_hash, "by": PEOPLE})
        if answer.status_code == httpx.codes.CONFLICT:
            return False
        answer.raise_for_status()
        return True

    async def order(self, path: str, **said: str) -> None:
        """Give an order as a person would. Raises httpx.HTTPStatusError if it is refused."""
        (await self._http.post(path, json={"by": PEOPLE, **said})).raise_for_status()

    async def close(self, name: str) -> None:
        """Take an incident over and close it, as a person would who gives up on it."""
        for order, said in (("take", {"by": PEOPLE}), ("close", {"by": PEOPLE, "reason": "the scenario is over"})):
            await self._http.post(f"/api/incidents/{name}/{order}", json=said)

    async def _get(self, path: str) -> Mapping[str, Any]:
        answer = await self._http.get(path)
        answer.raise_for_status()
        found: Mapping[str, Any] = answer.json()
        return found
