"""What must hold after every event of the ledger and every write to the cluster; it believes no service a word."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NoReturn

from eval.lab.kinds import Obj
from eval.lab.store import Change as StoreChange
from eval.lab.store import Store
from eval.simulation.bus import Asker, SimBus
from eval.simulation.cluster import CLUSTER, Written
from eval.simulation.story import Story
from shared.domain.change import Evict, Patch
from shared.domain.cluster import MARK, MARK_POINTER, Kind, Ref
from shared.domain.events import (
    Applied,
    ApprovalRequested,
    Approved,
    Intended,
    Kept,
    KeptMoreToDo,
    Opened,
    Owner,
    PlanPicked,
    Recorded,
    StepApplied,
    TransactionOpened,
    TransactionSeized,
    UndoIntended,
    Undone,
    UndoneForGood,
    UndoneUntried,
    UndoRequested,
    UndoStepApplied,
    UndoStuck,
    UndoWhy,
)
from shared.domain.ids import CorrelationKey, IncidentId, PlanHash, TransactionId
from shared.domain.incident import IGNORED, TRANSITIONS, State
from shared.domain.path import read
from shared.domain.policy import Mode
from shared.domain.runbook import Plan

_WATCHED: Final = frozenset({"Deployment", "Service", "Node"})


class InvariantBrokenError(Exception):
    """Something happened that must never happen: which promise, and how it was broken."""

    def __init__(self, invariant: str, how: str) -> None:
        super().__init__(f"{invariant}: {how}")
        self.invariant, self.how = invariant, how


@dataclass
class Deal:
    """A transaction as the ledger and the cluster show it."""

    id: TransactionId
    incident: IncidentId
    plan: Plan
    holder: str
    epoch: int
    state: str = "under way"
    """`under way`, `kept`, `undoing`, `undone` or `stuck`."""
    holds: bool = True
    intents: dict[int, tuple[Intended, float]] = field(default_factory=dict)
    written: set[int] = field(default_factory=set)
    seized_by: str = ""
    fenced: set[Ref] = field(default_factory=set)
    undo_intended: set[int] = field(default_factory=set)
    undone: set[int] = field(default_factory=set)
    by_order: bool = False
    """A person wants it taken back, whatever it was good for."""


@dataclass(frozen=True)
class Foreign:
    """A write of somebody else to what people write: never ours to take back."""

    at_s: float
    ref: Ref
    old: Obj
    new: Obj


class Referee:
    """Sees every stored event and every stored write at the moment it is stored. `broken` keeps the first breach."""

    def __init__(self, bus: SimBus, store: Store, story: Story, mode: Mode, ordered: Mapping[str, set[str]]) -> None:
        self._bus, self._store, self._story, self._mode, self._ordered = bus, store, story, mode, ordered
        self.broken: InvariantBrokenError | None = None
        self.states: dict[IncidentId, State] = {}
        self.keys: dict[IncidentId, CorrelationKey] = {}
        self.deals: dict[TransactionId, Deal] = {}
        self.foreign: list[Foreign] = []
        self.on_taken_back: Callable[[Deal, Patch], None] = lambda *_: None
        """Told of each change that undo takes back, when it is written."""
        self._sequences: dict[IncidentId, int] = {}
        self._asked: dict[tuple[IncidentId, PlanHash], Recorded] = {}
        self._approved: set[tuple[IncidentId, PlanHash]] = set()
        self._pause_reads: dict[Asker, str | None] = {}
        self._unclaimed: Foreign | None = None

    def whistle(self, breach: InvariantBrokenError) -> None:
        """Keep the first breach; what follows from it is not of interest."""
        if self.broken is None:
            self.broken = breach
            self._story.tell("BROKEN", "referee", str(breach))

    def _must(self, held: object, invariant: str, how: str) -> None:
        if not held:
            raise InvariantBrokenError(invariant, how)

    def _fail(self, invariant: str, how: str) -> NoReturn:
        raise InvariantBrokenError(invariant, how)

    # --- the ledger

    def on_pause_read(self, asker: Asker, said: str | None) -> None:
        self._pause_reads[asker] = said

    def on_stored(self, fresh: Sequence[Recorded]) -> None:
        """Look at what one landing stored, whole."""
        self._keep_unclaimed()
        if self.broken is not None:
            return
        try:
            for record in fresh:
                self._walk(record)
                self._deal(record)
            for record in fresh:
                self._keys(record)
                self._believed(record)
            self._locks()
        except InvariantBrokenError as breach:
            self.whistle(breach)

    def on_forged(self, record: Recorded) -> None:
        """Look at what somebody put there without its owner's key."""
        if self.broken is not None:
            return
        self._sequences[record.incident] = record.sequence
        try:
            self._believed(record)
        except InvariantBrokenError as breach:
            self.whistle(breach)

    def _believed(self, record: Recorded) -> None:
        """Every reader stands where what was said by the services leads, whatever else is stored beside it."""
        folded, state = self._bus.folded(record.incident), self.states.get(record.incident)
        how = f"{record.incident} is {state}, and whoever reads it takes it for {folded.state}"
        self._must(folded.state is state, "forgeries count for nothing", how)

    def _walk(self, record: Recorded) -> None:
        """Each step is in the table, by an owner, and after the last one."""
        incident, state = record.incident, self.states.get(record.incident)
        self._must(
            record.sequence > self._sequences.get(incident, 0), "order", f"{incident} has two events of one sequence"
        )
        self._sequences[incident] = record.sequence
        row = TRANSITIONS.get((state, type(record.event)))
        if row is None:
            ignored = state is not None and (state, type(record.event)) in IGNORED
            self._must(ignored, "legal walk", f"{incident}: {record.event.name} by {record.by} in {state}")
            return
        self._must(record.by in row.owners, "legal walk", f"{incident}: {record.event.name} is not the {record.by}'s")
        self.states[incident] = row.next
        if isinstance(record.event, Opened):
            self.keys[incident] = record.event.key

    def _keys(self, record: Recorded) -> None:
        """One open incident a cause group, and the key is its own."""
        key = self.keys.get(record.incident)
        open_ones = [known for known, at in self.keys.items() if at == key and self.states[known] is not State.CLOSED]
        self._must(len(open_ones) <= 1, "one open incident a key", f"{' and '.join(open_ones)} are open for {key}")
        for known in open_ones:
            self._must(
                self._bus.keys.get(self.keys[known]) == known,
                "one open incident a key",
                f"{known} is {self.states[known]} and does not hold its key",
            )

    def _locks(self) -> None:
        """Who holds, holds all of it; no two hold the same."""
        held: dict[Ref, TransactionId] = {}
        for deal in self.deals.values():
            if not deal.holds or deal.state not in ("under way", "undoing"):
                continue
            for ref in deal.plan.locked:
                lock = self._bus.locks.get(ref)
                mine = lock is not None and lock.held and lock.transaction == deal.id
                self._must(mine, "locks", f"{deal.id} is {deal.state} and does not hold {ref}: {lock}")
                self._must(ref not in held, "locks", f"{deal.id} and {held.get(ref)} both hold {ref}")
                held[ref] = deal.id

    # --- transactions

    def _deal(self, record: Recorded) -> None:  # noqa: C901, PLR0912 - one arm an event
        event = record.event
        match event:
            case ApprovalRequested():
                self._asked[record.incident, event.plan.hash] = record
            case Approved():
                self._approves(record, event)
            case PlanPicked():
                self._is_ordered("pick", record.incident, event.plan_hash)
                self._approved.add((record.incident, event.plan_hash))
            case TransactionOpened():
                self._opens(record, event)
            case Intended():
                self._intends(record, event)
            case StepApplied():
                self._by_holder(record, self.deals[event.transaction])
                self._must(
                    event.step in self.deals[event.transaction].written or self._is_gone(event),
                    "said and done",
                    f"{event.transaction} says that step {event.step} was written, and it was not",
                )
            case Applied():
                self._by_holder(record, self.deals[event.transaction])
            case Kept() | KeptMoreToDo():
                deal = self.deals[event.transaction]  # any mitigator judges what is written whole
                deal.state, deal.holds = "kept", False
            case UndoRequested():
                deal = self.deals[event.transaction]
                self._alone(deal, "is to be undone")
                if deal.state != "undoing":
                    deal.holds = deal.state == "under way"
                    deal.state, deal.seized_by = "undoing", ""
                    deal.by_order = event.why is UndoWhy.PERSON
                    deal.undo_intended, deal.undone = set(), set()
            case TransactionSeized():
                deal = self.deals[event.transaction]
                deal.seized_by, deal.epoch, deal.holds = event.holder, record.sequence, True
                deal.fenced = set()
            case UndoIntended():
                self._by_seizer(record, self.deals[event.transaction])
                self.deals[event.transaction].undo_intended.add(event.step)
            case UndoStepApplied():
                self._by_seizer(record, self.deals[event.transaction])
                self.deals[event.transaction].undone.add(event.step)
            case Undone() | UndoneUntried() | UndoneForGood():
                self._undone(record, event)
            case UndoStuck():
                self._by_verifier(record, self.deals[event.transaction])
                self.deals[event.transaction].state = "stuck"
            case _:
                pass

    def _approves(self, record: Recorded, event: Approved) -> None:
        asked = self._asked.get((record.incident, event.plan_hash))
        self._must(asked, "approvals", f"{record.incident}: {event.plan_hash} is approved and was never asked for")
        self._is_ordered("approve", record.incident, event.plan_hash)
        if asked and isinstance(asked.event, ApprovalRequested) and record.at <= asked.event.expires_at:
            self._approved.add((record.incident, event.plan_hash))

    def _is_ordered(self, order: str, incident: IncidentId, plan: PlanHash) -> None:
        said = f"{incident} {plan}" in self._ordered[order]
        self._must(said, "approvals", f"{incident}: nobody ordered to {order} {plan}")

    def _opens(self, record: Recorded, event: TransactionOpened) -> None:
        deal = Deal(event.transaction, record.incident, event.plan, event.holder, record.sequence)
        self._alone(deal, "begins")
        self._must(event.transaction not in self.deals, "one transaction at a time", f"{deal.id} begins twice")
        self.deals[deal.id] = deal
        self._by_holder(record, deal)
        self._not_paused(f"{deal.id} begins")
        approved = (record.incident, event.plan.hash) in self._approved
        if self._mode is Mode.OBSERVE:
            self._fail("approvals", f"{deal.id} begins in observe mode")
        elif self._mode is Mode.SUGGEST or event.plan.destructive:
            self._must(approved, "approvals", f"{deal.id} begins without an approval of {event.plan.hash}")

    def _alone(self, deal: Deal, what: str) -> None:
        """No other transaction of its incident is under way."""
        others = [one.id for one in self.deals.values() if one.incident == deal.incident and one.id != deal.id]
        under_way = [one for one in others if self.deals[one].state in ("under way", "undoing")]
        self._must(not under_way, "one transaction at a time", f"{deal.id} {what} beside {under_way}")

    def _intends(self, record: Recorded, event: Intended) -> None:
        deal = self.deals[event.transaction]
        self._by_holder(record, deal)
        self._not_paused(f"{deal.id} goes on with step {event.step}")
        self._must(event.step not in deal.intents, "written down first", f"{deal.id} intends step {event.step} twice")
        planned = event.step < len(deal.plan.changes) and deal.plan.changes[event.step] == event.change
        self._must(planned, "written down first", f"{deal.id} intends what is not step {event.step} of its plan")
        deal.intents[event.step] = (event, self._now_s())

    def _undone(self, record: Recorded, event: Undone | UndoneUntried | UndoneForGood) -> None:
        deal = self.deals[event.transaction]
        self._by_verifier(record, deal)
        left = sorted(set(deal.intents) - deal.undone)
        self._must(not left, "nothing is left behind", f"{deal.id} is said to be undone, steps {left} were not")
        deal.state, deal.holds = "undone", False
        for step, (intended, at_s) in deal.intents.items():
            self._no_residue(deal, step, intended, at_s)

    def _no_residue(self, deal: Deal, step: int, intended: Intended, at_s: float) -> None:
        if not isinstance(intended.change, Patch):
            return
        ref = intended.change.ref
        stored = self._store.find(str(ref.kind), ref.namespace, ref.name)
        for edit in intended.change.edits:
            was = read(intended.pre_image, edit.path)
            now = read(stored, edit.path) if stored else None
            if now != was and not self._edited(ref, edit.path, at_s):
                self._fail("nothing is left behind", f"{deal.id} step {step}: {ref} {edit.path} is {now}, was {was}")

    def _edited(self, ref: Ref, path: str, since_s: float) -> bool:
        """Whether somebody else changed that value since."""
        return any(
            other.ref == ref and other.at_s >= since_s and read(other.old, path) != read(other.new, path)
            for other in self.foreign
        )

    def _by_holder(self, record: Recorded, deal: Deal) -> None:
        asker = self._bus.asker
        self._must(
            asker is not None and asker.process.holder == deal.holder,
            "only its holder goes on",
            f"{deal.id} of {deal.holder}: {record.event.name} by {asker.process.name if asker else 'nobody'}",
        )

    def _by_seizer(self, record: Recorded, deal: Deal) -> None:
        asker = self._bus.asker
        self._must(
            asker is not None and asker.process.holder == deal.seized_by,
            "only who seized it undoes it",
            f"{deal.id} of {deal.seized_by}: {record.event.name} by {asker.process.name if asker else 'nobody'}",
        )

    def _by_verifier(self, record: Recorded, deal: Deal) -> None:
        """Once all is back, any undo process may say how that looks."""
        if not set(deal.intents) <= deal.undone:
            self._by_seizer(record, deal)

    def _not_paused(self, what: str) -> None:
        """It looked whether Primum is paused before each step, and was told that it is not."""
        asker = self._bus.asker
        if asker is None or asker not in self._pause_reads:
            self._fail("nothing while paused", f"{what}, and nobody looked whether Primum is paused")
        said = self._pause_reads.pop(asker)
        self._must(said is None, "nothing while paused", f"{what}, paused: {said}")

    def _is_gone(self, event: StepApplied) -> bool:
        """A pod that was gone already needs no eviction."""
        intended, _ = self.deals[event.transaction].intents[event.step]
        if not isinstance(intended.change, Evict):
            return False
        ref = intended.change.ref
        now = self._store.find("Pod", ref.namespace, ref.name)
        return now is None or now["metadata"]["uid"] != intended.change.uid

    # --- the cluster

    def on_change(self, change: StoreChange) -> None:
        """Anything that the store stored; what no process of ours claims is somebody else's."""
        self._keep_unclaimed()
        if change.kind in _WATCHED and change.old is not None and change.obj.get("spec") != change.old.get("spec"):
            meta = change.obj["metadata"]
            ref = Ref(cluster=CLUSTER, kind=Kind(change.kind), namespace=meta.get("namespace", ""), name=meta["name"])
            self._unclaimed = Foreign(self._now_s(), ref, change.old, change.obj)

    def _keep_unclaimed(self) -> None:
        if self._unclaimed is not None:
            self.foreign.append(self._unclaimed)
            self._story.tell("cluster", "somebody", f"writes {self._unclaimed.ref}")
            self._unclaimed = None

    def on_write(self, written: Written) -> None:
        """A write of ours that was stored."""
        self._unclaimed = None
        if self.broken is not None:
            return
        try:
            self._judge(written)
        except InvariantBrokenError as breach:
            self.whistle(breach)

    def _judge(self, written: Written) -> None:
        process, ref = written.process, written.ref
        mark = next((op["value"] for op in written.operations if op["path"] == MARK_POINTER and "value" in op), None)
        if mark is None and not written.evicted:
            labels = next((op["value"] for op in written.operations if op["path"] == "/metadata/labels"), None)
            mark = labels.get(MARK) if isinstance(labels, dict) else None
        spec = written.old.get("spec") != written.new.get("spec")
        what = "evicts" if written.evicted else "writes" if spec else "marks"
        self._story.tell("write", process.name, f"{what} {ref} {mark or ''}".rstrip())
        if written.evicted:
            self._evicted(written)
            return
        if mark is None:  # a mark taken off, so that putting it on again bumps the version
            self._must(not spec, "written down first", f"{process.name} writes {ref} without a mark")
            return
        name, epoch = str(mark).split(".")[:2]
        deal = self.deals.get(TransactionId(name))
        if deal is None:
            self._fail(
                "written down first", f"{process.name} writes {ref} for {mark}, of which the ledger knows nothing"
            )
        elif process.owner is Owner.MITIGATOR:
            self._mitigates(deal, written, int(epoch))
        elif process.owner is Owner.UNDO:
            self._undoes(deal, written, int(epoch), spec=spec)
        else:
            self._fail("written down first", f"{process.name} writes {ref}: it may write nothing")

    def _mitigates(self, deal: Deal, written: Written, epoch: int) -> None:
        ref = written.ref
        steps = [
            step
            for step, (intended, _) in deal.intents.items()
            if isinstance(intended.change, Patch)
            and intended.change.ref == ref
            and all(
                read(written.new, edit.path) == read(intended.post_image, edit.path) for edit in intended.change.edits
            )
        ]
        self._must(steps, "written down first", f"{deal.id} writes {ref}, and did not intend to")
        deal.written.update(steps)
        self._must(
            deal.state in ("under way", "undoing"), "no late writes", f"{deal.id} is {deal.state}: {ref} is written"
        )
        self._must(
            ref not in deal.fenced,
            "no late writes",
            f"{deal.id}: {written.process.name} got through the fence on {ref}",
        )
        self._must(epoch == deal.epoch or deal.seized_by, "no late writes", f"{deal.id} writes with epoch {epoch}")
        self._holds_all(deal, ref)

    def _undoes(self, deal: Deal, written: Written, epoch: int, *, spec: bool) -> None:
        ref = written.ref
        self._must(deal.state == "undoing", "no late writes", f"{deal.id} is {deal.state}, and undo writes {ref}")
        self._must(
            epoch == deal.epoch and written.process.holder == deal.seized_by,
            "no late writes",
            f"{deal.id} of epoch {deal.epoch}, {deal.seized_by}: {written.process.name} writes {ref} with {epoch}",
        )
        self._holds_all(deal, ref)
        if not spec:
            deal.fenced.add(ref)
            return
        steps = [step for step, (intended, _) in deal.intents.items() if intended.change.ref == ref]
        said = [step for step in steps if step in deal.undo_intended]
        self._must(said, "written down first", f"{deal.id}: undo writes {ref}, and did not say so before")
        for step in said:
            change = deal.intents[step][0].change
            if step not in deal.undone and isinstance(change, Patch):
                self.on_taken_back(deal, change)

    def _evicted(self, written: Written) -> None:
        """An eviction bears no mark: of those who intended it, one after the other, it is its own holder's."""
        uid, who = written.old["metadata"]["uid"], written.process
        own = [
            (deal, step)
            for deal in self.deals.values()
            for step, (intended, _) in deal.intents.items()
            if deal.holder == who.holder and isinstance(intended.change, Evict) and intended.change.uid == uid
        ]
        if not own:
            self._fail("written down first", f"{who.name} evicts {written.ref}, and did not intend to")
        deal, step = own[-1]
        deal.written.add(step)
        self._must(deal.state in ("under way", "undoing"), "no late writes", f"{deal.id} is {deal.state}, and evicts")

    def _holds_all(self, deal: Deal, ref: Ref) -> None:
        self._must(ref in deal.plan.locked, "locks", f"{deal.id} writes {ref}, which its plan does not lock")
        for one in deal.plan.locked:
            lock = self._bus.locks.get(one)
            mine = lock is not None and lock.held and lock.transaction == deal.id
            self._must(mine, "locks", f"{deal.id} writes {ref} and does not hold {one}: {lock}")

    def _now_s(self) -> float:
        return self._bus.way.loop.time()
