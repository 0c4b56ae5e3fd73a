"""An HA pair of Alertmanagers: both send everything, in groups and orders of their own, until it is accepted."""

import asyncio
import random
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Final, Self

import httpx

from eval.lab.kinds import Obj
from eval.storm.alerts import Told
from shared.adapters.system import SystemClock
from shared.domain.errors import PrimumError

SENDERS: Final = 2
_CONNECTIONS: Final = 3
_LARGEST: Final = 100
_AGAIN_AFTER_S: Final = 0.5
_ATTEMPTS: Final = 60


class Pair:
    """Two senders; use it as a context manager."""

    def __init__(self, gateway_url: str, token: str, prometheus_url: str, rng: random.Random) -> None:
        self._url, self._prometheus_url, self._rng = f"{gateway_url}/webhooks/alertmanager", prometheus_url, rng
        headers = {"Authorization": f"Bearer {token}"}
        self._http = httpx.AsyncClient(headers=headers, timeout=30, trust_env=False)
        self.deliveries = 0
        """Alerts that were acknowledged, each as often as it was."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def fire(self, alerts: Sequence[Told]) -> None:
        """Send them; return once both senders were told of each that it is safe. Raises PrimumError."""
        await self._send([told.payload(self._prometheus_url) for told in alerts])

    async def resolve(self, alerts: Sequence[Told]) -> None:
        """Send resolved notices."""
        await self._send([told.payload(self._prometheus_url, SystemClock().now()) for told in alerts])

    async def _send(self, alerts: Sequence[Obj]) -> None:
        groups = [iter(list(self._groups(alerts))) for _ in range(SENDERS)]
        await asyncio.gather(*(self._post_all(each) for each in groups for _ in range(_CONNECTIONS)))

    def _groups(self, alerts: Sequence[Obj]) -> Iterator[Sequence[Obj]]:
        """Cut them into groups of 1 to 100, in an order of this sender's own."""
        left = self._rng.sample(alerts, len(alerts))
        while left:
            size = self._rng.randint(1, _LARGEST)
            yield left[:size]
            left = left[size:]

    async def _post_all(self, groups: Iterator[Sequence[Obj]]) -> None:
        for group in groups:
            await self._post(group)
            self.deliveries += len(group)

    async def _post(self, group: Sequence[Obj]) -> None:
        body = {
            "version": "4",
            "groupKey": "{}:{storm}",
            "truncatedAlerts": 0,
            "status": "firing",
            "receiver": "primum",
            "groupLabels": {},
            "commonLabels": {},
            "commonAnnotations": {},
            "externalURL": "http://alertmanager.lab",
            "alerts": list(group),
        }
        for _ in range(_ATTEMPTS):
            try:
                answer = await self._http.post(self._url, json=body)
            except httpx.TransportError:
                await SystemClock().sleep(_AGAIN_AFTER_S)
                continue
            if answer.is_success:
                return
            if answer.is_client_error:
                raise PrimumError(f"the gateway refused a storm's alerts: {answer.status_code} {answer.text[:200]}")
            await SystemClock().sleep(_AGAIN_AFTER_S)
        raise PrimumError(f"the gateway accepted nothing within {_ATTEMPTS * _AGAIN_AFTER_S:g} s")
