"""The embedded nats-server: starts, stops, and says what is wrong when it cannot."""

import asyncio
import os
import resource
import socket
from pathlib import Path

import nats.errors
import pytest

from shared.adapters.nats_connection import address, connected
from shared.adapters.nats_server import EmbeddedNats, NatsDidNotStart
from shared.bus.settings import BusSettings
from shared.bus.setup import Plan, set_up
from shared.domain.errors import LedgerUnavailable
from shared.domain.events import Owner


async def test_it_is_a_child_on_loopback_that_ends_with_its_block(tmp_path: Path) -> None:
    """It has a pid and a port while it is entered, and neither after."""
    async with EmbeddedNats(tmp_path) as server:
        pid = server.pid
        async with connected(server.url) as client:
            assert client.max_payload == 8 * 1024 * 1024
            assert server.url == f"nats://127.0.0.1:{server.port}"
    assert server.exited
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_it_comes_back_on_the_same_port(tmp_path: Path) -> None:
    """So that clients find it again after a restart."""
    server = EmbeddedNats(tmp_path)
    await server.start()
    first = server.port
    await server.stop()
    async with server:
        assert server.port == first


async def test_a_folder_is_used_by_one_server_alone(tmp_path: Path) -> None:
    """Two servers on one store would destroy it."""
    async with EmbeddedNats(tmp_path):
        with pytest.raises(NatsDidNotStart, match="another Primum uses"):
            await EmbeddedNats(tmp_path).start()


async def test_a_taken_port_is_named(tmp_path: Path) -> None:
    """The server's own last words, and where its log is."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = EmbeddedNats(tmp_path, taken.getsockname()[1])
        with pytest.raises(NatsDidNotStart, match=r"address already in use.*nats\.log"):
            await server.start()
    assert server.exited


async def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A file stands where the folder should be."""
    (tmp_path / "file").write_text("")
    with pytest.raises(NatsDidNotStart, match="not writable"):
        await EmbeddedNats(tmp_path / "file" / "data").start()


async def test_a_command_without_a_nats_fails_at_once(tmp_path: Path) -> None:
    """`connected` does not wait for ever as a service does, and shows no password."""
    server = EmbeddedNats(tmp_path)
    await server.start()
    await server.stop()
    async with asyncio.timeout(5):
        with pytest.raises(LedgerUnavailable, match=f"no NATS answers at {address(server.url)}") as failure:
            async with connected(server.url.replace("//", "//me:secret@")):
                pytest.fail("nobody is there")
    assert "secret" not in str(failure.value)


async def test_a_server_whose_stream_cannot_write_says_so_until_it_is_started_again(tmp_path: Path) -> None:
    """Space alone does not mend it: nats-server keeps the error, so the supervisor starts it again."""
    async with EmbeddedNats(tmp_path) as server:
        async with connected(server.url) as client:
            jetstream = client.jetstream(timeout=1)
            await jetstream.add_stream(name="S", subjects=["s"])
            assert await server.ailing() == ""
            _, most = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (0, most))
            with pytest.raises(nats.errors.TimeoutError):
                await jetstream.publish("s", b"x")
            resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (most, most))
            assert "write error" in await server.ailing()
        await server.stop()
        await server.start()
        assert await server.ailing() == ""
        async with connected(server.url) as client:
            await client.jetstream().publish("s", b"x")


async def test_a_server_without_jetstream_is_said(tmp_path: Path) -> None:
    """It answers, and keeps nothing: what to switch on is said, not what a library made of silence."""
    async with EmbeddedNats(tmp_path, more="jetstream: disabled") as server, connected(server.url) as client:
        with pytest.raises(LedgerUnavailable, match=r"it has no JetStream.*`jetstream \{\}` in its configuration"):
            await set_up(client, Plan.of(dict.fromkeys(Owner, BusSettings())))
