"""What must hold before anything is appended: the table, the ownership, the locks. Every ledger asks here."""

from collections.abc import Sequence
from datetime import datetime

from shared.domain.authority import MAY_NOTE
from shared.domain.errors import Conflict, IllegalTransition
from shared.domain.events import Base, Event, Fact, Owner, Recorded
from shared.domain.ids import EventId
from shared.domain.incident import TRANSITIONS, Incident, State, apply
from shared.domain.transaction import Lock


def draft(
    incident: Incident, events: Sequence[Event], owner: Owner, ids: Sequence[EventId], at: datetime
) -> tuple[Recorded, ...]:
    """Make the records of an append, with sequences that only order them.

    Raises IllegalTransition if the table has no place for an event there, or gives it to another service, and
    WrittenByNewer for an incident that is beyond this version.
    """
    if not events:
        raise ValueError("an append has at least one event")
    incident = incident.understood()
    drafts: list[Recorded] = []
    for event, event_id in zip(events, ids, strict=True):
        if owner not in owners_in(incident.state, event):
            raise IllegalTransition(f"{event.name} is not the {owner}'s to append in {incident.state or 'nothing'}")
        record = Recorded(
            incident=incident.id,
            id=event_id,
            sequence=incident.sequence + 1,
            at=at,
            by=owner,
            event=event,
            follows=incident.last,
        )
        incident = apply(incident, record)
        drafts.append(record)
    return tuple(drafts)


def numbered(incident: Incident, drafts: Sequence[Recorded], first: int) -> Incident:
    """Return the incident after these records, now that the ledger stored them one after the other from `first`."""
    for sequence, record in enumerate(drafts, start=first):
        incident = apply(incident, record.model_copy(update={"sequence": sequence}))
    return incident


def owners_in(state: State | None, event: Base) -> frozenset[Owner]:
    """Say who may append an event in a state; where the table has no row, everybody who may anywhere.

    That is for the late repeats that change nothing; what is illegal is refused by `advance`, whoever it is.
    """
    if row := TRANSITIONS.get((state, type(event))):
        return row.owners
    return frozenset(
        owner for (_, known), row in TRANSITIONS.items() if isinstance(event, known) for owner in row.owners
    )


def owners_of(state: State | None) -> frozenset[Owner]:
    """Say who may append anything at all in a state."""
    return frozenset(owner for (known, _), row in TRANSITIONS.items() if known is state for owner in row.owners)


def check_lock(current: Lock | None, wanted: Lock) -> None:
    """Raise Conflict unless the lock may become `wanted`.

    To take it, it must be free or held by the same transaction; to release it, held by that one.
    """
    held_by = current.transaction if current is not None and current.held else None
    if held_by == wanted.transaction or (held_by is None and wanted.held):
        return
    if held_by is None:
        raise Conflict(f"{wanted.workload} is not locked by {wanted.transaction}, so it cannot be released")
    raise Conflict(f"{wanted.workload} is locked by {held_by}")


def may_note(owner: Owner, facts: Sequence[Fact]) -> None:
    """Raise IllegalTransition if a fact is another service's to note: nobody would believe it."""
    for fact in facts:
        if owner not in MAY_NOTE[type(fact)]:
            raise IllegalTransition(f"{fact.fact} is not the {owner}'s to note")


def frees_key(incident: Incident, *, asked: bool) -> bool:
    """Whether an append that leads to `incident` frees its correlation key: a closed incident never keeps one."""
    return asked or incident.state is State.CLOSED
