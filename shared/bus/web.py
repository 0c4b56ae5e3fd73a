"""A service's HTTP side: alive, ready with its reasons, metrics, and whatever routes the service adds."""

import contextlib
import json
import os
import socket
from collections.abc import AsyncIterator, Callable, Generator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from shared.adapters.http_server import Guest
from shared.bus.connections import Limits, bounded
from shared.domain.errors import PrimumError

_BACKLOG: Final = 1024
Problems = Callable[[], Sequence[str]]


def listen(host: str, port: int) -> socket.socket:
    """Bind the address. Raises PrimumError if it is taken or not ours."""
    try:
        listening = socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=_BACKLOG
        )
        # Connections inherit it. asyncio sets it on sockets that name their protocol, and these do not: head and body
        # of an answer are two packets, and the second one would wait 40 ms for the caller's delayed acknowledgement.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError as error:
        raise PrimumError(
            f"cannot listen on {host}:{port} ({error.strerror})", advice="choose another with PRIMUM_HOST, PRIMUM_PORT"
        ) from error
    return listening


def url_of(listening: socket.socket) -> str:
    """Return where a socket listens."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def application(service: str, problems: Problems, routes: Sequence[BaseRoute]) -> Starlette:
    """Make the application: the three endpoints that every service has, and the service's own routes."""

    async def alive(_: Request) -> Response:
        return JSONResponse({"service": service, "alive": True})

    async def ready(_: Request) -> Response:
        reasons = list(problems())
        return JSONResponse(
            {"service": service, "ready": not reasons, "reasons": reasons}, status_code=503 if reasons else 200
        )

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    own = (Route("/alive", alive), Route("/ready", ready), Route("/metrics", metrics))
    return Starlette(routes=[*routes, *own])  # what is asked for most is found first


@asynccontextmanager
async def serving(app: Starlette, listening: socket.socket, grace_s: float, limits: Limits) -> AsyncIterator[None]:
    """Serve while the block runs; at its end let requests under way finish within the grace."""
    config = uvicorn.Config(
        app,
        http=bounded(limits),
        ws="none",
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        timeout_graceful_shutdown=max(1, round(grace_s)),
    )
    with listening:
        async with Guest(config).open_on(listening):
            yield


@contextlib.contextmanager
def announced(folder: Path | None, service: str, url: str) -> Generator[None, None, None]:
    """Keep `service-<name>.json` with pid and URL in the folder while the block runs; whole or not at all."""
    if folder is None:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"service-{service}.json"
    fresh = path.with_suffix(f".{os.getpid()}")
    fresh.write_text(json.dumps({"pid": os.getpid(), "url": url}))
    fresh.replace(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
