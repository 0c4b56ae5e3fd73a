"""What must hold at the end, when the faults have stopped long ago: nothing is lost, left over, or said wrongly."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

from eval.lab.alertmanager import fingerprint
from eval.simulation.referee import InvariantBrokenError
from shared.domain.alert import AlertStatus
from shared.domain.cluster import MARK
from shared.domain.events import AlertJoined, Closed, Merged, Proposed, TakenOver
from shared.domain.ids import IncidentId, TransactionId
from shared.domain.incident import State, advance

if TYPE_CHECKING:
    from eval.simulation.simulation import Simulation

TOLERATED: Final = 0.03
"""The share of requests that may fail more than without Primum, on average over minutes; noise has a third of that."""
_RESTS: Final = frozenset({State.CLOSED, State.ESCALATED, State.STUCK})


def over(simulation: "Simulation") -> bool:
    """Whether there is nothing more to come: everybody rests, and every alert is where it belongs."""
    return (
        simulation.bus.pending == 0
        and not _unsettled(simulation)
        and not _untold(simulation)
        and not _lost(simulation)
        and not any(_unsaid(simulation))
    )


def examine(simulation: "Simulation") -> Iterator[InvariantBrokenError]:
    """Every breach that there is at the end."""
    for incident, state in _unsettled(simulation):
        why = simulation.bus.folded(incident).reason
        yield InvariantBrokenError("everything comes to an end", f"{incident} is still {state}: {why}")
    for incident in _untold(simulation):
        state = simulation.referee.states[incident]
        yield InvariantBrokenError("a person is told", f"{incident} is {state}, and nobody was told")
    for said in _lost(simulation):
        yield InvariantBrokenError("no alert is lost", said)
    for letter in simulation.bus.dead:
        yield InvariantBrokenError("no dead letters", f"{letter.subject} of {letter.service}: {letter.reason}")
    yield from _left_over(simulation)
    for said in _unsaid(simulation):
        yield InvariantBrokenError("what is said is true", said)


def _unsettled(simulation: "Simulation") -> list[tuple[IncidentId, State]]:
    return [(known, state) for known, state in simulation.referee.states.items() if state not in _RESTS]


def _untold(simulation: "Simulation") -> list[IncidentId]:
    return [
        known
        for known, state in simulation.referee.states.items()
        if state in (State.ESCALATED, State.STUCK) and not _told(simulation, known)
    ]


def _told(simulation: "Simulation", incident: IncidentId) -> bool:
    """Whether somebody was told since it came to stand there, or stands behind it, or observes only."""
    entered, state = None, None
    for record in simulation.bus.said(incident):
        after = advance(state, record.event)
        if after is not state or isinstance(record.event, TakenOver):
            entered = record
        state = after
    if entered is None or isinstance(entered.event, Proposed | TakenOver):
        return True
    return f"{incident}.{entered.sequence}" in simulation.receiver.told


def _lost(simulation: "Simulation") -> list[str]:
    joined = {
        (fact.alert.fingerprint, fact.alert.starts_at)
        for facts in simulation.bus.facts.values()
        for fact in facts
        if isinstance(fact, AlertJoined)
    }
    return [
        f"{alert.name} {alert.labels} of {alert.starts_at:%H:%M:%S} is in no incident"
        for alert in simulation.bus.inbox
        if alert.status is AlertStatus.FIRING and (alert.fingerprint, alert.starts_at) not in joined
    ]


def _left_over(simulation: "Simulation") -> Iterator[InvariantBrokenError]:
    """No transaction, lock or mark without somebody who answers for it."""
    deals = simulation.referee.deals
    for deal in deals.values():
        if deal.state in ("under way", "undoing"):
            yield InvariantBrokenError("no orphans", f"{deal.id} is still {deal.state}")
    for ref, lock in simulation.bus.locks.items():
        # A person who took a stuck incident over decides about its locks by what comes next: picking, undoing, closing.
        stuck = simulation.referee.states.get(lock.incident) in (State.STUCK, State.ESCALATED)
        if lock.held and not (stuck and deals[lock.transaction].state == "stuck"):
            yield InvariantBrokenError(
                "no orphans", f"{ref} is locked by {lock.transaction}, which is {deals[lock.transaction].state}"
            )
    for kind in ("Deployment", "Service", "Node"):
        for stored in simulation.world.store.all(kind):
            mark = (stored["metadata"].get("labels") or {}).get(MARK)
            if mark and TransactionId(mark.partition(".")[0]) not in deals:
                yield InvariantBrokenError("no orphans", f"{kind} {stored['metadata']['name']} bears the mark {mark}")


def _unsaid(simulation: "Simulation") -> Iterator[str]:
    """What fires in the lab now and is not said to be open by any incident that a person did not close."""
    homes: dict[str, list[IncidentId]] = {}
    for incident, facts in simulation.bus.facts.items():
        for fact in facts:
            if isinstance(fact, AlertJoined):
                homes.setdefault(fact.alert.fingerprint, []).append(incident)
    told = {alert.fingerprint for alert in simulation.bus.inbox}
    for alert in simulation.world.rules.active.values():
        mark = fingerprint(alert.labels)
        if not alert.firing:
            continue
        if mark not in told:
            yield f"{alert.labels['alertname']} fires, and no gateway was told yet"
        elif all(_is_over(simulation, incident) for incident in homes.get(mark, [])):
            yield f"{alert.labels} fires, and {homes.get(mark)} are over"


def _is_over(simulation: "Simulation", incident: IncidentId) -> bool:
    if simulation.referee.states[incident] is not State.CLOSED:
        return False
    last = simulation.bus.said(incident)[-1].event
    return not isinstance(last, Closed | Merged)


def in_the_way(simulation: "Simulation") -> list[IncidentId]:
    """Stuck incidents that another one says it waits for: a person reads that, and closes them."""
    waiting = [
        simulation.bus.folded(known).reason
        for known, state in simulation.referee.states.items()
        if state is State.PLANNING
    ]
    return list(
        dict.fromkeys(
            deal.incident
            for deal in simulation.referee.deals.values()
            if deal.state == "stuck"
            and simulation.referee.states[deal.incident] is State.STUCK
            and any(deal.id in reason for reason in waiting)
        )
    )


def harm(ours: Mapping[str, float], without: Mapping[str, float]) -> Iterator[InvariantBrokenError]:
    """Primum non nocere: where users fare badly at the end, they fare as badly in a world without Primum."""
    for service, ratio in ours.items():
        if ratio > without[service] + TOLERATED:
            how = f"{ratio:.0%} of the requests to {service} fail, {without[service]:.0%} would without Primum"
            yield InvariantBrokenError("primum non nocere", how)
