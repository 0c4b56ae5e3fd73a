"""Wake-ups that the server keeps: scheduled messages (nats-server 2.12 and later)."""

from datetime import UTC, timedelta

from nats.aio.client import Client

from shared.adapters.nats_stream import NatsStream, Write
from shared.bus import streams, subjects
from shared.domain.events import Owner
from shared.domain.ids import IncidentId
from shared.ports.clock import Clock


class NatsTimers:
    """The port Timers. A schedule is reset by publishing to its subject again; it survives restarts of the server."""

    def __init__(self, connection: Client, owner: Owner, clock: Clock, timeout_s: float = 5.0) -> None:
        self._stream = NatsStream(connection, streams.TIMERS, timeout_s)
        self._owner, self._clock = owner, clock

    async def wake(self, incident: IncidentId, after_s: float) -> None:
        at = (self._clock.now() + timedelta(seconds=max(after_s, 0.0))).astimezone(UTC)
        said = {
            "Nats-Schedule": f"@at {at.isoformat(timespec='milliseconds').replace('+00:00', 'Z')}",
            "Nats-Schedule-Target": subjects.fired(self._owner, incident),
            "ce-subject": incident,
        }
        await self._stream.write(Write(subjects.timer(self._owner, incident), incident.encode(), said))
