"""Whether an order of a person has a place where its incident stands: pure, total, and in words."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple, TypeAlias, assert_never

from services.gateway.orders import Approve, Close, Deny, Order, Pick, Take, Undo
from shared.domain.events import (
    ApprovalRequested,
    Approved,
    Base,
    Closed,
    Denied,
    Event,
    PlanPicked,
    Proposed,
    Recorded,
    TakenOver,
    TransactionOpened,
    UndoRequested,
    UndoWhy,
)
from shared.domain.ids import PlanHash, TransactionId
from shared.domain.incident import TRANSITIONS, Incident, State
from shared.domain.transaction import Outcome, Transaction


class Append(NamedTuple):
    """Record this."""

    event: Event
    lets_go: bool = False
    """The locks that a stuck transaction kept until a person decides are free again."""
    ends: bool = False
    """So is the incident's key."""


class Already(NamedTuple):
    """It is so already: a repeated order is no error."""

    note: str


class Refused(NamedTuple):
    """It has no place here (409)."""

    error: str
    advice: str


Decision: TypeAlias = Append | Already | Refused

_TAKEN: Final = frozenset({Outcome.UNDER_WAY, Outcome.KEPT, Outcome.STUCK})
"""Transactions that are in the cluster, as far as is known."""


def decide(order: Order, incident: Incident, history: Sequence[Recorded], now: datetime) -> Decision:
    """Say what an order leads to."""
    match order:
        case Approve():
            return _approve(order, incident, history, now)
        case Deny():
            return _deny(order, incident, history)
        case Take():
            return _take(order, incident)
        case Pick():
            return _pick(order, incident, history)
        case Close():
            return _close(order, incident)
        case Undo():
            return _undo(order, incident)
        case _:
            assert_never(order)


def _approve(order: Approve, incident: Incident, history: Sequence[Recorded], now: datetime) -> Decision:
    if incident.state is State.AWAITING_APPROVAL and incident.pending and incident.pending.hash == order.plan_hash:
        if incident.approval_expires_at and now >= incident.approval_expires_at:
            return Refused(
                f"the approval of plan {order.plan_hash} expired at {incident.approval_expires_at:%H:%M:%S} UTC",
                f"pick it instead: primum pick {incident.id}",
            )
        return Append(Approved(plan_hash=order.plan_hash, by=order.by))
    if order.plan_hash in _answered(history, Approved, PlanPicked):
        return Already(f"plan {order.plan_hash} was approved before")
    return _other_plan(order.plan_hash, incident)


def _deny(order: Deny, incident: Incident, history: Sequence[Recorded]) -> Decision:
    if incident.state is State.AWAITING_APPROVAL and incident.pending and incident.pending.hash == order.plan_hash:
        return Append(Denied(plan_hash=order.plan_hash, by=order.by, reason=order.reason))
    if order.plan_hash in _answered(history, Denied):
        return Already(f"plan {order.plan_hash} was denied before")
    return _other_plan(order.plan_hash, incident)


def _other_plan(asked: PlanHash, incident: Incident) -> Refused:
    if incident.state is State.AWAITING_APPROVAL and incident.pending:
        return Refused(
            f"plan {asked} is not the one that waits: {incident.pending.hash} ({incident.pending.runbook.name}) is",
            f"look at it again: primum show {incident.id}",
        )
    return Refused(f"incident {incident.id} waits for no approval: it is {_stands(incident)}", _look(incident))


def _take(order: Take, incident: Incident) -> Decision:
    if _has_place(incident, TakenOver):
        return Append(TakenOver(by=order.by))
    if incident.state is State.CLOSED:
        return _closed(incident)
    return Refused(
        f"incident {incident.id} cannot be taken while a transaction is under way: it is {_stands(incident)}",
        f"wait for its verdict, or take it back first: primum undo {_newest(incident)}",
    )


def _pick(order: Pick, incident: Incident, history: Sequence[Recorded]) -> Decision:
    if incident.approved == order.plan_hash:
        return Already(f"plan {order.plan_hash} was picked before")
    if not _has_place(incident, PlanPicked):
        return Refused(
            f"a plan can be picked in escalated and stuck; incident {incident.id} is {_stands(incident)}",
            f"take it first: primum take {incident.id}" if _has_place(incident, TakenOver) else _look(incident),
        )
    known = plans_shown(history)
    if order.plan_hash not in known:
        shown = ", ".join(known) or "none"
        return Refused(f"incident {incident.id} has no plan {order.plan_hash}; it has: {shown}", _look(incident))
    return Append(PlanPicked(plan_hash=order.plan_hash, by=order.by), lets_go=True)


def _close(order: Close, incident: Incident) -> Decision:
    if incident.state is State.CLOSED:
        return Already(f"incident {incident.id} is closed")
    if _has_place(incident, Closed):
        return Append(Closed(by=order.by, reason=order.reason), lets_go=True, ends=True)
    return Refused(
        f"escalated and stuck incidents can be closed; incident {incident.id} is {_stands(incident)}",
        f"take it first: primum take {incident.id}" if _has_place(incident, TakenOver) else _look(incident),
    )


def _undo(order: Undo, incident: Incident) -> Decision:
    known = incident.transaction_of(order.transaction)
    if known is None:
        return Refused(f"incident {incident.id} has no transaction {order.transaction}", _look(incident))
    if known.outcome in (Outcome.UNDOING, Outcome.UNDONE):
        return Already(f"transaction {known.id} is {known.outcome}")
    if (newest := _newest_taken(incident)) is not None and newest.id != known.id:
        return Refused(
            f"transaction {newest.id} came after {known.id} and must be taken back first", f"primum undo {newest.id}"
        )
    if not _has_place(incident, UndoRequested):
        return _closed(incident) if incident.state is State.CLOSED else _busy(incident)
    reason = order.reason or f"{order.by} asked for it"
    return Append(UndoRequested(transaction=known.id, why=UndoWhy.PERSON, reason=reason, by=order.by))


def _busy(incident: Incident) -> Refused:
    return Refused(f"nothing can be undone now: incident {incident.id} is {_stands(incident)}", _look(incident))


def _closed(incident: Incident) -> Refused:
    return Refused(
        f"incident {incident.id} is closed, its record is complete",
        "if the trouble is back its alert opens another incident",
    )


def _has_place(incident: Incident, event: type[Base]) -> bool:
    return (incident.state, event) in TRANSITIONS


def _answered(history: Sequence[Recorded], *answers: type[Approved | Denied | PlanPicked]) -> frozenset[PlanHash]:
    return frozenset(
        record.event.plan_hash
        for record in history
        if isinstance(record.event, Approved | Denied | PlanPicked) and isinstance(record.event, answers)
    )


def plans_shown(history: Sequence[Recorded]) -> tuple[PlanHash, ...]:
    """The plans that a person can have seen: asked about, proposed or carried out; newest first."""
    hashes = [
        record.event.plan.hash
        for record in reversed(history)
        if isinstance(record.event, ApprovalRequested | Proposed | TransactionOpened)
    ]
    return tuple(dict.fromkeys(hashes))


def _newest_taken(incident: Incident) -> Transaction | None:
    return next((known for known in reversed(incident.transactions) if known.outcome in _TAKEN), None)


def _newest(incident: Incident) -> TransactionId:
    newest = incident.undoing or incident.transaction
    return newest.id if newest else TransactionId("-")


def _stands(incident: Incident) -> str:
    return f"{incident.state} ({incident.reason})"


def _look(incident: Incident) -> str:
    return f"look where it stands: primum show {incident.id}"
