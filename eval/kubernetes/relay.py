"""Between real Alertmanagers and the gateway: remembers what was delivered, and can make the news late."""

import asyncio
import json
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any, Final, Self

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from eval.lab.alertmanager import Delivery
from shared.adapters.system import SystemClock
from shared.testing.http_server import serving

_TIMEOUT_S: Final = 10.0
_AGAIN_AFTER_S: Final = 1.0
_CLOCK: Final = SystemClock()


class Relay:
    """`async with Relay() as relay`: Alertmanagers post to `relay.url`, and `to` says who is told.

    What is delivered at once is answered as the gateway answers it. What is to be late is taken at once, and brought
    once it is late enough, as often as it takes: an Alertmanager would not wait so long for an answer.
    """

    def __init__(self) -> None:
        self.url = ""
        self.deliveries: list[Delivery] = []
        self.delay_s = 0.0
        self.silent = False
        """While its team has announced work on it, nobody is told of the shop, as under a silence of Alertmanager's."""
        self._to: Sequence[str] = ()
        self._senders: dict[str, int] = {}
        self._late: set[asyncio.Task[None]] = set()
        self._stack = AsyncExitStack()
        self._http = httpx.AsyncClient(trust_env=False, timeout=_TIMEOUT_S)

    async def __aenter__(self) -> Self:
        app = Starlette(routes=[Route("/", self._take, methods=["POST"])])
        self._stack.push_async_callback(self._http.aclose)
        self.url = await self._stack.enter_async_context(serving(app))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in tuple(self._late):
            task.cancel()
        await asyncio.gather(*self._late, return_exceptions=True)
        await self._stack.aclose()

    @property
    def idle(self) -> bool:
        """Whether nothing is on its way that was held back."""
        return not self._late

    def to(self, webhooks: Sequence[str]) -> None:
        """Tell these from now on: each of the senders has one of them."""
        self._to = webhooks

    async def _take(self, request: Request) -> Response:
        body, authorization = await request.body(), request.headers.get("authorization", "")
        if self.silent:
            return Response()
        if self.delay_s:
            task = asyncio.get_running_loop().create_task(self._bring_late(body, authorization, self.delay_s))
            self._late.add(task)
            task.add_done_callback(self._late.discard)
            return Response()
        return Response(status_code=await self._bring(body, authorization))

    async def _bring_late(self, body: bytes, authorization: str, delay_s: float) -> None:
        await _CLOCK.sleep(delay_s)
        while await self._bring(body, authorization) >= httpx.codes.INTERNAL_SERVER_ERROR:
            await _CLOCK.sleep(_AGAIN_AFTER_S)

    async def _bring(self, body: bytes, authorization: str) -> int:
        """Return the gateway's answer, 502 where there is none."""
        told = json.loads(body)
        sender = self._senders.setdefault(told["externalURL"], len(self._senders))
        if not self._to:
            return httpx.codes.SERVICE_UNAVAILABLE
        headers = {"authorization": authorization, "content-type": "application/json"}
        try:
            answer = await self._http.post(self._to[sender % len(self._to)], content=body, headers=headers)
        except httpx.TransportError:
            return httpx.codes.BAD_GATEWAY
        if answer.is_success:
            self.deliveries += [_delivery(told, alert, sender) for alert in told["alerts"]]
        return answer.status_code


def _delivery(told: dict[str, Any], alert: dict[str, Any], sender: int) -> Delivery:
    return Delivery(
        fingerprint=alert["fingerprint"],
        status=alert["status"],
        starts_at=alert["startsAt"],
        ends_at=alert["endsAt"],
        at=_CLOCK.now(),
        receiver=told["receiver"],
        sender=sender,
        labels=alert["labels"],
    )
