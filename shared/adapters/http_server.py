"""uvicorn as a guest in its process: it leaves the signals to its host, and ends with the block that it is in."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Final

import uvicorn

_DATE_LASTS_S: Final = 1.0


class Guest(uvicorn.Server):
    """A server that is `open_on` a socket for as long as a block runs.

    By itself uvicorn looks ten times a second whether it shall go on, and takes a tenth of a second more to close what
    nobody has open.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._told = asyncio.Event()

    @contextlib.asynccontextmanager
    async def open_on(self, listening: socket.socket) -> AsyncIterator[None]:
        """Answer while the block runs; it listens when this is entered."""
        self.config.load()
        self.lifespan = self.config.lifespan_class(self.config)
        await self.startup(sockets=[listening])
        await self.on_tick(0)
        answering = asyncio.create_task(self.main_loop())
        try:
            yield
        finally:
            self.should_exit = True
            self._told.set()
            await answering
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
