"""HTTP connections that nobody can hold for nothing: heads that never end, peers that went silent, too many at once.

uvicorn bounds none of these: its one timeout, keep-alive, is switched off by every byte that comes, and its parser in C
takes a head of any length.
"""

from asyncio import AbstractEventLoop, BaseTransport, TimerHandle
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, NamedTuple, TypeAlias

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_LONGEST_HEAD_BYTES: Final = 64 * 1024
_GATHERED_BYTES: Final = 16 * 1024
_FULL: Final = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class Limits(NamedTuple):
    """What a server's callers may take of it."""

    head_timeout_s: float
    """From a connection's beginning, or its last answer, to the end of the next request's head; and how long an answer
    may wait for a caller who does not read."""
    connections: int
    """At once. For one more, the one that has waited longest between two requests has to go."""


Timers: TypeAlias = dict[HttpToolsProtocol, TimerHandle]


@dataclass(frozen=True)
class _Held:
    """The connections of one server that wait for their callers, the oldest first."""

    limits: Limits
    waiting: Timers = field(default_factory=dict)
    """Those without a request under way."""
    unread: Timers = field(default_factory=dict)
    """Those whose answer is not read."""


class _Gathering:
    """A transport that sends together what is written in one turn of the loop.

    uvicorn writes the head and the body of an answer one after the other: each was a packet that woke the caller, and
    the two took a fifth of what a gateway under load computes.
    """

    def __init__(self, transport: BaseTransport, loop: AbstractEventLoop) -> None:
        self._transport: Any = transport
        self._loop, self._held = loop, b""

    def write(self, data: bytes) -> None:
        if not self._held:
            self._loop.call_soon(self._send)
        self._held += data
        if len(self._held) > _GATHERED_BYTES:
            self._send()

    def close(self) -> None:
        self._send()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def _send(self) -> None:
        if self._held:
            self._transport.write(self._held)
            self._held = b""


class _Bounded(HttpToolsProtocol):
    """One connection. Whoever is late is cut off: to close it properly, a silent peer would have to answer."""

    held: ClassVar[_Held]
    _in_head = False
    _head_bytes = 0
    """Of the head that is not whole yet, without the packet that it began in."""

    def connection_made(self, transport: BaseTransport) -> None:
        full = len(self.connections) >= self.held.limits.connections
        super().connection_made(_Gathering(transport, self.loop))  # type: ignore[arg-type]
        if full and not self.held.waiting:
            self.transport.write(_FULL)
            self.transport.close()
            return
        if full:
            oldest = next(iter(self.held.waiting))
            _forget(self.held.waiting, oldest)
            oldest.transport.abort()
        self._start(self.held.waiting)

    def data_received(self, data: bytes) -> None:
        was_in_head = self._in_head
        super().data_received(data)
        if was_in_head and self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > _LONGEST_HEAD_BYTES:
                self.transport.abort()

    def on_message_begin(self) -> None:
        self._in_head, self._head_bytes = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        _forget(self.held.waiting, self)
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.response_complete and not self.transport.is_closing():  # the next one is not here yet
            self._start(self.held.waiting)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._start(self.held.unread)

    def resume_writing(self) -> None:
        _forget(self.held.unread, self)
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        _forget(self.held.waiting, self)
        _forget(self.held.unread, self)
        super().connection_lost(exc)

    def _start(self, timers: Timers) -> None:
        _forget(timers, self)
        timers[self] = self.loop.call_later(self.held.limits.head_timeout_s, self.transport.abort)


def bounded(limits: Limits) -> type[HttpToolsProtocol]:
    """Make the protocol class of one server."""

    class Bounded(_Bounded):
        held = _Held(limits)

    return Bounded


def _forget(timers: Timers, connection: HttpToolsProtocol) -> None:
    if (timer := timers.pop(connection, None)) is not None:
        timer.cancel()
