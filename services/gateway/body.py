"""Reading a request's body, bounded in size and in time: a caller cannot make the gateway hold more, or wait longer."""

import asyncio

from starlette.requests import ClientDisconnect, Request

from services.gateway.answers import Problem


async def read(request: Request, *, max_bytes: int, timeout_s: float) -> bytes:
    """Return the body. Raises Problem: 413 as soon as it is known to be too large, 408 if it does not come in time."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > max_bytes:
        raise _too_large(int(declared), max_bytes)
    try:
        async with asyncio.timeout(timeout_s):
            return await _streamed(request, max_bytes)
    except TimeoutError as error:
        raise Problem(
            408, f"the body did not come within {timeout_s:g} s", "send it at once, nothing was stored"
        ) from error
    except ClientDisconnect as error:
        raise Problem(400, "the caller hung up before the body was complete", "send it again") from error


async def _streamed(request: Request, max_bytes: int) -> bytes:
    chunks = bytearray()
    async for chunk in request.stream():
        chunks += chunk
        if len(chunks) > max_bytes:
            raise _too_large(len(chunks), max_bytes)
    return bytes(chunks)


def _too_large(size_bytes: int, max_bytes: int) -> Problem:
    return Problem(
        413,
        f"the body has {size_bytes} bytes or more, the most is {max_bytes}",
        "send fewer alerts in one call (max_alerts of Alertmanager's webhook_config)",
    )
