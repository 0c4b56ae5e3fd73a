"""A transaction: one plan, carried out under locks, judged, and then kept or taken back."""

from enum import StrEnum

from pydantic import AwareDatetime

from shared.domain.cluster import Ref
from shared.domain.events import Intended, UndoWhy
from shared.domain.frozen import Frozen, Json
from shared.domain.health import Health, SymptomReading, Verdict
from shared.domain.ids import Epoch, HolderId, IncidentId, TransactionId
from shared.domain.runbook import Plan


class Outcome(StrEnum):
    """How it stands with a transaction."""

    UNDER_WAY = "under-way"
    KEPT = "kept"
    UNDOING = "undoing"
    UNDONE = "undone"
    STUCK = "stuck"


class Transaction(Frozen):
    """The fold of one transaction's events."""

    id: TransactionId
    plan: Plan
    holder: HolderId
    epoch: Epoch
    opened_at: AwareDatetime
    before: Health
    symptom_before: SymptomReading
    intents: tuple[Intended, ...] = ()
    steps_applied: frozenset[int] = frozenset()
    applied_at: AwareDatetime | None = None
    judge_by: AwareDatetime | None = None
    verdict: Verdict | None = None
    after: Health | None = None
    unproven: bool = False
    outcome: Outcome = Outcome.UNDER_WAY
    undo_why: UndoWhy | None = None
    undo_requested_at: AwareDatetime | None = None
    seized_by: HolderId | None = None
    undo_intended: frozenset[int] = frozenset()
    steps_undone: frozenset[int] = frozenset()
    untried: bool = False
    """Undone because its holder died: nothing was judged."""

    @property
    def scope(self) -> tuple[Ref, ...]:
        return self.plan.scope

    @property
    def mark(self) -> str:
        """The value of the label on what it writes: names the transaction and the fencing epoch."""
        return f"{self.id}.{self.epoch}"

    def mark_back(self, step: int) -> str:
        """The value of the label on an object as undo's write of that step leaves it."""
        return f"{self.mark}.back-{step}"

    def put_back(self, step: int, mark: Json) -> bool:
        """Whether an object with this mark was put back, in that step or in one that is undone after it."""
        _, _, last = str(mark).partition(".back-")
        return self.marked(mark) and last.isdecimal() and int(last) <= step

    def marked(self, mark: Json) -> bool:
        """Whether this transaction set the mark, under whatever epoch."""
        return str(mark).startswith(f"{self.id}.")


class Lock(Frozen):
    """The last word on `primum.lock.<workload>`: who holds it, or that nobody does."""

    workload: Ref
    incident: IncidentId
    transaction: TransactionId
    held: bool


def locks_for(incident: IncidentId, transaction: TransactionId, plan: Plan, *, held: bool) -> tuple[Lock, ...]:
    """The locks of a whole transaction, taken or let go together."""
    return tuple(Lock(workload=ref, incident=incident, transaction=transaction, held=held) for ref in plan.locked)
