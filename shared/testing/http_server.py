"""Real servers on free ports, in the event loop of the test that needs one: HTTP, silence, and nobody."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from starlette.types import ASGIApp

from shared.adapters.http_server import Guest


@asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[str]:
    """Serve an ASGI application on 127.0.0.1 and yield its URL; it listens when this is entered."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=1)
        async with Guest(config).open_on(listening):
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@asynccontextmanager
async def nobody_listening() -> AsyncIterator[str]:
    """Yield a URL whose port is taken but not listened on, so that a connection is refused."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


@asynccontextmanager
async def never_answering() -> AsyncIterator[str]:
    """Yield the URL of a server that accepts, reads and says nothing; it ends when its clients have given up."""
    holding: set[asyncio.Task[None]] = set()

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1024):
            pass
        writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        holding.add(asyncio.ensure_future(hold(reader, writer)))

    async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        if holding:
            await asyncio.wait(holding, timeout=5)
