"""The person who is told: a webhook that takes every message and remembers it."""

import socket
from collections import Counter
from contextlib import AsyncExitStack
from typing import Self

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from shared.adapters.http_server import Guest


class People:
    """`async with People() as people:` listens at `people.url` until the block ends."""

    def __init__(self) -> None:
        self.told: Counter[str] = Counter()
        """How often each message came, by its id."""
        self.url = ""
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        app = Starlette(routes=[Route("/", self._take, methods=["POST"])])
        config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=1)
        await self._stack.enter_async_context(Guest(config).open_on(listener))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def told_again(self) -> int:
        """Messages that came more than once: a person reads them by their id, so this is noise and no error."""
        return sum(times - 1 for times in self.told.values())

    async def _take(self, request: Request) -> Response:
        self.told[str((await request.json()).get("id"))] += 1
        return Response(status_code=204)
