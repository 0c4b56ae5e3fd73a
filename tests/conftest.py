"""What all tests share; a real nats-server of its own for each that asks, which takes about 30 ms to start."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client

from shared.adapters.nats_server import EmbeddedNats
from shared.bus.streams import ensure

# pytest-asyncio 1.5 asks for the current loop before it makes its own; Python 3.11 then makes one that nobody closes.
asyncio.set_event_loop(None)


@pytest.fixture
async def nats_server(tmp_path: Path) -> AsyncIterator[EmbeddedNats]:
    """A real nats-server with an empty store."""
    async with EmbeddedNats(tmp_path / "nats") as server:
        yield server


@pytest.fixture
async def connection(nats_server: EmbeddedNats) -> AsyncIterator[Client]:
    """A connection to a server on which all streams are there."""
    client = await nats.connect(nats_server.url)
    await ensure(client.jetstream())
    yield client
    await client.close()
