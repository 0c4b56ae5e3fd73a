"""The senders, a process of its own: requests made beforehand, over connections that each wait for their answer.

It takes its task as a line of JSON on stdin and says on stdout: ready, half, and at the end what came back. A call
that was not taken is sent again, as Alertmanager does for a 5xx and for a connection that broke.
"""

import asyncio
import json
import sys
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from eval.ingest.traffic import Traffic, body, calls, groups

_AGAIN_AFTER_S: Final = 0.2
_GIVE_UP_AFTER_S: Final = 60.0
_ANSWER_WITHIN_S: Final = 30.0
_TEMPORARY: Final = (408, 429, 500, 502, 503, 504)


class Broken(Exception):  # noqa: N818 - what happened to the connection
    """The connection ended before the answer."""


class Connection(asyncio.Protocol):
    """One HTTP/1.1 connection with one call under way at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._answer: asyncio.Future[int] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport if isinstance(transport, asyncio.Transport) else None

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(Broken(str(exc or "closed")))

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, ended, rest = bytes(self._received).partition(b"\r\n\r\n")
        if not ended or len(rest) < _length(head):
            return
        self._received.clear()
        if b"connection: close" in head.lower():
            self.close()
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(int(head[9:12]))

    @property
    def open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    async def call(self, request: bytes) -> int:
        """Send a request; return the status of its answer. Raises Broken, TimeoutError."""
        if self._transport is None:
            raise Broken("closed before the call")
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        async with asyncio.timeout(_ANSWER_WITHIN_S):
            return await self._answer


def _length(head: bytes) -> int:
    _, _, after = head.lower().partition(b"content-length:")
    return int(after.split(b"\r\n", 1)[0]) if after else 0


@dataclass
class Outcome:
    """What came back."""

    acknowledged: set[int] = field(default_factory=set)
    """Groups, by index, that some call got a 2xx for."""
    latencies: list[tuple[float, int]] = field(default_factory=list)
    """Of each acknowledged call: ms from its first byte to its answer, and its alerts."""
    answers: Counter[str] = field(default_factory=Counter)


class Sender:
    """One Alertmanager: a few connections that empty one queue."""

    def __init__(self, url: str, requests: Sequence[bytes], sizes: Sequence[int], outcome: Outcome) -> None:
        at = urlsplit(url)
        self._host, self._port = at.hostname or "127.0.0.1", at.port or 80
        self._requests, self._sizes, self._outcome = requests, sizes, outcome
        self.connections: list[Connection] = []

    async def connect(self) -> Connection:
        _, connection = await asyncio.get_running_loop().create_connection(Connection, self._host, self._port)
        self.connections.append(connection)
        return connection

    async def work(self, connection: Connection, queue: deque[int], progress: "Progress") -> None:
        """Send until the queue is empty, each call until it is taken."""
        loop = asyncio.get_running_loop()
        while queue:
            group = queue.popleft()
            until_s = loop.time() + _GIVE_UP_AFTER_S
            while True:
                began_s = loop.time()
                try:
                    if not connection.open:
                        connection = await self.connect()
                    status = await connection.call(self._requests[group])
                except (Broken, OSError, TimeoutError) as error:
                    connection.close()
                    status, said = 0, type(error).__name__
                else:
                    said = str(status)
                self._outcome.answers[said] += 1
                if 200 <= status < 300:
                    self._outcome.latencies.append(((loop.time() - began_s) * 1000, self._sizes[group]))
                    self._outcome.acknowledged.add(group)
                    break
                if (status and status not in _TEMPORARY) or loop.time() > until_s:
                    break
                await asyncio.sleep(_AGAIN_AFTER_S)  # noqa: TID251 - the wait of a real sender, in real time
            progress.one_more()


class Progress:
    """Says once when half of the calls are over."""

    def __init__(self, whole: int) -> None:
        self._left = whole - whole // 2

    def one_more(self) -> None:
        self._left -= 1
        if self._left == 0:
            say({"say": "half"})


async def run(task: dict[str, Any]) -> None:
    """Do what the task says: `traffic`, `url`, `token`, `connections`."""
    traffic = Traffic(**task["traffic"])
    cut, orders = groups(traffic), calls(traffic)
    requests = [_request(task["token"], body(traffic.seed, numbers)) for numbers in cut]
    outcome, progress = Outcome(), Progress(sum(map(len, orders)))
    senders = [Sender(task["url"], requests, [len(numbers) for numbers in cut], outcome) for _ in orders]
    each = max(1, task["connections"] // len(senders))
    opened = [(sender, [await sender.connect() for _ in range(each)]) for sender in senders]
    say({"say": "ready"})
    await asyncio.to_thread(sys.stdin.readline)
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    queues = [deque(order) for order in orders]
    await asyncio.gather(
        *(
            sender.work(connection, queue, progress)
            for (sender, connections), queue in zip(opened, queues, strict=True)
            for connection in connections
        )
    )
    say(
        {
            "say": "done",
            "elapsed_s": loop.time() - began_s,
            "acknowledged": sorted(outcome.acknowledged),
            "latencies": outcome.latencies,
            "answers": dict(outcome.answers),
        }
    )
    for sender in senders:
        for connection in sender.connections:
            connection.close()


def _request(token: str, content: bytes) -> bytes:
    head = (
        "POST /webhooks/alertmanager HTTP/1.1\r\nHost: primum\r\nUser-Agent: Alertmanager/0.28\r\n"
        f"Authorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


def say(word: dict[str, Any]) -> None:
    """Say one thing to whoever started this process."""
    sys.stdout.write(json.dumps(word) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(run(json.loads(sys.stdin.readline())))
