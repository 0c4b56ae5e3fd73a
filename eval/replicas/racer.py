"""A ledger in a process of its own, which appends to the same incidents as others do.

`python -m eval.replicas.racer`. It is the detector as far as the bus knows, and speaks as a worker does: of what it was
told is stored.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any, Final

import structlog
from nats.aio.client import Client

from eval.crash.sabotage import SABOTAGES
from eval.ingest.sender import say
from shared.adapters.nats_connection import User, Watcher, close, connect_for_ever
from shared.adapters.nats_ledger import NatsLedger, Writer
from shared.adapters.nkey import KEYRING, seed_file
from shared.adapters.seal import load
from shared.adapters.system import RandomIdentity, SystemClock
from shared.domain.errors import Conflict, LedgerUnavailable
from shared.domain.events import Cleared, Event, Opened, Owner, Relapsed
from shared.domain.health import Symptom
from shared.domain.ids import CorrelationKey, IncidentId
from shared.domain.incident import Incident, State
from shared.testing.builders import a_reading, opened

_AGAIN_AFTER_S: Final = 0.1


class Racer:
    """One contestant."""

    def __init__(self, task: dict[str, Any], ledger: NatsLedger, clock: SystemClock) -> None:
        self._name, self._incidents, self._events = task["name"], task["incidents"], task["events"]
        self._ledger, self._clock = ledger, clock
        self._confirmed = list[dict[str, Any]]()
        self._conflicts = self._unavailable = 0

    async def run(self) -> dict[str, Any]:
        """Bring every incident to its length, one after the other; return what was confirmed, and what was not."""
        for number in range(self._incidents):
            if number == self._incidents // 2:
                say({"say": "half"})
            await self._walk(number)
        return {
            "say": "done",
            "confirmed": self._confirmed,
            "conflicts": self._conflicts,
            "unavailable": self._unavailable,
        }

    async def _walk(self, number: int) -> None:
        key = CorrelationKey(f"race-{number}")
        while True:
            try:
                if await self._step(key, IncidentId(f"inc-{number}-{self._name}")):
                    return
            except Conflict:
                self._conflicts += 1
            except LedgerUnavailable:
                self._unavailable += 1
                await self._clock.sleep(_AGAIN_AFTER_S)

    async def _step(self, key: CorrelationKey, mine: IncidentId) -> bool:
        """Append what is next, to whichever incident is the open one; True once it is long enough."""
        known = await self._ledger.open_incident(key)
        if known is None:
            self._confirm(await self._ledger.open(mine, opened(key)), Opened)
            return False
        incident = await self._ledger.fold(known)
        if len(incident.states) >= self._events:
            return True
        event = _next(incident)
        self._confirm(await self._ledger.append(incident, event), type(event))
        return False

    def _confirm(self, after: Incident, event: type[Event]) -> None:
        self._confirmed.append({"incident": after.id, "sequence": after.sequence, "type": event.__name__})


def _next(incident: Incident) -> Event:
    """The two events between which a detector alone can go to and fro for ever."""
    if incident.state is State.RESOLVED:
        return Relapsed(reading=a_reading(Symptom.PRESENT))
    return Cleared(reading=a_reading(Symptom.GONE))


async def run(task: dict[str, Any]) -> None:
    """Do what the task says: `name`, `nats_url`, `keys` (the folder), `incidents`, `events` of each, `sabotage`."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())  # its standard output is for what it reports
    if task["sabotage"]:
        SABOTAGES[task["sabotage"]]()
    keys, client, clock = Path(task["keys"]), Client(), SystemClock()
    seal = load(Owner.DETECTOR, seed_file(keys, Owner.DETECTOR), keys / KEYRING)
    await connect_for_ever(client, task["nats_url"], User(Owner.DETECTOR, seal.key), Watcher(*[_nothing] * 4))
    try:
        say({"say": "ready"})
        await asyncio.to_thread(sys.stdin.readline)
        say(await Racer(task, NatsLedger(client, Writer(seal, clock, RandomIdentity())), clock).run())
    finally:
        await close(client)


def _nothing(_: str) -> None: ...


if __name__ == "__main__":
    asyncio.run(run(json.loads(sys.stdin.readline())))
