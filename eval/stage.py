"""A Primum before a ground: its processes are real, it acts, and scenarios watch it through its API."""

import itertools
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Generic, Self, TypeVar

import httpx
import structlog

from eval.ground import Site
from eval.stopping import together
from services.cli.supervisor import Supervisor, SupervisorSettings
from shared.adapters.loopback import PLAIN
from shared.adapters.system import SystemClock

G_co = TypeVar("G_co", bound=Site, covariant=True)
AT_REST_WITHIN_S: Final = 600.0
"""Of the ground's time: how long a shop takes to stand and to be in traffic."""
READY_WITHIN_S: Final = 180.0
"""Fifteen processes on a busy machine of two cores."""
PEOPLE: Final = "demo"
_NOBODY: Final = {"PRIMUM_NOTIFY_URL": ""}
"""Whom to tell: whoever starts this may have a Primum of his own, and people who would be woken for nothing."""
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
    replicas: int = 1
    """Of each service."""
    nats_url: str = ""
    """The bus to run on; empty for one of the stage's own."""
    patience_s: float = 0.0
    """How long a call to the API is made again, at another gateway each time, until one answers."""


class Stage(Generic[G_co]):
    """`async with Stage(ground) as stage:` has everything running, and the shop at rest."""

    def __init__(self, ground: G_co, organs: Organs | None = None, data: Path | None = None) -> None:
        self.ground = ground
        self.organs = organs or Organs()
        self._data = data
        self._stack = AsyncExitStack()
        self.supervisor: Supervisor
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
        """Stop the services and their NATS; the ground, and the data, stay for the oracles."""
        await self.supervisor.stop()

    async def _set_up(self) -> None:
        self.data = self._data or self._own_folder()
        settings = await self.ground.settings(self.data)
        self.supervisor = Supervisor(
            SupervisorSettings(
                data_dir=self.data,
                port=0,
                nats_url=self.organs.nats_url,
                host="127.0.0.1",
                replicas=self.organs.replicas,
                ready_within_s=READY_WITHIN_S,
            ),
            env=_merged(settings.each, self.organs.env),
            everywhere={"PRIMUM_MODE": "act", **_NOBODY, **settings.everywhere, **self.organs.everywhere},
            disabled=self.organs.disabled,
            modules=self.organs.modules,
            log=structlog.wrap_logger(structlog.ReturnLogger()),
        )
        await together([self._begin(), self.ground.until(self.ground.at_rest, AT_REST_WITHIN_S)])
        headers = {"Authorization": f"Bearer {self.supervisor.token}"}
        self._http = await self._stack.enter_async_context(
            httpx.AsyncClient(headers=headers, timeout=10, trust_env=False, verify=PLAIN)
        )
        self._gateways = itertools.cycle(self.supervisor.gateway_urls)
        webhooks = [f"{url}/webhooks/alertmanager" for url in self.supervisor.gateway_urls]
        await self.ground.tell(self.supervisor.token, webhooks)

    def _own_folder(self) -> Path:
        own = tempfile.TemporaryDirectory(prefix="primum-demo-", ignore_cleanup_errors=True)
        return Path(self._stack.enter_context(own))

    async def _begin(self) -> None:
        await self._stack.enter_async_context(self.supervisor)

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


def _merged(
    one: Mapping[str, Mapping[str, str]], other: Mapping[str, Mapping[str, str]]
) -> Mapping[str, Mapping[str, str]]:
    return {name: {**one.get(name, {}), **other.get(name, {})} for name in {*one, *other}}
