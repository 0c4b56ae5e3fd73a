"""What is true only for a while: heartbeats and activities, in key-value buckets that forget."""

from collections.abc import Mapping
from typing import Final

from nats.aio.client import Client

from shared.adapters.nats_stream import NatsStream, Write
from shared.bus import streams, subjects
from shared.domain.events import Owner

_ALL: Final = ">"


class _Bucket:
    """A bucket whose TTL is the stream's: every value is forgotten so long after it was said."""

    def __init__(self, connection: Client, name: str, timeout_s: float) -> None:
        self._name = name
        self._stream = NatsStream(connection, streams.bucket_stream(name), timeout_s)

    async def put(self, key: str, value: str) -> None:
        await self._stream.write(Write(streams.bucket_subject(self._name, subjects.token(key)), value.encode()))

    async def has(self, key: str) -> bool:
        return await self._stream.last(streams.bucket_subject(self._name, subjects.token(key))) is not None

    async def all(self) -> Mapping[str, str]:
        found = await self._stream.after(streams.bucket_subject(self._name, _ALL))
        return {stored.subject.rsplit(".", 1)[1]: stored.data.decode() for stored in found}


class NatsHeartbeats:
    """The port Heartbeats."""

    def __init__(self, connection: Client, timeout_s: float = 5.0) -> None:
        self._bucket = _Bucket(connection, streams.HEARTBEATS, timeout_s)

    async def beat(self, holder: str) -> None:
        await self._bucket.put(holder, "alive")

    async def alive(self, holder: str) -> bool:
        return await self._bucket.has(holder)


class NatsActivities:
    """The port Activities. `repeat` says the last one again, before the bucket forgets it; the service's loop does."""

    def __init__(self, connection: Client, owner: Owner, timeout_s: float = 5.0) -> None:
        self._bucket = _Bucket(connection, streams.ACTIVITIES, timeout_s)
        self._owner, self._last = owner, "idle"

    async def doing(self, activity: str) -> None:
        self._last = activity
        await self.repeat()

    async def repeat(self) -> None:
        await self._bucket.put(str(self._owner), self._last)

    async def all(self) -> Mapping[str, str]:
        return await self._bucket.all()
