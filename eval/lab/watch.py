"""Watches: the change log as a stream of JSON lines, filtered as the selectors say."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from eval.lab.errors import ApiError
from eval.lab.kinds import KINDS, Obj
from eval.lab.selectors import Match
from eval.lab.store import Change, Store

BOOKMARK_EVERY_S: Final = 5.0  # a real server sends one a minute; a lab lives faster.


@dataclass(frozen=True)
class WatchRequest:
    """What one client wants to see."""

    kind: str
    namespace: str | None
    match: Match
    from_version: str
    timeout_s: float
    bookmarks: bool


def line(what: str, obj: Obj) -> bytes:
    """One event on the wire."""
    return json.dumps({"type": what, "object": obj}).encode() + b"\n"


def seen_as(change: Change, wanted: WatchRequest) -> str | None:
    """What this change looks like through the selectors: an object that leaves them is DELETED to this client."""
    if change.kind != wanted.kind or wanted.namespace not in {None, change.obj["metadata"].get("namespace", "")}:
        return None
    now = change.type != "DELETED" and wanted.match(change.obj)
    before = change.old is not None and wanted.match(change.old)
    match before, now:
        case True, True:
            return "MODIFIED"
        case False, True:
            return "ADDED"
        case True, False:
            return "DELETED"
        case _:
            return None


def _bookmark(wanted: WatchRequest, store: Store) -> bytes:
    row = KINDS[wanted.kind]
    meta = {"resourceVersion": store.version, "creationTimestamp": None}
    return line("BOOKMARK", {"kind": row.name, "apiVersion": row.api_version, "metadata": meta})


class Watches:
    """All open watches, so that a closing lab can end them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._queues: set[asyncio.Queue[Change | None]] = set()
        self._closed = False

    def close(self) -> None:
        """End every stream, now and later."""
        self._closed = True
        for queue in self._queues:
            queue.put_nowait(None)

    def _replay(self, wanted: WatchRequest) -> list[bytes]:
        if wanted.from_version in {"", "0"}:
            current = self._store.list(wanted.kind, wanted.namespace)
            return [line("ADDED", obj) for obj in current if wanted.match(obj)]
        try:
            past = self._store.since(wanted.kind, int(wanted.from_version))
        except ApiError as error:
            return [line("ERROR", error.status())]
        return [line(what, change.obj) for change in past if (what := seen_as(change, wanted))]

    async def stream(self, wanted: WatchRequest) -> AsyncIterator[bytes]:
        """Yield lines until the timeout, the client's leaving (cancellation) or the lab's end."""
        if self._closed:
            return
        queue: asyncio.Queue[Change | None] = asyncio.Queue()
        self._queues.add(queue)
        # Subscribed before the replay is sent, and nothing awaits in between: no change falls through.
        unsubscribe = self._store.subscribe(queue.put_nowait)
        try:
            for past in self._replay(wanted):
                yield past
            async for new in self._follow(wanted, queue):
                yield new
        finally:
            unsubscribe()
            self._queues.discard(queue)

    async def _follow(self, wanted: WatchRequest, queue: asyncio.Queue[Change | None]) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        ends = loop.time() + wanted.timeout_s
        while (left := ends - loop.time()) > 0:
            try:
                change = await asyncio.wait_for(queue.get(), min(left, BOOKMARK_EVERY_S))
            except TimeoutError:
                if wanted.bookmarks:
                    yield _bookmark(wanted, self._store)
                continue
            if change is None:
                return
            if what := seen_as(change, wanted):
                yield line(what, change.obj)
