"""The ledger and its neighbours in memory: they keep the ports' word, as the contract tests that NATS passes say."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from shared.domain.acceptance import Heard, hear
from shared.domain.alert import Alert
from shared.domain.append import check_lock, draft, frees_key, may_note, numbered
from shared.domain.cluster import Ref
from shared.domain.errors import Conflict
from shared.domain.events import AlertJoined, Event, Fact, Opened, Owner, Recorded
from shared.domain.ids import CorrelationKey, EventId, IncidentId
from shared.domain.incident import Incident
from shared.domain.transaction import Lock
from shared.ports.clock import Clock
from shared.ports.identity import Identity


@dataclass
class MemoryBus:
    """What the services of one simulation share: the state behind every ledger, inbox, timer and bucket."""

    clock: Clock
    identity: Identity
    heartbeat_ttl_s: float = 10.0
    activity_ttl_s: float = 15.0
    claim_ttl_s: float = 30.0
    sequence: int = 0
    unsigned: set[int] = field(default_factory=set)
    """The sequences of what somebody put among the events without its owner's key."""
    unreadable: set[int] = field(default_factory=set)
    """The sequences of what a newer version said, as one that cannot read it finds them."""
    events: dict[IncidentId, list[Recorded]] = field(default_factory=dict)
    facts: dict[IncidentId, list[Fact]] = field(default_factory=dict)
    opened: list[IncidentId] = field(default_factory=list)
    keys: dict[CorrelationKey, IncidentId] = field(default_factory=dict)
    locks: dict[Ref, Lock] = field(default_factory=dict)
    paused: str | None = None
    alerts: dict[str, Alert] = field(default_factory=dict)
    timers: dict[tuple[Owner, IncidentId], float] = field(default_factory=dict)
    beats: dict[str, float] = field(default_factory=dict)
    activities: dict[str, tuple[float, str]] = field(default_factory=dict)
    claims: dict[str, float] = field(default_factory=dict)
    wake: Callable[[Recorded], None] = lambda _: None
    """Called for each stored event, as the bus would wake the services that subscribe to it."""

    def due(self) -> Sequence[tuple[Owner, IncidentId]]:
        """Take the timers that fired by now."""
        fired = [timer for timer, at_s in self.timers.items() if at_s <= self.clock.monotonic_s()]
        for timer in fired:
            del self.timers[timer]
        return fired


class MemoryLedger:
    """The port Ledger, for one service."""

    def __init__(self, bus: MemoryBus, owner: Owner) -> None:
        self._bus, self._owner = bus, owner

    async def fold(self, incident: IncidentId) -> Incident:
        return self._heard(incident)[0]

    async def history(self, incident: IncidentId) -> Sequence[Recorded]:
        return tuple(self._heard(incident)[1])

    async def append(
        self,
        incident: Incident,
        *events: Event,
        locks: Sequence[Lock] = (),
        frees_key: bool = False,
        while_open: Incident | None = None,
    ) -> Incident:
        drafts = self._draft(incident, events)
        if while_open is not None and self._bus.keys.get(while_open.key) != while_open.id:
            raise Conflict(f"incident {while_open.id} is over")
        for lock in locks:
            check_lock(self._bus.locks.get(lock.workload), lock)
        after = self._store(incident, drafts)
        self._bus.locks.update({lock.workload: lock for lock in locks})
        self._free_key(after, asked=frees_key)
        return after

    async def open(self, incident: IncidentId, opened: Opened, *then: Event) -> Incident:
        if (known := self._bus.keys.get(opened.key)) is not None:
            raise Conflict(f"incident {known} of {opened.key} is open")
        nothing = Incident(id=incident)
        after = self._store(nothing, self._draft(nothing, (opened, *then)))
        self._bus.opened.append(incident)
        self._bus.keys[opened.key] = incident
        return after

    async def open_incident(self, key: CorrelationKey) -> IncidentId | None:
        return self._bus.keys.get(key)

    async def open_incidents(self) -> Sequence[IncidentId]:
        return tuple(self._bus.keys.values())

    async def incidents(self, limit: int = 100) -> Sequence[IncidentId]:
        return self._bus.opened[: -limit - 1 : -1]

    async def lock(self, workload: Ref) -> Lock | None:
        return self._bus.locks.get(workload)

    async def note(self, incident: IncidentId, *facts: Fact) -> None:
        may_note(self._owner, facts)
        known = self._bus.facts.setdefault(incident, [])
        for fact in facts:
            said = {each.once for each in known if isinstance(each, AlertJoined)}
            if not (isinstance(fact, AlertJoined) and fact.once in said):
                known.append(fact)

    async def facts(self, incident: IncidentId) -> Sequence[Fact]:
        return tuple(self._bus.facts.get(incident, ()))

    async def paused(self) -> str | None:
        return self._bus.paused

    async def set_paused(self, reason: str | None) -> None:
        self._bus.paused = reason

    def _heard(self, incident: IncidentId) -> tuple[Incident, list[Recorded]]:
        folded, counting = Incident(id=incident), list[Recorded]()
        for record in self._bus.events.get(incident, ()):
            signed_by = None if record.sequence in self._bus.unsigned else record.by
            known = None if record.sequence in self._bus.unreadable else record
            folded, why = hear(folded, Heard(record.sequence, known, signed_by, record.follows))
            counting += [record] if why is None else []
        return folded, counting

    def _draft(self, incident: Incident, events: Sequence[Event]) -> Sequence[Recorded]:
        ids = [EventId(self._bus.identity.new("evt")) for _ in events]
        return draft(incident, events, self._owner, ids, self._bus.clock.now())

    def _store(self, incident: Incident, drafts: Sequence[Recorded]) -> Incident:
        known = self._bus.events.setdefault(incident.id, [])
        if (known[-1].sequence if known else 0) != incident.sequence:
            raise Conflict(f"{incident.id} moved on")
        first = self._bus.sequence + 1
        for record in drafts:
            self._bus.sequence += 1
            known.append(record.model_copy(update={"sequence": self._bus.sequence}))
            self._bus.wake(known[-1])
        return numbered(incident, drafts, first)

    def _free_key(self, after: Incident, *, asked: bool) -> None:
        if frees_key(after, asked=asked) and self._bus.keys.get(after.key) == after.id:
            del self._bus.keys[after.key]


class MemoryInbox:
    """The port Inbox."""

    def __init__(self, bus: MemoryBus) -> None:
        self._bus = bus

    async def put(self, *alerts: Alert) -> None:
        for alert in alerts:
            self._bus.alerts.setdefault(alert.delivery_id, alert)


class MemoryTimers:
    """The port Timers, for one service; `MemoryBus.due` says what fired."""

    def __init__(self, bus: MemoryBus, owner: Owner) -> None:
        self._bus, self._owner = bus, owner

    async def wake(self, incident: IncidentId, after_s: float) -> None:
        self._bus.timers[self._owner, incident] = self._bus.clock.monotonic_s() + after_s


class MemoryHeartbeats:
    """The port Heartbeats."""

    def __init__(self, bus: MemoryBus) -> None:
        self._bus = bus

    async def beat(self, holder: str) -> None:
        self._bus.beats[holder] = self._bus.clock.monotonic_s()

    async def alive(self, holder: str) -> bool:
        last_s = self._bus.beats.get(holder)
        return last_s is not None and self._bus.clock.monotonic_s() - last_s < self._bus.heartbeat_ttl_s


class MemoryClaims:
    """The port Claims."""

    def __init__(self, bus: MemoryBus) -> None:
        self._bus = bus

    async def take(self, what: str) -> bool:
        now_s = self._bus.clock.monotonic_s()
        if (taken_s := self._bus.claims.get(what)) is not None and now_s - taken_s < self._bus.claim_ttl_s:
            return False
        self._bus.claims[what] = now_s
        return True

    async def let_go(self, what: str) -> None:
        self._bus.claims.pop(what, None)


class MemoryActivities:
    """The port Activities, for one process of a service."""

    def __init__(self, bus: MemoryBus, agent: str) -> None:
        self._bus, self._agent = bus, agent

    async def doing(self, activity: str) -> None:
        self._bus.activities[self._agent] = (self._bus.clock.monotonic_s(), activity)

    async def all(self) -> Mapping[str, str]:
        oldest_s = self._bus.clock.monotonic_s() - self._bus.activity_ttl_s
        return {agent: activity for agent, (at_s, activity) in self._bus.activities.items() if at_s > oldest_s}
