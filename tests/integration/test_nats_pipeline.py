"""Many messages on their way at once, on a real server: each is stored once, and a failure leaves no place taken."""

import asyncio
import os
import signal

import nats.errors
import pytest
from nats.aio.client import Client
from nats.js.errors import APIError

from shared.adapters.nats_pipeline import Pipeline
from shared.adapters.nats_server import EmbeddedNats
from shared.adapters.nats_stream import NatsStream, Write


def messages(count: int, subject: str = "primum.alert.c", start: int = 0) -> list[Write]:
    return [Write(f"{subject}.{number}", b"{}", {"Nats-Msg-Id": str(number)}) for number in range(start, start + count)]


async def stored(connection: Client) -> int:
    return len(await NatsStream(connection, "ALERTS", 5).after("primum.alert.>"))


async def test_all_of_several_callers_are_stored(connection: Client) -> None:
    """Each call returns when its own are stored, though all share the way."""
    pipeline = Pipeline(connection, on_the_way=50)
    await asyncio.gather(*(pipeline.publish(messages(100, start=1000 * caller)) for caller in range(5)))
    assert await stored(connection) == 500


async def test_what_no_stream_takes_fails(connection: Client) -> None:
    """And the others of its call may be stored."""
    with pytest.raises(nats.errors.NoRespondersError):
        await Pipeline(connection).publish([*messages(3), *messages(1, "nobody.listens")])


async def test_what_a_stream_refuses_fails(connection: Client) -> None:
    """With the server's own words."""
    wrong = Write("primum.alert.c.f", b"{}", {"Nats-Expected-Last-Sequence": "77"})
    with pytest.raises(APIError, match="wrong last sequence"):
        await Pipeline(connection).publish([wrong])


async def test_a_server_that_reads_nothing_holds_nobody_beyond_its_time(
    nats_server: EmbeddedNats, connection: Client
) -> None:
    """More than nats-py keeps for it is under way: then nats-py waits, and does not hear that time is over."""
    pipeline = Pipeline(connection)
    many = [Write(f"primum.alert.c.{number}", b" " * 50_000) for number in range(200)]
    os.kill(nats_server.pid, signal.SIGSTOP)
    try:
        began_s = asyncio.get_running_loop().time()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await pipeline.publish(many)
        assert asyncio.get_running_loop().time() - began_s < 5
    finally:
        os.kill(nats_server.pid, signal.SIGCONT)


async def test_a_message_that_is_too_large_with_its_headers_fails_alone(connection: Client) -> None:
    """The server counts both, and would cut off everybody's connection."""
    largest = Write("primum.alert.c.f", b" " * connection.max_payload, {"Nats-Msg-Id": "1"})
    with pytest.raises(nats.errors.MaxPayloadError):
        await Pipeline(connection).publish([largest])
    await Pipeline(connection).publish(messages(1))


@pytest.mark.parametrize("value", ["a\r\nNats-Msg-Id: b", "a\nb", "a\r"])
async def test_a_header_of_several_lines_is_refused(connection: Client, value: str) -> None:
    """Its second line would be a header that nobody meant."""
    with pytest.raises(nats.errors.BadHeaderError):
        await Pipeline(connection).publish([Write("primum.alert.c.f", b"{}", {"ce-id": value})])


async def test_headers_arrive_as_they_were_given(connection: Client) -> None:
    """They are written past the client library, which must read them back the same."""
    given = {"Nats-Msg-Id": "1", "ce-id": "a: b", "primum-signature": "x/+="}
    await Pipeline(connection).publish([Write("primum.alert.c.f", b"{}", given)])
    (found,) = await NatsStream(connection, "ALERTS", 5).after("primum.alert.>")
    assert given.items() <= found.headers.items()


async def test_failures_leave_no_place_taken(connection: Client) -> None:
    """Too large, cancelled, refused: the next call has all the room there is."""
    pipeline = Pipeline(connection, on_the_way=2)
    for _ in range(3):
        with pytest.raises(nats.errors.MaxPayloadError):
            await pipeline.publish([Write("primum.alert.c.f", b" " * (connection.max_payload + 1))])
        with pytest.raises(nats.errors.NoRespondersError):
            await pipeline.publish(messages(2, "nobody.listens"))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await pipeline.publish(messages(9, start=100))
    async with asyncio.timeout(10):
        await pipeline.publish(messages(9))
    assert await stored(connection) >= 9
