"""Publishing with many messages on their way to JetStream, of all callers together never more than so many.

nats-py's own `publish_async` keeps a place taken for ever when a publish fails or is cancelled (2.16), and turns a
cancellation into an error of its own.
"""

import asyncio
import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.protocol.command import hpub_cmd

_ON_THE_WAY: Final = 512
"""Sent and not acknowledged yet. More does not make JetStream faster, each message only waits longer."""
_NO_RESPONDERS: Final = "503"


class Message(Protocol):
    """What is published."""

    @property
    def subject(self) -> str: ...

    @property
    def data(self) -> bytes: ...

    def wire_headers(self) -> dict[str, str]: ...


class _Batch:
    """The messages of one call: done when the last one was acknowledged, failed with the first refusal."""

    def __init__(self, count: int) -> None:
        self._left = count
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def heard(self, reply: Msg) -> None:
        self._left -= 1
        if self.done.done():
            return
        if (error := _refusal(reply)) is not None:
            self.done.set_exception(error)
        elif self._left == 0:
            self.done.set_result(None)


class Pipeline:
    """One way to JetStream, shared by whoever publishes over a connection."""

    def __init__(self, connection: Client, on_the_way: int = _ON_THE_WAY) -> None:
        self._connection = connection
        self._free = asyncio.Semaphore(on_the_way)
        self._waiting: dict[str, _Batch] = {}
        self._numbers = itertools.count(1)
        self._inbox = ""

    async def publish(self, messages: Sequence[Message]) -> None:
        """Return once the server has acknowledged every message.

        Raises nats-py's errors: NoRespondersError, APIError for what a stream refuses, MaxPayloadError. Cancelled, or
        after an error, it waits for none of them any longer, and any of them may be stored.
        """
        if not messages:
            return
        await self._listen()
        batch, tokens, me = _Batch(len(messages)), list[str](), asyncio.current_task()
        try:
            for message in messages:
                await self._free.acquire()
                token = str(next(self._numbers))
                tokens.append(token)
                self._waiting[token] = batch
                await _send(self._connection, message, f"{self._inbox}.{token}")
                if me is not None and me.cancelling():
                    # nats-py swallows it while it waits for a server that reads nothing (2.16), for 10 s a message.
                    raise asyncio.CancelledError
            await batch.done
        finally:
            batch.done.cancel()
            for token in tokens:
                self._forget(token)

    async def _listen(self) -> None:
        if not self._inbox:
            inbox = self._connection.new_inbox()
            await self._connection.subscribe(f"{inbox}.*", cb=self._on_reply)
            self._inbox = inbox

    async def _on_reply(self, reply: Msg) -> None:
        if (batch := self._forget(reply.subject.rpartition(".")[2])) is not None:
            batch.heard(reply)

    def _forget(self, token: str) -> _Batch | None:
        """Free the message's place, unless that was done."""
        batch = self._waiting.pop(token, None)
        if batch is not None:
            self._free.release()
        return batch


async def _send(connection: Client, message: Message, reply: str) -> None:
    """Hand a message to the client, whose own `publish` takes 9 us for five headers (nats-py 2.16), and this 2.

    Raises nats-py's errors, also for a message that it would keep until it is connected again.
    """
    if not connection.is_connected:
        raise nats.errors.ConnectionReconnectingError
    headers = header_block(message.wire_headers())
    if len(headers) + len(message.data) > connection.max_payload:  # the server counts both, and would hang up
        raise nats.errors.MaxPayloadError
    await connection._send_command(hpub_cmd(message.subject, reply, headers, message.data))  # noqa: SLF001
    if connection._flush_queue is not None and connection._flush_queue.empty():  # noqa: SLF001
        await connection._flush_pending()  # noqa: SLF001


def header_block(headers: Mapping[str, str]) -> bytes:
    """Write headers as NATS reads them. Raises BadHeaderError for one that would be more than one line."""
    lines = [f"{name}: {value}" for name, value in headers.items()]
    block = "\r\n".join(("NATS/1.0", *lines, "", ""))
    if block.count("\n") != len(lines) + 2 or block.count("\r") != len(lines) + 2:
        raise nats.errors.BadHeaderError(next(line for line in lines if "\n" in line or "\r" in line))
    return block.encode()


def _refusal(reply: Msg) -> nats.errors.Error | None:
    if reply.headers is not None and reply.headers.get("Status") == _NO_RESPONDERS:
        return nats.errors.NoRespondersError()
    if b'"error"' not in reply.data:  # as good as always, and to read it takes longer than to look
        return None
    try:
        if error := json.loads(reply.data).get("error"):
            nats.js.errors.APIError.from_error(error)  # raises, whatever its annotation says
    except nats.js.errors.APIError as refusal:
        return refusal
    return None
