"""What is true only for a while: heartbeats and activities, in key-value buckets that forget."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from nats.aio.client import Client

from shared.adapters.nats_stream import NatsStream, Stored, Write
from shared.adapters.refused import Refused
from shared.adapters.seal import Seal
from shared.bus import streams, subjects
from shared.domain.acceptance import Refusal
from shared.domain.authority import MAY_HOLD
from shared.domain.events import Owner

_ALL: Final = ">"


class NatsHeartbeats:
    """The port Heartbeats.

    A beat is signed, with the moment of the server's clock at which it was made: repeated later by somebody else it
    is as old as it was. No clock but the server's is asked, so that one which jumps kills nobody.
    """

    def __init__(self, connection: Client, seal: Seal, timeout_s: float = 5.0) -> None:
        self._stream = NatsStream(connection, streams.bucket_stream(streams.HEARTBEATS), timeout_s)
        self._seal, self._refused = seal, Refused(self._stream.name)

    async def beat(self, holder: str) -> None:
        subject, said = _key(streams.HEARTBEATS, holder), (await self._stream.clock()).now.isoformat()
        body = b"alive"
        await self._stream.write(Write(subject, body, self._seal.on(subject, {"ce-time": said}, body)))

    async def alive(self, holder: str) -> bool:
        if not (beats := await self._stream.after(_key(streams.HEARTBEATS, holder))):
            return False
        clock = await self._stream.clock()
        oldest = clock.now - timedelta(seconds=clock.max_age_s)
        refusals = [(beat, self._why_refused(beat, oldest)) for beat in beats]
        for beat, why in refusals:
            if why is not None:
                self._refused.note(beat, why)
        return any(why is None for _, why in refusals)

    def _why_refused(self, beat: Stored, oldest: datetime) -> Refusal | None:
        if (signer := self._seal.signer(beat)) not in MAY_HOLD:
            return Refusal.FORGED if signer is None else Refusal.FOREIGN
        return Refusal.REPLAYED if datetime.fromisoformat(beat.headers["ce-time"]) < oldest else None


class NatsActivities:
    """The port Activities. `repeat` says the last one again, before the bucket forgets it; the service's loop does."""

    def __init__(self, connection: Client, owner: Owner, timeout_s: float = 5.0) -> None:
        self._stream = NatsStream(connection, streams.bucket_stream(streams.ACTIVITIES), timeout_s)
        self._owner, self._last = owner, "idle"

    async def doing(self, activity: str) -> None:
        self._last = activity
        await self.repeat()

    async def repeat(self) -> None:
        await self._stream.write(Write(_key(streams.ACTIVITIES, str(self._owner)), self._last.encode()))

    async def all(self) -> Mapping[str, str]:
        found = await self._stream.after(streams.bucket_subject(streams.ACTIVITIES, _ALL))
        return {stored.subject.rsplit(".", 1)[1]: stored.data.decode() for stored in found}


def _key(bucket: str, name: str) -> str:
    return streams.bucket_subject(bucket, subjects.token(name))
