"""The transition table is the machine: an incident's state is the fold of its events, and nothing else."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final, NamedTuple, assert_never

from pydantic import AwareDatetime

from shared.domain.cause import Cause
from shared.domain.cluster import Ref
from shared.domain.errors import IllegalTransition, WrittenByNewer
from shared.domain.events import (
    Applied,
    ApprovalExpired,
    ApprovalRequested,
    Approved,
    Base,
    Cleared,
    Closed,
    CouldNotLook,
    Deferred,
    Denied,
    Diagnosed,
    DiagnosisStarted,
    Event,
    Intended,
    Kept,
    KeptMoreToDo,
    Merged,
    NoPlanLeft,
    NothingFound,
    Opened,
    Owner,
    PlanPicked,
    Proposed,
    Quiet,
    Recorded,
    Relapsed,
    Stale,
    StepApplied,
    TakenOver,
    TransactionOpened,
    TransactionSeized,
    UndoIntended,
    Undone,
    UndoneForGood,
    UndoneUntried,
    UndoRequested,
    UndoStepApplied,
    UndoStuck,
)
from shared.domain.frozen import Frozen
from shared.domain.ids import ClusterName, CorrelationKey, Epoch, EventId, IncidentId, PlanHash, TransactionId
from shared.domain.runbook import Plan
from shared.domain.transaction import Outcome, Transaction


class State(StrEnum):
    """Where an incident stands. `resolved` is a watch window, `closed` is the end."""

    DETECTED = "detected"
    DIAGNOSING = "diagnosing"
    PLANNING = "planning"
    AWAITING_APPROVAL = "awaiting_approval"
    MITIGATING = "mitigating"
    VALIDATING = "validating"
    UNDOING = "undoing"
    RESOLVED = "resolved"
    ESCALATED = "escalated"
    STUCK = "stuck"
    CLOSED = "closed"


class Row(NamedTuple):
    """What an event leads to, and which services may append it there."""

    next: State
    owners: frozenset[Owner]


def _row(state: State, *owners: Owner) -> Row:
    return Row(state, frozenset(owners))


_BEFORE_A_TRANSACTION: Final = (State.DETECTED, State.DIAGNOSING, State.PLANNING, State.AWAITING_APPROVAL)

TRANSITIONS: Final[Mapping[tuple[State | None, type[Base]], Row]] = {
    (None, Opened): _row(State.DETECTED, Owner.DETECTOR),
    (State.DETECTED, DiagnosisStarted): _row(State.DIAGNOSING, Owner.DIAGNOSER),
    (State.DIAGNOSING, Diagnosed): _row(State.PLANNING, Owner.DIAGNOSER),
    (State.DIAGNOSING, NothingFound): _row(State.ESCALATED, Owner.DIAGNOSER),
    (State.DIAGNOSING, CouldNotLook): _row(State.ESCALATED, Owner.DIAGNOSER),
    (State.PLANNING, TransactionOpened): _row(State.MITIGATING, Owner.MITIGATOR),
    (State.PLANNING, ApprovalRequested): _row(State.AWAITING_APPROVAL, Owner.MITIGATOR),
    (State.PLANNING, Proposed): _row(State.ESCALATED, Owner.MITIGATOR),
    (State.PLANNING, NoPlanLeft): _row(State.ESCALATED, Owner.MITIGATOR),
    (State.PLANNING, Deferred): _row(State.PLANNING, Owner.MITIGATOR),
    (State.PLANNING, Stale): _row(State.DIAGNOSING, Owner.MITIGATOR),
    (State.AWAITING_APPROVAL, Approved): _row(State.PLANNING, Owner.GATEWAY),
    (State.AWAITING_APPROVAL, Denied): _row(State.PLANNING, Owner.GATEWAY),
    (State.AWAITING_APPROVAL, ApprovalExpired): _row(State.ESCALATED, Owner.MITIGATOR),
    (State.MITIGATING, Intended): _row(State.MITIGATING, Owner.MITIGATOR),
    (State.MITIGATING, StepApplied): _row(State.MITIGATING, Owner.MITIGATOR),
    (State.MITIGATING, Applied): _row(State.VALIDATING, Owner.MITIGATOR),
    (State.MITIGATING, UndoRequested): _row(State.UNDOING, Owner.MITIGATOR, Owner.UNDO, Owner.GATEWAY),
    (State.VALIDATING, UndoRequested): _row(State.UNDOING, Owner.MITIGATOR, Owner.UNDO, Owner.GATEWAY),
    (State.VALIDATING, Kept): _row(State.RESOLVED, Owner.MITIGATOR),
    (State.VALIDATING, KeptMoreToDo): _row(State.DIAGNOSING, Owner.MITIGATOR),
    (State.UNDOING, TransactionSeized): _row(State.UNDOING, Owner.UNDO),
    (State.UNDOING, UndoIntended): _row(State.UNDOING, Owner.UNDO),
    (State.UNDOING, UndoStepApplied): _row(State.UNDOING, Owner.UNDO),
    (State.UNDOING, Undone): _row(State.DIAGNOSING, Owner.UNDO),
    (State.UNDOING, UndoneUntried): _row(State.PLANNING, Owner.UNDO),
    (State.UNDOING, UndoneForGood): _row(State.ESCALATED, Owner.UNDO),
    (State.UNDOING, UndoStuck): _row(State.STUCK, Owner.UNDO),
    (State.RESOLVED, Relapsed): _row(State.DIAGNOSING, Owner.DETECTOR),
    (State.RESOLVED, Quiet): _row(State.CLOSED, Owner.DETECTOR),
    (State.RESOLVED, UndoRequested): _row(State.UNDOING, Owner.MITIGATOR, Owner.GATEWAY),
    **{
        (state, UndoRequested): _row(State.UNDOING, Owner.GATEWAY)
        for state in (State.DIAGNOSING, State.PLANNING, State.AWAITING_APPROVAL, State.ESCALATED, State.STUCK)
    },
    **{(state, Cleared): _row(State.RESOLVED, Owner.DETECTOR) for state in (*_BEFORE_A_TRANSACTION, State.ESCALATED)},
    **{(state, Merged): _row(State.CLOSED, Owner.DETECTOR) for state in (*_BEFORE_A_TRANSACTION, State.ESCALATED)},
    **{
        (state, TakenOver): _row(State.ESCALATED, Owner.GATEWAY)
        for state in (*_BEFORE_A_TRANSACTION, State.RESOLVED, State.ESCALATED, State.STUCK)
    },
    (State.ESCALATED, PlanPicked): _row(State.PLANNING, Owner.GATEWAY),
    (State.STUCK, PlanPicked): _row(State.PLANNING, Owner.GATEWAY),
    (State.ESCALATED, Closed): _row(State.CLOSED, Owner.GATEWAY),
    (State.STUCK, Closed): _row(State.CLOSED, Owner.GATEWAY),
}

IGNORED: Final[frozenset[tuple[State, type[Base]]]] = frozenset(
    {
        (State.RESOLVED, Cleared),
        (State.CLOSED, Cleared),
        (State.CLOSED, Quiet),
        (State.CLOSED, Closed),
        (State.CLOSED, Merged),
        (State.UNDOING, UndoRequested),
    }
)
"""Late repeats that are harmless: they are recorded and change nothing."""

NEEDS_A_PERSON: Final = frozenset({State.AWAITING_APPROVAL, State.ESCALATED, State.STUCK})


def advance(state: State | None, event: Base) -> State | None:
    """Return the state after `event`. Raises IllegalTransition, and then nothing has changed."""
    if row := TRANSITIONS.get((state, type(event))):
        return row.next
    if state is not None and (state, type(event)) in IGNORED:
        return state
    raise IllegalTransition(f"{event.name} has no place in {state or 'an incident that was never opened'}")


class Incident(Frozen):
    """The fold of an incident's events; `sequence` is the ledger's, for the next compare-and-swap."""

    id: IncidentId
    sequence: int = 0
    state: State | None = None
    cluster: ClusterName = ClusterName("")
    key: CorrelationKey = CorrelationKey("")
    root: Ref | None = None
    title: str = ""
    opened_at: AwareDatetime | None = None
    updated_at: AwareDatetime | None = None
    causes: tuple[Cause, ...] = ()
    diagnosed_at: AwareDatetime | None = None
    transactions: tuple[Transaction, ...] = ()
    pending: Plan | None = None
    """The plan that a person was asked about, or that was proposed."""
    approval_expires_at: AwareDatetime | None = None
    approved: PlanHash | None = None
    excluded: frozenset[PlanHash] = frozenset()
    barred: frozenset[tuple[Ref, str]] = frozenset()
    """(object at fault, runbook) pairs that were undone here."""
    untried: tuple[PlanHash, ...] = ()
    taken_by: str = ""
    """Who took it over; nobody, once a plan was picked or the symptom left."""
    deferred_until: AwareDatetime | None = None
    reason: str = ""
    """Why it stands where it stands, in a sentence."""
    states: tuple[State, ...] = ()
    """Every state it went through, in order."""
    last: EventId = EventId("")
    """The newest event that counted: the next one must name it."""
    refused: int = 0
    """Messages on its subjects that count for nothing: forged, altered, replayed, or out of place."""
    beyond: bool = False
    """Its owners said more than this version can read; what it is now is not known here."""

    def understood(self) -> "Incident":
        """Return it for acting on. Raises WrittenByNewer if it is beyond this version."""
        if self.beyond:
            raise WrittenByNewer(f"incident {self.id} was carried on by a newer Primum")
        return self

    @property
    def open(self) -> bool:
        return self.state not in (None, State.CLOSED)

    @property
    def transaction(self) -> Transaction | None:
        """The newest transaction, if there is one."""
        return self.transactions[-1] if self.transactions else None

    def transaction_of(self, transaction: TransactionId) -> Transaction | None:
        return next((known for known in self.transactions if known.id == transaction), None)

    @property
    def undoing(self) -> Transaction | None:
        """The transaction that is being taken back: not always the newest one."""
        return next((known for known in self.transactions if known.outcome is Outcome.UNDOING), None)


def fold(incident: IncidentId, recorded: Iterable[Recorded]) -> Incident:
    """Return the incident that these events, in ledger order, make. Raises IllegalTransition."""
    folded = Incident(id=incident)
    for record in recorded:
        folded = apply(folded, record)
    return folded


def apply(incident: Incident, record: Recorded) -> Incident:
    """Return the incident after one more event. Raises IllegalTransition."""
    state = advance(incident.state, record.event)
    if (incident.state, type(record.event)) not in TRANSITIONS:
        # ignored: on record, and nothing more
        return incident.model_copy(update={"sequence": record.sequence, "last": record.id})
    moved = incident.model_copy(
        update={
            "sequence": record.sequence,
            "last": record.id,
            "state": state,
            "updated_at": record.at,
            "states": incident.states if state is incident.state else (*incident.states, state),
        }
    )
    return moved.model_copy(update=_changes(incident, record))


def _changes(incident: Incident, record: Recorded) -> Mapping[str, object]:  # noqa: C901, PLR0911, PLR0912 - one arm an event
    event: Event = record.event
    match event:
        case Opened():
            return {
                "cluster": event.cluster,
                "key": event.key,
                "root": event.root,
                "title": event.title,
                "opened_at": record.at,
                "reason": event.grouped_because,
            }
        case Cleared() | Relapsed():
            return {"reason": event.reading.reason, "approved": None, "taken_by": ""}
        case Merged() | Quiet() | Stale():
            return {"reason": event.reason, "approved": None}
        case Deferred():
            return {"reason": event.reason, "deferred_until": event.until}
        case DiagnosisStarted():
            return {"reason": "looking for the cause"}
        case Diagnosed():
            return {"causes": event.causes, "diagnosed_at": record.at, "reason": event.causes[0].summary}
        case NothingFound():
            return {"causes": (), "reason": f"nothing found in {', '.join(event.looked_at)}"}
        case CouldNotLook():
            return {"causes": (), "reason": event.reason}
        case ApprovalRequested():
            return {"pending": event.plan, "approval_expires_at": event.expires_at, "reason": event.reason}
        case Proposed():
            return {"pending": event.plan, "reason": event.reason}
        case NoPlanLeft():
            return {"reason": "no plan is left: " + "; ".join(event.considered)}
        case Approved() if incident.approval_expires_at is not None and record.at > incident.approval_expires_at:
            # It is on the ledger and cannot be unread: it counts for nothing, and the plan is asked for again.
            return {"approved": None, "reason": f"the approval by {event.by} came after it had expired"}
        case Approved() | PlanPicked():
            return {"approved": event.plan_hash, "reason": f"approved by {event.by}", "taken_by": ""}
        case Denied():
            return {
                "excluded": incident.excluded | {event.plan_hash},
                "reason": f"denied by {event.by}: {event.reason}",
            }
        case ApprovalExpired():
            return {"reason": "nobody answered before the approval expired"}
        case TakenOver():
            return {"reason": f"taken over by {event.by}", "approved": None, "taken_by": event.by}
        case Closed():
            return {"reason": f"closed by {event.by}: {event.reason}"}
        case TransactionOpened():
            return _opened(incident, record, event)
        case (
            Intended()
            | StepApplied()
            | Applied()
            | Kept()
            | KeptMoreToDo()
            | UndoRequested()
            | TransactionSeized()
            | UndoIntended()
            | UndoStepApplied()
            | Undone()
            | UndoneUntried()
            | UndoneForGood()
            | UndoStuck()
        ):
            return _in_transaction(incident, record, event)
        case _:
            assert_never(event)


def _opened(incident: Incident, record: Recorded, event: TransactionOpened) -> Mapping[str, object]:
    transaction = Transaction(
        id=event.transaction,
        plan=event.plan,
        holder=event.holder,
        epoch=Epoch(record.sequence),
        opened_at=record.at,
        before=event.before,
        symptom_before=event.symptom_before,
    )
    return {
        "transactions": (*incident.transactions, transaction),
        "pending": None,
        "approved": None,
        "deferred_until": None,
        "reason": event.permitted_because,
    }


_InTransaction = (
    Intended
    | StepApplied
    | Applied
    | Kept
    | KeptMoreToDo
    | UndoRequested
    | TransactionSeized
    | UndoIntended
    | UndoStepApplied
    | Undone
    | UndoneUntried
    | UndoneForGood
    | UndoStuck
)


_IN_THE_CLUSTER: Final = frozenset({Outcome.KEPT, Outcome.STUCK})
_CONCERNED: Final[Mapping[State | None, frozenset[Outcome]]] = {
    State.MITIGATING: frozenset({Outcome.UNDER_WAY}),
    State.VALIDATING: frozenset({Outcome.UNDER_WAY}),
    State.UNDOING: frozenset({Outcome.UNDOING}),
}
"""Which transactions an event can be about: the one under way, the one being taken back, else one that stayed.

Else a holder that wakes up late could ask for its old transaction's undo while the next one writes, and orphan that.
"""


def _in_transaction(incident: Incident, record: Recorded, event: _InTransaction) -> Mapping[str, object]:
    known = incident.transaction_of(event.transaction)
    if known is None:
        raise IllegalTransition(f"{event.name} names transaction {event.transaction}, which was never opened")
    if known.outcome not in _CONCERNED.get(incident.state, _IN_THE_CLUSTER):
        raise IllegalTransition(f"{event.name} names transaction {known.id}, which is {known.outcome}")
    changed = known.model_copy(update=_transaction_changes(known, record, event))
    changes: dict[str, object] = {
        "transactions": tuple(changed if other.id == known.id else other for other in incident.transactions)
    }
    match event:
        case Kept() | KeptMoreToDo() | UndoRequested() | UndoStuck():
            changes["reason"] = event.reason
        case Undone() | UndoneForGood():
            changes["reason"] = event.verified.reason
            changes["excluded"] = incident.excluded | {known.plan.hash}
            changes["barred"] = incident.barred | {(known.plan.cause.object, known.plan.runbook.name)}
        case UndoneUntried():
            changes["reason"] = event.verified.reason
            changes["untried"] = (*incident.untried, known.plan.hash)
        case _:
            pass
    return changes


def _transaction_changes(known: Transaction, record: Recorded, event: _InTransaction) -> Mapping[str, object]:  # noqa: C901, PLR0911, PLR0912 - one arm an event
    match event:
        case Intended():
            return {"intents": (*known.intents, event)}
        case StepApplied():
            return {"steps_applied": known.steps_applied | {event.step}}
        case Applied():
            return {"applied_at": record.at, "judge_by": event.judge_by}
        case Kept():
            return {
                "outcome": Outcome.KEPT,
                "verdict": event.verdict,
                "after": event.after,
                "unproven": event.unproven,
            }
        case KeptMoreToDo():
            return {"outcome": Outcome.KEPT, "verdict": event.verdict, "after": event.after}
        case UndoRequested():
            return {
                "outcome": Outcome.UNDOING,
                "undo_why": event.why,
                "undo_requested_at": record.at,
                "verdict": event.verdict or known.verdict,
                "after": event.after or known.after,
                "seized_by": None,
                "undo_intended": frozenset(),
                "steps_undone": frozenset(),
            }
        case TransactionSeized():
            return {"seized_by": event.holder, "epoch": Epoch(record.sequence)}
        case UndoIntended():
            return {"undo_intended": known.undo_intended | {event.step}}
        case UndoStepApplied():
            return {"steps_undone": known.steps_undone | {event.step}}
        case Undone() | UndoneForGood():
            return {"outcome": Outcome.UNDONE}
        case UndoneUntried():
            return {"outcome": Outcome.UNDONE, "untried": True}
        case UndoStuck():
            return {"outcome": Outcome.STUCK}
        case _:
            assert_never(event)
