"""The ledger on JetStream: one append function, one compare-and-swap filter an incident, atomic batches for locks."""

import asyncio
import json
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, NamedTuple

from nats.aio.client import Client

from shared.adapters import nats_events
from shared.adapters.nats_stream import Expect, NatsStream, OutcomeUnknown, Stored, Write
from shared.bus import streams, subjects
from shared.domain.append import check_lock, draft, frees_key, numbered
from shared.domain.cluster import Ref
from shared.domain.errors import Conflict
from shared.domain.events import AlertJoined, Event, Fact, Opened, Owner, Recorded
from shared.domain.ids import CorrelationKey, EventId, IncidentId
from shared.domain.incident import Incident, apply
from shared.domain.transaction import Lock
from shared.ports.clock import Clock
from shared.ports.identity import Identity

_FOLDS_KEPT: Final = 1024


class Writer(NamedTuple):
    """Who appends, and where its time and its names come from."""

    owner: Owner
    clock: Clock
    identity: Identity


class NatsLedger:
    """The port Ledger."""

    def __init__(self, connection: Client, writer: Writer, timeout_s: float = 5.0) -> None:
        self._writer = writer
        self._stream = NatsStream(connection, streams.LEDGER, timeout_s)
        self._facts = NatsStream(connection, streams.FACTS, timeout_s)
        self._folds = _Folds()
        self._openings = _Openings(self._stream)

    # --- reading

    async def fold(self, incident: IncidentId) -> Incident:
        folded = self._folds.get(incident)
        for stored in await self._stream.after(subjects.ledger_of(incident), folded.sequence):
            folded = apply(folded, nats_events.recorded(stored))
        return self._folds.keep(folded)

    async def history(self, incident: IncidentId) -> Sequence[Recorded]:
        return [nats_events.recorded(stored) for stored in await self._stream.after(subjects.ledger_of(incident))]

    async def open_incident(self, key: CorrelationKey) -> IncidentId | None:
        return _opened_by(await self._stream.last(subjects.open_key(key)))

    async def open_incidents(self) -> Sequence[IncidentId]:
        await self._openings.refresh()
        return self._openings.open

    async def incidents(self, limit: int = 100) -> Sequence[IncidentId]:
        await self._openings.refresh()
        return self._openings.all[: -limit - 1 : -1]

    async def lock(self, workload: Ref) -> Lock | None:
        return _lock(await self._stream.last(subjects.lock(workload)))

    async def facts(self, incident: IncidentId) -> Sequence[Fact]:
        return [nats_events.fact(stored) for stored in await self._facts.after(subjects.facts_of(incident))]

    async def paused(self) -> str | None:
        last = await self._stream.last(subjects.PAUSE)
        return None if last is None or not last.data else str(json.loads(last.data)["reason"])

    # --- writing

    async def append(
        self, incident: Incident, *events: Event, locks: Sequence[Lock] = (), frees_key: bool = False
    ) -> Incident:
        drafts = self._draft(incident, events)
        after = numbered(incident, drafts, incident.sequence + 1)
        side = [*await self._lock_writes(locks), *await self._key_writes(after, asked=frees_key)]
        return await self._commit(incident, drafts, side)

    async def open(self, incident: IncidentId, opened: Opened, *then: Event) -> Incident:
        subject = subjects.open_key(opened.key)
        last = await self._stream.last(subject)
        if (known := _opened_by(last)) is not None:
            raise Conflict(f"incident {known} of {opened.key} is open")
        nothing = Incident(id=incident)
        drafts = self._draft(nothing, (opened, *then))
        claim = Write(subject, incident.encode(), self._plain_headers(), _expect(subject, last))
        return await self._commit(nothing, drafts, [claim])

    async def note(self, incident: IncidentId, *facts: Fact) -> None:
        await asyncio.gather(*(self._facts.write(self._fact_write(incident, fact)) for fact in facts))

    async def set_paused(self, reason: str | None) -> None:
        body = b"" if reason is None else json.dumps({"reason": reason}).encode()
        await self._stream.write(Write(subjects.PAUSE, body, self._plain_headers()))

    # --- how

    def _draft(self, incident: Incident, events: Sequence[Event]) -> Sequence[Recorded]:
        owner, clock, identity = self._writer
        return draft(incident, events, owner, [EventId(identity.new("evt")) for _ in events], clock.now())

    async def _lock_writes(self, locks: Sequence[Lock]) -> Sequence[Write]:
        """Write each lock on the condition that it still is what we judge it by now."""
        names = [subjects.lock(lock.workload) for lock in locks]
        writes = []
        for lock, name, last in zip(locks, names, await asyncio.gather(*map(self._stream.last, names)), strict=True):
            check_lock(_lock(last), lock)
            writes.append(Write(name, lock.model_dump_json().encode(), self._plain_headers(), _expect(name, last)))
        return writes

    async def _key_writes(self, after: Incident, *, asked: bool) -> Sequence[Write]:
        if not frees_key(after, asked=asked):
            return ()
        name = subjects.open_key(after.key)
        last = await self._stream.last(name)
        return () if _opened_by(last) != after.id else [Write(name, b"", self._plain_headers(), _expect(name, last))]

    async def _commit(self, incident: Incident, drafts: Sequence[Recorded], side: Sequence[Write]) -> Incident:
        """THE append. The first event is checked, the others of the batch follow it unchecked but undivided."""
        expect = Expect(subjects.ledger_of(incident.id), incident.sequence)
        writes = [_event_write(record, expect if record is drafts[0] else None) for record in drafts]
        try:
            last = await self._stream.write(*writes, *side, batch_id=self._writer.identity.new("batch"))
            first = last - len(side) - len(drafts) + 1
        except (Conflict, OutcomeUnknown):
            self._folds.forget(incident.id)  # a server that lost its newest seconds would contradict it for ever
            found = await self._find(incident, drafts[0].id)
            if found is None:
                raise
            first = found
        return self._folds.keep(numbered(incident, drafts, first))

    async def _find(self, incident: Incident, event_id: EventId) -> int | None:
        """Where our own event stands, after an answer that got lost."""
        newer = await self._stream.after(subjects.ledger_of(incident.id), incident.sequence)
        return next((stored.sequence for stored in newer if stored.headers.get("ce-id") == event_id), None)

    def _fact_write(self, incident: IncidentId, fact: Fact) -> Write:
        said = self._headers(incident, fact.fact)
        if isinstance(fact, AlertJoined):  # the stream drops it if it is there already, whichever detector wrote it
            said["Nats-Msg-Id"] = subjects.hashed(f"{incident} {fact.once}")
        return Write(subjects.fact(incident, fact.fact), fact.model_dump_json().encode(), said)

    def _headers(self, incident: IncidentId, kind: str) -> dict[str, str]:
        owner, clock, identity = self._writer
        return nats_events.headers(incident, identity.new("fact"), kind, owner, clock.now())

    def _plain_headers(self) -> dict[str, str]:
        return {nats_events.OWNER: str(self._writer.owner), "ce-time": self._writer.clock.now().isoformat()}


class _Folds:
    """The folds of the incidents last looked at: a read then fetches only what is newer."""

    def __init__(self) -> None:
        self._by_id: OrderedDict[IncidentId, Incident] = OrderedDict()

    def get(self, incident: IncidentId) -> Incident:
        return self._by_id.get(incident, Incident(id=incident))

    def forget(self, incident: IncidentId) -> None:
        self._by_id.pop(incident, None)

    def keep(self, folded: Incident) -> Incident:
        known = self.get(folded.id)
        if folded.sequence >= known.sequence and folded.state is not None:
            self._by_id[folded.id] = folded
            self._by_id.move_to_end(folded.id)
            if len(self._by_id) > _FOLDS_KEPT:
                self._by_id.popitem(last=False)
        return folded


class _Openings:
    """Which incidents there are and which are open, folded from `primum.open.*`: one small message at each end."""

    def __init__(self, stream: NatsStream) -> None:
        self._stream = stream
        self._sequence = 0
        self._by_key: dict[str, IncidentId] = {}
        self.all: list[IncidentId] = []

    @property
    def open(self) -> list[IncidentId]:
        return list(self._by_key.values())

    async def refresh(self) -> None:
        for stored in await self._stream.after(subjects.ALL_OPEN, self._sequence):
            if stored.sequence <= self._sequence:
                continue  # another refresh was faster
            self._sequence = stored.sequence
            self._by_key.pop(stored.subject, None)
            if (incident := _opened_by(stored)) is not None:
                self._by_key[stored.subject] = incident
                self.all.append(incident)


def _event_write(record: Recorded, expect: Expect | None) -> Write:
    subject = subjects.ledger(record.incident, record.event.name)
    return Write(subject, nats_events.event_body(record), nats_events.event_headers(record), expect)


def _expect(subject: str, last: Stored | None) -> Expect:
    return Expect(subject, 0 if last is None else last.sequence)


def _opened_by(last: Stored | None) -> IncidentId | None:
    return None if last is None or not last.data else IncidentId(last.data.decode())


def _lock(last: Stored | None) -> Lock | None:
    return None if last is None else Lock.model_validate_json(last.data)
