"""What is said one after the other on one subject: who holds a lock, which incident is open, whether Primum is paused.

The newest message alone proves nothing: somebody may have put it there. So every word names the one before it, and a
reader follows them from the first, past whatever is not signed by who may speak there.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple

from shared.adapters.nats_stream import Expect, NatsStream, Stored, Write
from shared.adapters.refused import Refused
from shared.adapters.seal import FOLLOWS, Seal
from shared.domain.acceptance import why_refused
from shared.domain.events import Owner
from shared.domain.ids import EventId

_KEPT: Final = 1024
May = Callable[[bytes], frozenset[Owner]]
"""Who may say this body."""


class Link(NamedTuple):
    """Where a subject stands: its newest message, and the newest one that counts."""

    sequence: int = 0
    last: EventId = EventId("")
    said: bytes = b""


class Chain:
    """The subjects of one kind, followed link by link; what was read once is not read again."""

    def __init__(self, stream: NatsStream, seal: Seal, refused: Refused, may: May) -> None:
        self._stream, self._seal, self._refused, self._may = stream, seal, refused, may
        self._links: OrderedDict[str, Link] = OrderedDict()

    async def now(self, subject: str) -> Link:
        """Read what is new on a subject, and return where it stands."""
        link = self._links.get(subject, Link())
        for stored in await self._stream.after(subject, link.sequence):
            link = self.after(link, stored)
        known = self._links.get(subject, Link())
        self._links[subject] = link = max(link, known, key=lambda each: each.sequence)
        self._links.move_to_end(subject)
        if len(self._links) > _KEPT:
            self._links.popitem(last=False)
        return link

    def after(self, link: Link, stored: Stored) -> Link:
        """Return where a subject stands after one more message."""
        follows, signer = stored.headers.get(FOLLOWS), self._seal.signer(stored)
        may = self._may(stored.data)
        if (why := why_refused(signer, may, None if follows is None else EventId(follows), link.last)) is not None:
            self._refused.note(stored, why)
            return link._replace(sequence=stored.sequence)
        return Link(stored.sequence, EventId(stored.headers.get("ce-id", "")), stored.data)

    def forget(self, subject: str) -> None:
        """Read a subject from its beginning the next time: a server that lost what we know would contradict us."""
        self._links.pop(subject, None)

    def next(self, subject: str, link: Link, said: bytes, headers: dict[str, str]) -> Write:
        """Make the write that follows, on the condition that nothing else came."""
        sealed = self._seal.on(subject, {**headers, FOLLOWS: link.last}, said)
        return Write(subject, said, sealed, Expect(subject, link.sequence))
