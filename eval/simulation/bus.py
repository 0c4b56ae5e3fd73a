"""The bus of a simulation: one store behind all ledgers; durables deliver at least once, late, in any order."""

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple, cast

from nats.aio.client import Client
from nats.aio.msg import Msg

from eval.simulation.loop import VirtualLoop
from eval.simulation.process import Process
from eval.simulation.story import Story
from eval.simulation.ways import Way
from shared.adapters.nats_dead import DeadLetter
from shared.domain.acceptance import Heard, hear
from shared.domain.alert import Alert
from shared.domain.append import draft
from shared.domain.events import Base, Event, Owner, Recorded
from shared.domain.ids import EventId, IncidentId
from shared.domain.incident import Incident
from shared.ports.clock import Clock
from shared.testing.memory_ledger import MemoryBus, MemoryLedger

ACK_WAIT_S: Final = 20.0
USUALLY_LATE_S: Final = 0.05
_SAID: Final = ("transaction", "step", "holder", "plan_hash", "why", "into", "found", "by", "title", "until", "reason")
Take = Callable[[Msg, str], None]


@dataclass
class Flaky:
    """How a durable delivers while it lasts; wake-ups may be lost, alerts never are."""

    late_s: float = 0.0
    doubled: float = 0.0
    lost: float = 0.0


@dataclass
class _Message:
    """One message of a stream, as one durable sees it."""

    sequence: int
    subject: str
    data: bytes
    headers: Mapping[str, str]
    times: int = 0
    deadline: int = 0
    """Which of the deadlines that were set is the one that counts."""
    done: bool = False


class Durable:
    """One service's consumer of one stream; its replicas share it."""

    def __init__(self, owner: Owner, stream: str, way: Way, rng: random.Random) -> None:
        self.owner, self.stream, self.way = owner, stream, way
        self.flaky: list[Flaky] = []
        self._loop, self._rng = way.loop, rng
        self._takers: dict[Process, Take] = {}
        self._messages: dict[int, _Message] = {}
        self._homeless: list[_Message] = []

    @property
    def pending(self) -> int:
        """How many messages are not settled yet."""
        return len(self._messages)

    def serve(self, process: Process, take: Take) -> None:
        """Deliver to this process, too, until it ends."""
        self._takers[process] = take
        process.ends.append(lambda: self._leave(process))
        waiting, self._homeless = self._homeless, []
        for message in waiting:
            self._later(message, self._lateness())

    def _leave(self, process: Process) -> None:
        self._takers.pop(process, None)

    def publish(self, sequence: int, subject: str, data: bytes, headers: Mapping[str, str], *, losable: bool) -> None:
        if losable and any(self._rng.random() < trouble.lost for trouble in self.flaky):
            return
        message = self._messages[sequence] = _Message(sequence, subject, data, headers)
        self._later(message, self._lateness())
        if any(self._rng.random() < trouble.doubled for trouble in self.flaky):
            self._later(message, self._lateness())

    def _lateness(self) -> float:
        return self._rng.uniform(0, USUALLY_LATE_S + sum(trouble.late_s for trouble in self.flaky))

    def _later(self, message: _Message, seconds: float) -> None:
        self._loop.call_later(seconds, self._deliver, message)

    def _deliver(self, message: _Message) -> None:
        if message.done:
            return
        if not self._takers:
            self._homeless.append(message)
            return
        process = self._rng.choice(list(self._takers))
        message.times += 1
        self._set_deadline(message)
        reply = f"$JS.ACK.{self.stream}.{self.owner}.{message.times}.{message.sequence}.{message.sequence}.0.0"
        answering = cast("Client", _Answering(process, self))
        self._takers[process](
            Msg(answering, message.subject, reply, message.data, dict(message.headers)),
            message.headers.get("ce-subject", ""),
        )

    def _set_deadline(self, message: _Message) -> None:
        message.deadline += 1
        self._loop.call_later(ACK_WAIT_S, self._overdue, message, message.deadline)

    def _overdue(self, message: _Message, deadline: int) -> None:
        if not message.done and message.deadline == deadline:
            self._deliver(message)

    def answered(self, reply: str, said: bytes) -> None:
        """Take a service's word on a delivery."""
        times, sequence = (int(part) for part in reply.split(".")[4:6])
        message = self._messages.get(sequence)
        if message is None or message.done:
            return
        if said.startswith(b"+WPI"):
            if message.times == times:
                self._set_deadline(message)
        elif said.startswith(b"-NAK"):
            if message.times == times:
                message.deadline += 1  # it is given back: nobody is late with it
                self._later(message, json.loads(said[4:] or b"{}").get("delay", 0) / 1e9)
        else:
            message.done = True
            del self._messages[sequence]


@dataclass(frozen=True)
class _Answering:
    """As much of a NATS client as the answer to a delivery needs."""

    process: Process
    durable: Durable

    async def publish(self, subject: str, payload: bytes = b"+ACK", **_: object) -> None:
        await self.process.gate()
        if not self.durable.way.is_down(str(self.process.owner)):
            self.durable.answered(subject, payload)


class Asker(NamedTuple):
    """Which task of which process asks."""

    process: Process
    task: str


@dataclass
class Known:
    """How far an incident was read, and what came of it."""

    folded: Incident
    counting: list[Recorded] = field(default_factory=list)
    read: int = 0


@dataclass
class SimBus(MemoryBus):
    """MemoryBus with the folds kept, and with what a landing stored told on once the whole of it is stored."""

    way: Way = field(kw_only=True)
    story: Story = field(kw_only=True)
    rng: random.Random = field(kw_only=True)
    durables: dict[tuple[Owner, str], Durable] = field(default_factory=dict)
    wakes_on: dict[Owner, frozenset[type[Base]]] = field(default_factory=dict)
    dead: list[DeadLetter] = field(default_factory=list)
    inbox: list[Alert] = field(default_factory=list)
    heard: dict[IncidentId, Known] = field(default_factory=dict)
    forged: set[int] = field(default_factory=set)
    """The sequences of what an intruder put among the events, whoever signed it."""
    fresh: list[Recorded] = field(default_factory=list)
    on_stored: Callable[[list[Recorded]], None] = lambda _: None
    on_forged: Callable[[Recorded], None] = lambda _: None
    on_pause_read: Callable[[Asker, str | None], None] = lambda *_: None
    asker: Asker | None = None
    """Whose request lands now."""
    _alarms: dict[tuple[Owner, IncidentId], object] = field(default_factory=dict)
    _numbers: int = 0

    def __post_init__(self) -> None:
        self.wake = self.fresh.append

    def durable(self, owner: Owner, stream: str) -> Durable:
        if (owner, stream) not in self.durables:
            self.durables[owner, stream] = Durable(owner, stream, self.way, self.rng)
        return self.durables[owner, stream]

    @property
    def pending(self) -> int:
        return sum(durable.pending for durable in self.durables.values())

    def folded(self, incident: IncidentId) -> Incident:
        """The incident as a reader makes it of what is stored, by the rule of acceptance."""
        return self.known(incident).folded

    def known(self, incident: IncidentId) -> Known:
        """The same, with the events that count."""
        known = self.heard.setdefault(incident, Known(Incident(id=incident)))
        for record in self.events.get(incident, [])[known.read :]:
            signed_by = None if record.sequence in self.unsigned else record.by
            known.folded, why = hear(known.folded, Heard(record.sequence, record, signed_by))
            known.read += 1
            if why is None:
                known.counting.append(record)
        return known

    def said(self, incident: IncidentId) -> list[Recorded]:
        """What the services said, and nobody else: the truth, by which a referee goes."""
        return [record for record in self.events.get(incident, []) if record.sequence not in self.forged]

    def forge(self, record: Recorded, *, signed: bool) -> None:
        """Store a message as somebody puts it who lacks its owner's key; it wakes whom the real one would."""
        self.sequence += 1
        put = record.model_copy(update={"sequence": self.sequence})
        self.events.setdefault(record.incident, []).append(put)
        self.forged.add(put.sequence)
        if not signed:
            self.unsigned.add(put.sequence)
        self._wake(put)
        self.on_forged(put)

    def tell_on(self) -> None:
        """Show what was stored to the referee, and wake the services that subscribe to it."""
        fresh, self.fresh[:] = list(self.fresh), []
        if not fresh:
            return
        for record in fresh:
            self.story.tell("event", str(record.by), f"{record.incident} {said_of(record)}")
        self.on_stored(fresh)
        for record in fresh:
            self._wake(record)

    def _wake(self, record: Recorded) -> None:
        for owner, events in self.wakes_on.items():
            if type(record.event) in events:
                self._publish(owner, "LEDGER", f"primum.ledger.{record.incident}.{record.event.name}", record.incident)

    def set_timer(self, owner: Owner, incident: IncidentId, after_s: float) -> None:
        """One timer an incident and a service; a new one replaces the last."""
        token = self._alarms[owner, incident] = object()
        self.way.loop.call_later(max(0.0, after_s), self._fire, owner, incident, token)

    def _fire(self, owner: Owner, incident: IncidentId, token: object) -> None:
        if self._alarms.get((owner, incident)) is token:
            del self._alarms[owner, incident]
            self._publish(owner, "TIMERS", f"primum.fired.{owner}.{incident}", incident)

    def store_alert(self, alert: Alert) -> None:
        """Keep an alert for ever and deliver it; an exact repeat is stored once."""
        if alert.delivery_id in self.alerts:
            return
        self.alerts[alert.delivery_id] = alert
        self.inbox.append(alert)
        self._numbers += 1
        subject, body = f"primum.alert.{alert.cluster}.{alert.fingerprint}", alert.model_dump_json().encode()
        self.durable(Owner.DETECTOR, "ALERTS").publish(self._numbers, subject, body, {}, losable=False)

    def _publish(self, owner: Owner, stream: str, subject: str, incident: IncidentId) -> None:
        self._numbers += 1
        headers = {"ce-subject": str(incident)}
        self.durable(owner, stream).publish(self._numbers, subject, incident.encode(), headers, losable=True)


class NearLedger(MemoryLedger):
    """MemoryLedger with folds that are carried on instead of made anew: the same values, a tenth of the time."""

    def __init__(self, bus: SimBus, owner: Owner, clock: Clock) -> None:
        super().__init__(bus, owner)
        self._sim, self._clock = bus, clock

    async def fold(self, incident: IncidentId) -> Incident:
        return self._sim.folded(incident)

    async def history(self, incident: IncidentId) -> Sequence[Recorded]:
        return tuple(self._sim.known(incident).counting)

    def _draft(self, incident: Incident, events: Sequence[Event]) -> Sequence[Recorded]:
        ids = [EventId(self._bus.identity.new("evt")) for _ in events]
        return draft(incident, events, self._owner, ids, self._clock.now())  # by the writer's clock, as on NATS


class ServerClock:
    """The port Clock as the server of the bus tells it: the true time."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def now(self) -> datetime:
        return self._loop.wall()

    def monotonic_s(self) -> float:
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        await self._loop.sleep(seconds)


def said_of(record: Recorded) -> str:
    """An event in a few words."""
    event = record.event
    values = ((name, getattr(event, name, None)) for name in _SAID)
    words = [event.name, *(f"{name}={value}" for name, value in values if value not in (None, ""))]
    if (plan := getattr(event, "plan", None)) is not None:
        words.append(f"runbook={plan.runbook.name} on {plan.cause.object} plan={plan.hash}")
    if (causes := getattr(event, "causes", None)) is not None:
        words.append("; ".join(f"{cause.code} at {cause.object} {cause.confidence:.2f}" for cause in causes[:3]))
    if (reading := getattr(event, "reading", None)) is not None:
        words.append(f"symptom {reading.symptom}: {reading.reason}")
    return " ".join(words)
