"""uvicorn as a guest in its process: it leaves the signals to its host, and ends when it is told to."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Generator
from typing import Final

import uvicorn

_DATE_LASTS_S: Final = 1.0


class Guest(uvicorn.Server):
    """A server that `serve()`s until it is told to `leave`, or is `open_on` a socket for as long as a block runs.

    uvicorn itself looks ten times a second whether it shall go on, and takes a tenth of a second more to close what
    nobody has open.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._told = asyncio.Event()

    def leave(self) -> None:
        self.should_exit = True
        self._told.set()

    @contextlib.asynccontextmanager
    async def open_on(self, listening: socket.socket) -> AsyncIterator[None]:
        """Answer while the block runs, without a loop of its own: such answers have no date."""
        self.config.load()
        self.lifespan = self.config.lifespan_class(self.config)
        await self.startup(sockets=[listening])
        try:
            yield
        finally:
            await self.shutdown(sockets=[listening])

    async def main_loop(self) -> None:
        while not await self.on_tick(0):  # it renews the date of answers
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_DATE_LASTS_S):
                    await self._told.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self.server_state.connections or self.server_state.tasks:
            await super().shutdown(sockets)
            return
        for each in (*self.servers, *(sockets or ())):
            each.close()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield
