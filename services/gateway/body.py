"""Reading a request's body, bounded in size and in time: a caller cannot make the gateway hold more, or wait longer."""

import asyncio
from typing import Final

from starlette.requests import ClientDisconnect, Request

from services.gateway.answers import Problem
from services.gateway.intake import Take

_LINGER_BYTES: Final = 32 * 1024 * 1024
_LINGER_S: Final = 2.0
"""How much of what is too large is read and thrown away, and for how long, before the answer closes the connection.
A connection closed with unread data is reset, and then the sender sees that instead of the answer: Alertmanager would
send the same again."""


async def read(request: Request, take: Take, *, max_bytes: int, timeout_s: float) -> bytes:
    """Return the body; room for each piece of it is taken as it comes.

    Raises Problem: 413 as soon as it is known to be too large, 408 if it does not come in time, 503 without room.
    """
    declared = request.headers.get("content-length", "")
    try:
        if declared.isdigit() and int(declared) > max_bytes:
            await _throw_away(request)
            raise _too_large(int(declared), max_bytes)
        async with asyncio.timeout(timeout_s):
            return await _streamed(request, take, max_bytes)
    except TimeoutError as error:
        raise Problem(
            408, f"the body did not come within {timeout_s:g} s", "send it at once, nothing was stored"
        ) from error
    except ClientDisconnect as error:
        raise Problem(400, "the caller hung up before the body was complete", "send it again") from error


async def _streamed(request: Request, take: Take, max_bytes: int) -> bytes:
    chunks = bytearray()
    async for chunk in request.stream():
        take(len(chunk))
        chunks += chunk
        if len(chunks) > max_bytes:
            size_bytes = len(chunks)
            chunks.clear()
            await _throw_away(request)
            raise _too_large(size_bytes, max_bytes)
    return bytes(chunks)


async def _throw_away(request: Request) -> None:
    """Let the sender finish, within bounds, so that it is there to read the answer."""
    if request.headers.get("expect"):  # it waits for our word before it sends anything
        return
    left_bytes = _LINGER_BYTES
    try:
        async with asyncio.timeout(_LINGER_S):
            while left_bytes > 0:
                message = await request.receive()
                if message["type"] != "http.request" or not message.get("more_body", False):
                    return
                left_bytes -= len(message.get("body", b""))
    except TimeoutError:  # it had its time; the answer goes out, read or not
        return


def _too_large(size_bytes: int, max_bytes: int) -> Problem:
    return Problem(
        413,
        f"the body has {size_bytes} bytes or more, the most is {max_bytes}",
        "send less in one call (for alerts: max_alerts of Alertmanager's webhook_config)",
    )
