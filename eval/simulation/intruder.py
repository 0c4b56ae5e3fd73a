"""Somebody who may put messages into the ledger and lacks the keys: what he puts there must count for nothing."""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from eval.simulation.bus import SimBus
from shared.domain.authority import events_of
from shared.domain.events import (
    Approved,
    Base,
    Closed,
    DiagnosisStarted,
    Event,
    Merged,
    Owner,
    PlanPicked,
    Quiet,
    Recorded,
    TakenOver,
    TransactionSeized,
    UndoRequested,
    UndoWhy,
)
from shared.domain.ids import EventId, HolderId, IncidentId, PlanHash, TransactionId
from shared.domain.incident import TRANSITIONS, Incident, State
from shared.domain.transaction import Outcome

NOBODY: Final = "mallory"


class Target(NamedTuple):
    """An incident as somebody sees who reads the ledger along."""

    incident: Incident
    plans: Sequence[PlanHash]
    others: Sequence[IncidentId]

    @property
    def transaction(self) -> TransactionId | None:
        known = self.incident.transaction
        return known.id if known is not None and known.outcome is not Outcome.UNDONE else None


class Intruder:
    """Puts messages that would do most harm where they stand, were they believed."""

    def __init__(self, bus: SimBus, rng: random.Random) -> None:
        self._bus, self._rng = bus, rng

    def strike(self, kind: str, targets: Sequence[Target]) -> str:
        """Put one message of a kind, `forged`, `stolen` or `replayed`; say what it was, or why there was none."""
        for target in self._rng.sample(targets, len(targets)):
            put = self._replayed(target) if kind == "replayed" else self._made(target, stolen=kind == "stolen")
            if put is not None:
                record, signed = put
                self._bus.forge(record, signed=signed)
                return f"{record.incident} {record.event.name} as the {record.by}"
        return "nothing to put"

    def _replayed(self, target: Target) -> tuple[Recorded, bool] | None:
        """A copy of what was said before, with its signature: best what would have a place once more."""
        said = self._bus.said(target.incident.id)
        fitting = [one for one in said if (target.incident.state, type(one.event)) in TRANSITIONS]
        if not said:
            return None
        return self._rng.choice(fitting or said), True

    def _made(self, target: Target, *, stolen: bool) -> tuple[Recorded, bool] | None:
        """A new one that has a place in the table: signed by nobody, or by a service to which it does not belong."""
        made = [event for make in _MADE if (event := make(target)) is not None and _fits(target, event)]
        if not made:
            return None
        event = self._rng.choice(made)
        owners = TRANSITIONS[target.incident.state, type(event)].owners
        strangers = [owner for owner in Owner if type(event) not in events_of(owner)]
        if stolen and not strangers:
            return None
        record = Recorded(
            incident=target.incident.id,
            id=EventId(self._bus.identity.new("evt")),
            sequence=0,
            at=self._bus.clock.now(),
            by=self._rng.choice(strangers) if stolen else self._rng.choice(sorted(owners)),
            event=event,
            follows=target.incident.last,
        )
        return record, stolen


def _fits(target: Target, event: Base) -> bool:
    return (target.incident.state, type(event)) in TRANSITIONS


def _approved(target: Target) -> Event | None:
    return Approved(plan_hash=target.incident.pending.hash, by=NOBODY) if target.incident.pending else None


def _picked(target: Target) -> Event | None:
    return PlanPicked(plan_hash=target.plans[-1], by=NOBODY) if target.plans else None


def _undo(target: Target) -> Event | None:
    if target.transaction is None:
        return None
    return UndoRequested(transaction=target.transaction, why=UndoWhy.PERSON, reason="it was me", by=NOBODY)


def _seized(target: Target) -> Event | None:
    if target.transaction is None:
        return None
    return TransactionSeized(transaction=target.transaction, holder=HolderId(NOBODY))


def _merged(target: Target) -> Event | None:
    return Merged(into=target.others[0], reason="the same") if target.others else None


_MADE: Final[Sequence[Callable[[Target], Event | None]]] = (
    _approved,
    _picked,
    _undo,
    _seized,
    _merged,
    lambda _: TakenOver(by=NOBODY),
    lambda _: Closed(by=NOBODY),
    lambda _: Quiet(reason="all is well"),
    lambda _: DiagnosisStarted(),
)


def targets(
    bus: SimBus, states: Mapping[IncidentId, State], plans: Callable[[IncidentId], Sequence[PlanHash]]
) -> list[Target]:
    """Every incident that is not over."""
    alive = [known for known, state in states.items() if state is not State.CLOSED]
    return [
        Target(bus.folded(known), tuple(plans(known)), [other for other in alive if other != known]) for known in alive
    ]
