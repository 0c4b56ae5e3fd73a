"""A transaction: one plan, carried out under locks, judged, and then kept or taken back."""

from enum import StrEnum

from pydantic import AwareDatetime

from shared.domain.cluster import Ref
from shared.domain.events import Intended, UndoWhy
from shared.domain.frozen import Frozen
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


class Lock(Frozen):
    """The last word on `primum.lock.<workload>`: who holds it, or that nobody does."""

    workload: Ref
    incident: IncidentId
    transaction: TransactionId
    held: bool


def locks_for(incident: IncidentId, transaction: TransactionId, plan: Plan, *, held: bool) -> tuple[Lock, ...]:
    """The locks of a whole transaction, taken or let go together."""
    return tuple(Lock(workload=ref, incident=incident, transaction=transaction, held=held) for ref in plan.locked)
