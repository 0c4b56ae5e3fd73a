"""Callers that hold a connection for nothing, over real sockets: each is cut off, and those who ask are answered."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import pytest
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from shared.bus import web
from shared.bus.connections import Limits

Caller = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Call = Callable[[], Awaitable[Caller]]
ALIVE: Final = b"GET /alive HTTP/1.1\r\nHost: x\r\n\r\n"
LARGE: Final = 16 * 1024 * 1024
CHUNK: Final = 64 * 1024
HEAD_TIMEOUT_S: Final = 0.3
MOST: Final = 3


GIVEN_UP = asyncio.Event()
"""A large answer was sent, or its caller is gone."""


async def large(_: Request) -> Response:
    """Answer with more than sockets buffer."""

    async def chunks() -> AsyncIterator[bytes]:
        try:
            for _ in range(LARGE // CHUNK):
                yield b"x" * CHUNK
        finally:
            GIVEN_UP.set()

    return StreamingResponse(chunks())


@asynccontextmanager
async def a_server(head_timeout_s: float) -> AsyncIterator[Call]:
    """Serve with little room; yield how to connect to it."""
    listening = web.listen("127.0.0.1", 0)
    host, port = listening.getsockname()
    app = web.application("test", list, [Route("/large", large)])
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(web.serving(app, listening, 1, Limits(head_timeout_s, MOST)))

        async def connect() -> Caller:
            reader, writer = await asyncio.open_connection(host, port)
            stack.callback(writer.close)
            return reader, writer

        yield connect


@pytest.fixture
async def call() -> AsyncIterator[Call]:
    """Connect to a server with a short patience."""
    async with a_server(HEAD_TIMEOUT_S) as connect:
        yield connect


@pytest.fixture
async def call_at_leisure() -> AsyncIterator[Call]:
    """Connect to a server that would wait longer than any test."""
    async with a_server(600) as connect:
        yield connect


async def answered(caller: Caller, request: bytes = ALIVE) -> bytes:
    """Ask, and return the first line of the answer and of all that is there by then the end of its body."""
    reader, writer = caller
    writer.write(request)
    async with asyncio.timeout(10):
        status = await reader.readline()
        await reader.readuntil(b"true}")
        return status


async def cut_off(reader: asyncio.StreamReader, within_s: float = 10) -> bool:
    """Whether the server ended the connection within the time."""
    try:
        async with asyncio.timeout(within_s):
            while await reader.read(65_536):
                pass
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False
    return True


@pytest.mark.parametrize("said", [b"", b"GET /al", b"POST /alive HTTP/1.1\r\nHost: x\r\nX-Slow: "])
async def test_a_head_that_does_not_end_is_cut_off(call: Call, said: bytes) -> None:
    """A half-open connection, and a sender that stopped in the middle of a line."""
    reader, writer = await call()
    writer.write(said)
    assert await cut_off(reader)


async def test_a_head_that_trickles_is_cut_off(call: Call) -> None:
    """Each byte is in time and the whole is not: slow loris."""
    reader, writer = await call()
    writer.write(b"GET /alive HTTP/1.1\r\nX-Slow: ")

    async def trickle() -> None:
        while not writer.is_closing():
            writer.write(b"a")
            await asyncio.wait([ended], timeout=0.02)

    ended = asyncio.ensure_future(cut_off(reader, 5))
    trickling = asyncio.ensure_future(trickle())
    assert await ended
    trickling.cancel()


async def test_a_head_without_end_is_cut_off(call_at_leisure: Call) -> None:
    """It would fill our memory long before its time is over."""
    reader, writer = await call_at_leisure()
    writer.write(b"GET /alive HTTP/1.1\r\nX-Long: " + b"a" * 2_000_000)
    assert await cut_off(reader)


async def test_an_answered_caller_that_trickles_is_cut_off(call: Call) -> None:
    """Keep-alive is for the next request, not for a byte now and then."""
    caller = await call()
    assert b" 200 " in await answered(caller)
    caller[1].write(b"GE")
    assert await cut_off(caller[0], within_s=3)


async def test_who_is_refused_before_its_body_is_read_gets_the_answer(call_at_leisure: Call) -> None:
    """The rest of the body is no endless head: a reset would hide the answer, and the connection is still of use."""
    reader, writer = await call_at_leisure()
    writer.write(b"POST /alive HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n{")
    async with asyncio.timeout(10):
        assert b" 405 " in await reader.readline()
        await reader.readuntil(b"Method Not Allowed")
        writer.write(b"a" * 999_999)
        assert b" 200 " in await answered((reader, writer))


async def test_a_body_that_nobody_waits_for_holds_nothing(call: Call) -> None:
    """It was refused by its head; what should follow it does not come."""
    reader, writer = await call()
    writer.write(b"POST /alive HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
    async with asyncio.timeout(10):
        assert b" 405 " in await reader.readline()
    assert await cut_off(reader, within_s=3)


async def test_a_caller_that_does_not_read_is_cut_off(call: Call) -> None:
    """Its answer would wait in our memory."""
    GIVEN_UP.clear()
    reader, writer = await call()
    writer.write(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
    async with asyncio.timeout(10):
        await GIVEN_UP.wait()
    received = 0
    with contextlib.suppress(ConnectionResetError):
        while chunk := await reader.read(1 << 20):
            received += len(chunk)
    assert received < LARGE


async def test_patience_is_not_for_a_caller_that_asks(call: Call) -> None:
    """A connection may be used again and again, longer than one head may take."""
    caller = await call()
    loop = asyncio.get_running_loop()
    until_s = loop.time() + 2 * HEAD_TIMEOUT_S
    while loop.time() < until_s:
        assert b" 200 " in await answered(caller)


async def test_when_it_is_full_the_longest_idle_one_makes_room(call_at_leisure: Call) -> None:
    """A flood of silent connections keeps nobody out."""
    silent = [await call_at_leisure() for _ in range(MOST)]
    assert b" 200 " in await answered(await call_at_leisure())
    assert await cut_off(silent[0][0])


async def test_when_all_are_at_work_one_more_is_told_to_come_again(call_at_leisure: Call) -> None:
    """503 with Retry-After, as for anything that passes."""
    busy = [await call_at_leisure() for _ in range(MOST)]
    for reader, writer in busy:
        writer.write(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b" 200 " in await reader.readline()
    reader, _ = await call_at_leisure()
    async with asyncio.timeout(10):
        said = await reader.read()
    assert b" 503 " in said
    assert b"retry-after: 1" in said


async def test_told_to_end_with_nobody_there_it_ends_at_once() -> None:
    """It need not look now and then whether it was told; and what it answered before has a date."""
    listening = web.listen("127.0.0.1", 0)
    async with asyncio.timeout(0.5):  # it renews the date once a second, and would notice then
        async with web.serving(web.application("test", list, []), listening, 1, Limits(600, MOST)):
            reader, writer = await asyncio.open_connection(*listening.getsockname())
            writer.write(ALIVE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            assert b"\r\ndate: " in await reader.read()
            writer.close()


async def test_who_is_being_answered_at_the_end_gets_the_answer() -> None:
    """Within the grace nobody's request is cut short."""
    asked, may_answer = asyncio.Event(), asyncio.Event()

    async def slow(_: Request) -> Response:
        asked.set()
        await may_answer.wait()
        return Response("whole")

    listening = web.listen("127.0.0.1", 0)
    async with web.serving(web.application("test", list, [Route("/slow", slow)]), listening, 5, Limits(600, MOST)):
        reader, writer = await asyncio.open_connection(*listening.getsockname())
        writer.write(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        await asked.wait()
        asyncio.get_running_loop().call_later(0.05, may_answer.set)
    assert may_answer.is_set(), "it went before it had answered"
    assert (await reader.read()).endswith(b"whole")
    writer.close()
