"""The ledger on JetStream: one append function, one compare-and-swap filter an incident, atomic batches for locks.

Every message is signed. What its owner did not sign, or signed for another place, is read and has no effect.
"""

import asyncio
import json
from collections.abc import Sequence
from typing import Final, NamedTuple

from nats.aio.client import Client
from pydantic import ValidationError

from shared.adapters import nats_events
from shared.adapters.nats_chain import Chain, Link, May
from shared.adapters.nats_facts import Facts
from shared.adapters.nats_folds import Folds, Histories, History
from shared.adapters.nats_stream import Expect, NatsStream, OutcomeUnknown, Stored, Write
from shared.adapters.refused import Refused
from shared.adapters.seal import Seal
from shared.bus import streams, subjects
from shared.domain.acceptance import Heard, hear
from shared.domain.append import check_lock, draft, frees_key, may_note, numbered
from shared.domain.authority import MAY_CLAIM_A_KEY, MAY_FREE_A_KEY, MAY_HOLD, MAY_PAUSE, MAY_RELEASE
from shared.domain.cluster import Ref
from shared.domain.errors import Conflict, Refuse
from shared.domain.events import AlertJoined, Event, Fact, Opened, Owner, Recorded
from shared.domain.ids import CorrelationKey, EventId, IncidentId
from shared.domain.incident import Incident, State
from shared.domain.transaction import Lock
from shared.ports.clock import Clock
from shared.ports.identity import Identity

_RACES: Final = 20


class Writer(NamedTuple):
    """Who appends and signs, and where its time and its names come from."""

    seal: Seal
    clock: Clock
    identity: Identity


class NatsLedger:
    """The port Ledger."""

    def __init__(self, connection: Client, writer: Writer, timeout_s: float = 5.0) -> None:
        self._writer = writer
        self._stream = NatsStream(connection, streams.LEDGER, timeout_s)
        self._facts = NatsStream(connection, streams.FACTS, timeout_s)
        self._refused, self._refused_facts = Refused(streams.LEDGER), Refused(streams.FACTS)
        self._connection, self._generation = connection, 0
        self._read_anew()

    # --- reading

    async def fold(self, incident: IncidentId) -> Incident:
        self._look()
        folded = self._folds.get(incident)
        for stored in await self._stream.after(subjects.ledger_of(incident), folded.sequence):
            folded, _ = self._hear(folded, stored)
        return self._keep(folded)

    async def history(self, incident: IncidentId) -> Sequence[Recorded]:
        self._look()
        folded, known = self._histories.get(incident)
        counting = list(known)
        for stored in await self._stream.after(subjects.ledger_of(incident), folded.sequence):
            folded, record = self._hear(folded, stored)
            counting += [] if record is None else [record]
        self._keep(folded)
        return self._histories.keep(History(folded, tuple(counting))).counting

    def _hear(self, folded: Incident, stored: Stored) -> tuple[Incident, Recorded | None]:
        """Return the incident after a message, and the message if it counts."""
        heard = self._heard(folded.id, stored)
        after, why = hear(folded, heard)
        if why is None:
            return after, heard.record
        self._refused.note(stored, why)
        return after, None

    def _heard(self, incident: IncidentId, stored: Stored) -> Heard:
        try:
            record = nats_events.recorded(stored)
        except Refuse:
            signed_by = self._writer.seal.signer(stored) if nats_events.about(stored) == incident else None
            return Heard(stored.sequence, None, signed_by, nats_events.follows(stored))
        in_place = record.incident == incident and stored.subject == subjects.ledger(incident, record.event.name)
        return Heard(stored.sequence, record, self._writer.seal.signer(stored) if in_place else None)

    async def open_incident(self, key: CorrelationKey) -> IncidentId | None:
        self._look()
        return _opened_by(await self._keys.now(subjects.open_key(key)))

    async def open_incidents(self) -> Sequence[IncidentId]:
        self._look()
        await self._openings.refresh()
        still_open = self._openings.open
        for known in (self._folds, self._histories, self._told):
            known.only(set(still_open))
        return still_open

    async def incidents(self, limit: int = 100) -> Sequence[IncidentId]:
        self._look()
        await self._openings.refresh()
        return self._openings.all[: -limit - 1 : -1]

    async def lock(self, workload: Ref) -> Lock | None:
        self._look()
        return _lock(await self._locks.now(subjects.lock(workload)))

    async def facts(self, incident: IncidentId) -> Sequence[Fact]:
        self._look()
        return await self._told.of(incident)

    async def paused(self) -> str | None:
        self._look()
        said = (await self._pauses.now(subjects.PAUSE)).said
        return str(json.loads(said)["reason"]) if said else None

    # --- writing

    async def append(
        self,
        incident: Incident,
        *events: Event,
        locks: Sequence[Lock] = (),
        frees_key: bool = False,
        while_open: Incident | None = None,
    ) -> Incident:
        drafts = self._draft(incident, events)
        after = numbered(incident, drafts, incident.sequence + 1)
        side = [
            *await self._lock_writes(locks),
            *await self._key_writes(after, asked=frees_key),
            *await self._still_open(while_open),
        ]
        return await self._commit(incident, drafts, side)

    async def open(self, incident: IncidentId, opened: Opened, *then: Event) -> Incident:
        subject = subjects.open_key(opened.key)
        link = await self._keys.now(subject)
        if (known := _opened_by(link)) is not None:
            raise Conflict(f"incident {known} of {opened.key} is open")
        nothing = Incident(id=incident)
        drafts = self._draft(nothing, (opened, *then))
        claim = self._keys.next(subject, link, incident.encode(), self._plain_headers("Open"))
        return await self._commit(nothing, drafts, [claim])

    async def note(self, incident: IncidentId, *facts: Fact) -> None:
        may_note(self._writer.seal.owner, facts)
        await asyncio.gather(*(self._facts.write(self._fact_write(incident, fact)) for fact in facts))

    async def set_paused(self, reason: str | None) -> None:
        body = b"" if reason is None else json.dumps({"reason": reason}).encode()
        for _ in range(_RACES):
            link = await self._pauses.now(subjects.PAUSE)
            try:
                await self._stream.write(self._pauses.next(subjects.PAUSE, link, body, self._plain_headers("Pause")))
            except Conflict:  # somebody else paused or resumed meanwhile: the last word counts
                continue
            return
        raise Conflict("others pause and resume all the time")

    # --- how

    def _read_anew(self) -> None:
        """Forget what was read: after a reconnect the server may hold another past, as one that was wiped does."""
        self._keys, self._locks, self._pauses = map(self._chain, (_may_say_open, _may_lock, _may_pause))
        self._folds, self._histories = Folds(), Histories()
        self._told = Facts(self._facts, self._writer.seal, self._refused_facts)
        self._openings = _Openings(self._stream, self._chain(_may_say_open))

    def _look(self) -> None:
        if self._connection.stats["reconnects"] != self._generation:
            self._generation = self._connection.stats["reconnects"]
            self._read_anew()

    def _chain(self, may: May) -> Chain:
        return Chain(self._stream, self._writer.seal, self._refused, may)

    def _draft(self, incident: Incident, events: Sequence[Event]) -> Sequence[Recorded]:
        seal, clock, identity = self._writer
        return draft(incident, events, seal.owner, [EventId(identity.new("evt")) for _ in events], clock.now())

    async def _lock_writes(self, locks: Sequence[Lock]) -> Sequence[Write]:
        """Write each lock on the condition that it still is what we judge it by now."""
        names = [subjects.lock(lock.workload) for lock in locks]
        writes = []
        for lock, name, link in zip(locks, names, await asyncio.gather(*map(self._locks.now, names)), strict=True):
            check_lock(_lock(link), lock)
            writes.append(self._locks.next(name, link, lock.model_dump_json().encode(), self._plain_headers("Lock")))
        return writes

    async def _key_writes(self, after: Incident, *, asked: bool) -> Sequence[Write]:
        if not frees_key(after, asked=asked):
            return ()
        name = subjects.open_key(after.key)
        link = await self._keys.now(name)
        return () if _opened_by(link) != after.id else [self._keys.next(name, link, b"", self._plain_headers("Open"))]

    async def _still_open(self, other: Incident | None) -> Sequence[Write]:
        """Say the other's key once more, on the condition that nobody said anything about it meanwhile.

        Whoever ends that incident writes there, too: of two that would be merged into each other, one stays.
        """
        if other is None:
            return ()
        name = subjects.open_key(other.key)
        link = await self._keys.now(name)
        if _opened_by(link) != other.id:
            raise Conflict(f"incident {other.id} is over")
        return [self._keys.next(name, link, other.id.encode(), self._plain_headers("Open"))]

    async def _commit(self, incident: Incident, drafts: Sequence[Recorded], side: Sequence[Write]) -> Incident:
        """THE append. The first event is checked, the others of the batch follow it unchecked but undivided."""
        expect = Expect(subjects.ledger_of(incident.id), incident.sequence)
        writes = [self._event_write(record, expect if record is drafts[0] else None) for record in drafts]
        try:
            last = await self._stream.write(*writes, *side, batch_id=self._writer.identity.new("batch"))
            first = last - len(side) - len(drafts) + 1
        except (Conflict, OutcomeUnknown):
            self._forget(incident.id, side)
            found = await self._find(incident, drafts[0].id)
            if found is None:
                raise
            first = found
        return self._keep(numbered(incident, drafts, first))

    def _keep(self, folded: Incident) -> Incident:
        if folded.state is State.CLOSED:
            self._told.forget(folded.id)
        return self._folds.keep(folded)

    def _forget(self, incident: IncidentId, side: Sequence[Write]) -> None:
        """Read it all again: a server that lost its newest seconds would contradict what we know for ever."""
        self._folds.forget(incident)
        self._histories.forget(incident)
        for write in side:
            self._keys.forget(write.subject)
            self._locks.forget(write.subject)

    async def _find(self, incident: Incident, event_id: EventId) -> int | None:
        """Where our own event stands, after an answer that got lost."""
        after = incident
        for stored in await self._stream.after(subjects.ledger_of(incident.id), incident.sequence):
            after, record = self._hear(after, stored)
            if record is not None and record.id == event_id:
                return stored.sequence
        return None

    def _event_write(self, record: Recorded, expect: Expect | None) -> Write:
        subject, body = subjects.ledger(record.incident, record.event.name), nats_events.event_body(record)
        return Write(subject, body, self._writer.seal.on(subject, nats_events.event_headers(record), body), expect)

    def _fact_write(self, incident: IncidentId, fact: Fact) -> Write:
        said = self._headers(incident, fact.fact)
        if isinstance(fact, AlertJoined):  # the stream drops it if it is there already, whichever detector wrote it
            said["Nats-Msg-Id"] = subjects.hashed(f"{incident} {fact.once}")
        subject, body = subjects.fact(incident, fact.fact), fact.model_dump_json().encode()
        return Write(subject, body, self._writer.seal.on(subject, said, body))

    def _headers(self, incident: IncidentId, kind: str) -> dict[str, str]:
        seal, clock, identity = self._writer
        return nats_events.headers(incident, identity.new("fact"), kind, seal.owner, clock.now())

    def _plain_headers(self, kind: str) -> dict[str, str]:
        _, clock, identity = self._writer
        return {"ce-id": identity.new("word"), "ce-type": f"dev.primum.{kind}", "ce-time": clock.now().isoformat()}


class _Openings:
    """Which incidents there are and which are open, folded from `primum.open.*`: one small message at each end."""

    def __init__(self, stream: NatsStream, chain: Chain) -> None:
        self._stream, self._chain = stream, chain
        self._sequence = 0
        self._links: dict[str, Link] = {}
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
            before = self._links.get(stored.subject, Link())
            self._links[stored.subject] = link = self._chain.after(before, stored)
            if link.last == before.last:
                continue  # it counts for nothing
            if self._by_key.get(stored.subject) == _opened_by(link):
                continue  # it was only said once more
            self._by_key.pop(stored.subject, None)
            if (incident := _opened_by(link)) is not None:
                self._by_key[stored.subject] = incident
                self.all.append(incident)


def _may_say_open(said: bytes) -> frozenset[Owner]:
    return MAY_CLAIM_A_KEY if said else MAY_FREE_A_KEY


def _may_lock(said: bytes) -> frozenset[Owner]:
    try:
        return MAY_HOLD if Lock.model_validate_json(said).held else MAY_RELEASE
    except ValidationError:
        return frozenset()


def _may_pause(_: bytes) -> frozenset[Owner]:
    return MAY_PAUSE


def _opened_by(link: Link) -> IncidentId | None:
    return IncidentId(link.said.decode()) if link.said else None


def _lock(link: Link) -> Lock | None:
    return Lock.model_validate_json(link.said) if link.said else None
