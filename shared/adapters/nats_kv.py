"""What is true only for a while: heartbeats, claims and activities, in key-value buckets that forget."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from nats.aio.client import Client

from shared.adapters.nats_stream import Expect, NatsStream, Stored, Write
from shared.adapters.refused import Refused
from shared.adapters.seal import Seal
from shared.bus import streams, subjects
from shared.domain.acceptance import Refusal
from shared.domain.authority import MAY_CLAIM, MAY_HOLD
from shared.domain.errors import Conflict
from shared.domain.events import Owner

_ALL: Final = ">"
_TAKEN: Final = b"taken"
_LET_GO: Final = b""
_FORGOTTEN_LATE: Final = timedelta(seconds=2)
"""A server forgets by when it stored a word, and up to a quarter of a second late: until then one is over, no more."""


class _SignedBucket:
    """A bucket whose words are signed, with the moment of the server's clock at which each was made.

    Repeated later by somebody else a word is as old as it was. No clock but the server's is asked, so that one which
    jumps kills nobody.
    """

    def __init__(self, connection: Client, name: str, seal: Seal, may: Collection[Owner], timeout_s: float) -> None:
        self._stream = NatsStream(connection, streams.bucket_stream(name), timeout_s)
        self._name, self._seal, self._may, self._refused = name, seal, may, Refused(self._stream.name)

    async def say(self, key: str, body: bytes, *, after: int | None = None) -> None:
        """Say a word; with `after` only if the newest message of the key has that sequence, else it raises Conflict."""
        subject, said = self._subject(key), (await self._stream.clock()).now.isoformat()
        headers = self._seal.on(subject, {"ce-time": said}, body)
        await self._stream.write(Write(subject, body, headers, None if after is None else Expect(subject, after)))

    async def heard(self, key: str) -> tuple[int, Sequence[Stored]]:
        """Return the sequence of the newest message of a key, and the words that count, the newest one last."""
        if not (stored := await self._stream.after(self._subject(key))):
            return 0, ()
        clock = await self._stream.clock()
        oldest = clock.now - timedelta(seconds=clock.max_age_s)
        refusals = [(each, self._why_refused(each, oldest)) for each in stored]
        for each, why in refusals:
            if why is not None and not (why is Refusal.REPLAYED and _made_at(each) >= oldest - _FORGOTTEN_LATE):
                self._refused.note(each, why)
        counting = [each for each, why in refusals if why is None]
        return stored[-1].sequence, sorted(counting, key=_made_at)

    def _why_refused(self, stored: Stored, oldest: datetime) -> Refusal | None:
        if (signer := self._seal.signer(stored)) not in self._may:
            return Refusal.FORGED if signer is None else Refusal.FOREIGN
        return Refusal.REPLAYED if _made_at(stored) < oldest else None

    def _subject(self, key: str) -> str:
        return streams.bucket_subject(self._name, subjects.token(key))


class NatsHeartbeats:
    """The port Heartbeats."""

    def __init__(self, connection: Client, seal: Seal, timeout_s: float = 5.0) -> None:
        self._bucket = _SignedBucket(connection, streams.HEARTBEATS, seal, MAY_HOLD, timeout_s)

    async def beat(self, holder: str) -> None:
        await self._bucket.say(holder, b"alive")

    async def alive(self, holder: str) -> bool:
        _, beats = await self._bucket.heard(holder)
        return bool(beats)


class NatsClaims:
    """The port Claims."""

    def __init__(self, connection: Client, seal: Seal, timeout_s: float = 5.0) -> None:
        self._bucket = _SignedBucket(connection, streams.CLAIMS, seal, MAY_CLAIM, timeout_s)

    async def take(self, what: str) -> bool:
        newest, words = await self._bucket.heard(what)
        if words and words[-1].data == _TAKEN:
            return False
        try:
            await self._bucket.say(what, _TAKEN, after=newest)
        except Conflict:
            return False
        return True

    async def let_go(self, what: str) -> None:
        await self._bucket.say(what, _LET_GO)


class NatsActivities:
    """The port Activities. `repeat` says the last one again, before the bucket forgets it; the service's loop does."""

    def __init__(self, connection: Client, owner: Owner, agent: str, timeout_s: float = 5.0) -> None:
        self._stream = NatsStream(connection, streams.bucket_stream(streams.ACTIVITIES), timeout_s)
        # By owner first: what a service may say is drawn in subjects.
        self._subject = streams.bucket_subject(streams.ACTIVITIES, f"{owner}.{subjects.token(agent)}")
        self._last = "idle"

    async def doing(self, activity: str) -> None:
        self._last = activity
        await self.repeat()

    async def repeat(self) -> None:
        await self._stream.write(Write(self._subject, self._last.encode()))

    async def gone(self) -> None:
        """Say that this process ends."""
        await self.doing("")

    async def all(self) -> Mapping[str, str]:
        found = await self._stream.after(streams.bucket_subject(streams.ACTIVITIES, _ALL))
        return {stored.subject.rsplit(".", 1)[1]: stored.data.decode() for stored in found if stored.data}


def _made_at(stored: Stored) -> datetime:
    return datetime.fromisoformat(stored.headers["ce-time"])
