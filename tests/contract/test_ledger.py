"""What every ledger promises to the services that decide on it."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest

from shared.domain.errors import Conflict, IllegalTransition
from shared.domain.events import (
    AlertJoined,
    Cleared,
    Closed,
    Diagnosed,
    DiagnosisStarted,
    Event,
    Kept,
    Merged,
    Noted,
    NothingFound,
    Owner,
    Quiet,
    TransactionOpened,
)
from shared.domain.health import Symptom
from shared.domain.ids import CorrelationKey, IncidentId, TransactionId
from shared.domain.incident import Incident, State
from shared.domain.transaction import Lock
from shared.testing.builders import (
    T0,
    TRANSACTION,
    a_reading,
    a_ref,
    an_alert,
    an_incident,
    opened,
    owners_of,
    story_to,
)
from shared.testing.ports import Ports

A, B = IncidentId("inc-a"), IncidentId("inc-b")


async def tell(ports: Ports, incident: IncidentId, events: Sequence[Event]) -> Incident:
    """Append a story event by event, each by its owner."""
    first, *rest = events
    assert first.type == "Opened"
    folded = await ports.ledger(Owner.DETECTOR).open(incident, first)
    for event, owner in list(zip(events, owners_of(events), strict=True))[1:]:
        folded = await ports.ledger(owner).append(folded, event)
    assert len(rest) == len(events) - 1
    return folded


def _a_lock(transaction: str = "txn-1", *, held: bool = True, workload: str = "cart") -> Lock:
    return Lock(workload=a_ref(workload), incident=A, transaction=TransactionId(transaction), held=held)


async def test_an_unknown_incident_folds_to_nothing(ports: Ports) -> None:
    """An id that was never opened, even one with odd characters, is an incident without a state."""
    folded = await ports.ledger(Owner.GATEWAY).fold(IncidentId("inc *.> no such"))
    assert (folded.state, folded.sequence) == (None, 0)


@pytest.mark.parametrize("state", [State.DETECTED, State.STUCK, State.CLOSED])
async def test_what_was_appended_is_what_is_folded(ports: Ports, state: State) -> None:
    """The incident that append returns is the one that anybody folds, and its state is the story's."""
    told = await tell(ports, A, story_to(state))
    assert told.state is state
    assert await ports.ledger(Owner.UNDO).fold(A) == told
    assert told.model_dump(exclude=_TIMES) == _renumbered(an_incident(state, incident=A), told)


_TIMES = {"opened_at", "updated_at", "diagnosed_at", "sequence", "transactions", "last"}


def _renumbered(story: Incident, told: Incident) -> dict[str, object]:
    return story.but(transactions=told.transactions).model_dump(exclude=_TIMES)


async def test_history_is_in_order_and_names_its_authors(ports: Ports) -> None:
    """History gives every event, oldest first, with a growing sequence and the service that appended it."""
    events = story_to(State.RESOLVED)
    await tell(ports, A, events)
    history = await ports.ledger(Owner.GATEWAY).history(A)
    assert [record.event for record in history] == list(events)
    assert [record.by for record in history] == owners_of(events)
    assert len({record.id for record in history}) == len(events)
    sequences = [record.sequence for record in history]
    assert sequences == sorted(set(sequences))


async def test_an_append_on_an_old_fold_loses(ports: Ports) -> None:
    """Who decided on what is no longer true gets a Conflict, and nothing is written."""
    old = await tell(ports, A, story_to(State.DIAGNOSING))
    await ports.ledger(Owner.DIAGNOSER).append(old, NothingFound(looked_at=("x",)))
    with pytest.raises(Conflict):
        await ports.ledger(Owner.DETECTOR).append(old, Cleared(reading=a_reading(Symptom.GONE)))
    assert len(await ports.ledger(Owner.GATEWAY).history(A)) == 3


async def test_of_two_racing_writers_exactly_one_wins(ports: Ports) -> None:
    """Two services append to the same fold at once, many times: exactly one event is stored each time."""
    detector, gateway = ports.ledger(Owner.DETECTOR), ports.ledger(Owner.GATEWAY)
    for number in range(25):
        incident = await detector.open(IncidentId(f"inc-{number}"), opened(f"key-{number}"))
        outcomes = await asyncio.gather(
            ports.ledger(Owner.DIAGNOSER).append(incident, DiagnosisStarted()),
            detector.append(incident, Cleared(reading=a_reading(Symptom.GONE))),
            return_exceptions=True,
        )
        assert sorted(isinstance(outcome, Conflict) for outcome in outcomes) == [False, True]
        assert len(await gateway.history(incident.id)) == 2


async def test_only_an_events_owner_may_append_it(ports: Ports) -> None:
    """The table says who owns an event in a state; anybody else is refused before anything is written."""
    incident = await tell(ports, A, story_to(State.DETECTED))
    with pytest.raises(IllegalTransition, match="not the gateway's"):
        await ports.ledger(Owner.GATEWAY).append(incident, DiagnosisStarted())


async def test_an_event_without_a_place_is_refused(ports: Ports) -> None:
    """An event that the table does not know in this state is refused, and nothing has changed."""
    incident = await tell(ports, A, story_to(State.DETECTED))
    with pytest.raises(IllegalTransition):
        await ports.ledger(Owner.DETECTOR).append(incident, Quiet(reason="too early"))
    assert await ports.ledger(Owner.DETECTOR).fold(A) == incident


async def test_several_events_go_in_together(ports: Ports) -> None:
    """Opened and Cleared in one batch: nobody ever sees the incident between them."""
    told = await ports.ledger(Owner.DETECTOR).open(A, opened(), Cleared(reading=a_reading(Symptom.GONE)))
    assert told.state is State.RESOLVED
    assert await ports.ledger(Owner.GATEWAY).fold(A) == told


async def test_one_open_incident_a_key(ports: Ports) -> None:
    """Of two detectors that open an incident of the same cause group at once, one is told that it exists."""
    outcomes = await asyncio.gather(
        *(ports.ledger(Owner.DETECTOR).open(IncidentId(f"inc-{number}"), opened()) for number in range(5)),
        return_exceptions=True,
    )
    assert sorted(isinstance(outcome, Conflict) for outcome in outcomes) == [False, True, True, True, True]
    winner = await ports.ledger(Owner.GATEWAY).open_incident(opened().key)
    assert [winner] == list(await ports.ledger(Owner.GATEWAY).incidents())


async def test_a_closed_incident_frees_its_key(ports: Ports) -> None:
    """After the end the same cause group can be opened again; the old incident stays on record."""
    await tell(ports, A, story_to(State.CLOSED))
    detector = ports.ledger(Owner.DETECTOR)
    assert await detector.open_incident(opened().key) is None
    await detector.open(B, opened())
    assert await detector.open_incident(opened().key) == B
    assert list(await detector.incidents()) == [B, A]


async def test_a_key_may_hold_anything(ports: Ports) -> None:
    """Dots, stars, spaces and letters of any script in a correlation key hit no other key."""
    detector = ports.ledger(Owner.DETECTOR)
    keys = ["a.b", "a.*", "a.>", "a b", "ä/ö", "*"]
    for number, key in enumerate(keys):
        await detector.open(IncidentId(f"inc-{number}"), opened(key))
    found = [await detector.open_incident(CorrelationKey(key)) for key in keys]
    assert found == [f"inc-{number}" for number in range(len(keys))]


async def test_open_incidents_are_those_not_closed_oldest_first(ports: Ports) -> None:
    """The sweep sees every open incident, also one that was opened by another service since it last looked."""
    detector, gateway = ports.ledger(Owner.DETECTOR), ports.ledger(Owner.GATEWAY)
    first = await detector.open(A, opened("one"), Cleared(reading=a_reading(Symptom.GONE)))
    await detector.open(B, opened("two"))
    assert list(await gateway.open_incidents()) == [A, B]
    await detector.append(first, Quiet(reason="quiet"))
    await detector.open(IncidentId("inc-c"), opened("one"))
    assert list(await gateway.open_incidents()) == [B, "inc-c"]


async def test_the_newest_incidents_come_first_up_to_a_limit(ports: Ports) -> None:
    """The list of incidents is cut at the old end."""
    for number in range(4):
        await ports.ledger(Owner.DETECTOR).open(IncidentId(f"inc-{number}"), opened(f"key-{number}"))
    assert list(await ports.ledger(Owner.GATEWAY).incidents(limit=2)) == ["inc-3", "inc-2"]


def _begins() -> TransactionOpened:
    event = story_to(State.MITIGATING)[-1]
    assert isinstance(event, TransactionOpened)
    return event


async def test_two_transactions_cannot_hold_one_workload(ports: Ports) -> None:
    """The second is told who holds the lock, and its event is not written either: a batch is all or nothing."""
    mitigator = ports.ledger(Owner.MITIGATOR)
    first = await _planning(ports, A, "one")
    second = await _planning(ports, B, "two")
    await mitigator.append(first, _begins(), locks=[_a_lock("txn-1")])
    with pytest.raises(Conflict, match="locked by txn-1"):
        await mitigator.append(second, _begins(), locks=[_a_lock("txn-2", workload="other"), _a_lock("txn-2")])
    assert (await mitigator.fold(B)).state is State.PLANNING
    assert await mitigator.lock(a_ref("other")) is None


async def test_of_two_transactions_that_lock_at_once_one_wins(ports: Ports) -> None:
    """Crossing requests for the same two locks, many times: one transaction gets both, the other neither."""
    for number in range(10):
        workloads = (f"a{number}", f"b{number}")
        one = await _planning(ports, IncidentId(f"one-{number}"), f"one-{number}")
        two = await _planning(ports, IncidentId(f"two-{number}"), f"two-{number}")
        outcomes = await asyncio.gather(
            ports.ledger(Owner.MITIGATOR).append(one, _begins(), locks=_locks("txn-1", workloads)),
            ports.ledger(Owner.MITIGATOR).append(two, _begins(), locks=_locks("txn-2", workloads[::-1])),
            return_exceptions=True,
        )
        assert sorted(isinstance(outcome, Conflict) for outcome in outcomes) == [False, True]
        held = [await ports.ledger(Owner.UNDO).lock(a_ref(workload)) for workload in workloads]
        assert len({lock.transaction for lock in held if lock is not None}) == 1


async def test_a_released_lock_is_free(ports: Ports) -> None:
    """Kept releases in its own batch, and another transaction can take the workload."""
    planning = await _planning(ports, A, "one")
    mitigator = ports.ledger(Owner.MITIGATOR)
    story = story_to(State.RESOLVED)
    held = await mitigator.append(planning, _begins(), locks=[_a_lock(TRANSACTION)])
    for event in story[4:-1]:
        held = await mitigator.append(held, event)
    kept = story[-1]
    assert isinstance(kept, Kept)
    await mitigator.append(held, kept, locks=[_a_lock(TRANSACTION, held=False)])
    lock = await mitigator.lock(a_ref())
    assert lock is not None
    assert not lock.held
    await mitigator.append(await _planning(ports, B, "two"), _begins(), locks=[_a_lock("txn-2")])


async def test_nobody_releases_what_another_holds(ports: Ports) -> None:
    """A release by another transaction is a Conflict; the lock stays."""
    held = await ports.ledger(Owner.MITIGATOR).append(await _planning(ports, A, "one"), _begins(), locks=[_a_lock()])
    with pytest.raises(Conflict, match="locked by txn-1"):
        await ports.ledger(Owner.MITIGATOR).append(
            held, story_to(State.VALIDATING)[4], locks=[_a_lock("x", held=False)]
        )
    assert await ports.ledger(Owner.UNDO).lock(a_ref()) == _a_lock()


async def test_facts_are_kept_in_order_and_change_nothing(ports: Ports) -> None:
    """Facts stand beside the events: they never move the incident."""
    incident = await tell(ports, A, story_to(State.DETECTED))
    facts = (AlertJoined(alert=an_alert(), because="the same workload"), Noted(text="a sentence"))
    await ports.ledger(Owner.DETECTOR).note(A, *facts)
    assert tuple(await ports.ledger(Owner.GATEWAY).facts(A)) == facts
    assert await ports.ledger(Owner.GATEWAY).fold(A) == incident
    assert list(await ports.ledger(Owner.GATEWAY).facts(B)) == []


async def test_an_alert_joins_once_whoever_says_it_again(ports: Ports) -> None:
    """Two detectors that handle a redelivery write it once; that it began to fire again is another matter."""
    incident = await tell(ports, A, story_to(State.DETECTED))
    first = AlertJoined(alert=an_alert(), because="the same workload")
    again = AlertJoined(alert=an_alert(starts_at=T0 + timedelta(minutes=1)), because="the same workload")
    await ports.ledger(Owner.DETECTOR).note(incident.id, first, again)
    await ports.ledger(Owner.DETECTOR).note(incident.id, first.but(because="another one says so"), again)
    await ports.ledger(Owner.DETECTOR).note(B, first)
    assert list(await ports.ledger(Owner.GATEWAY).facts(A)) == [first, again]
    assert list(await ports.ledger(Owner.GATEWAY).facts(B)) == [first]


async def test_pause_is_the_last_word(ports: Ports) -> None:
    """What one service pauses every service sees, with the reason, until somebody resumes."""
    mitigator = ports.ledger(Owner.MITIGATOR)
    assert await mitigator.paused() is None
    await ports.ledger(Owner.GATEWAY).set_paused("a freeze")
    assert await mitigator.paused() == "a freeze"
    await ports.ledger(Owner.GATEWAY).set_paused(None)
    assert await mitigator.paused() is None


async def test_a_late_repeat_is_recorded_and_changes_no_state(ports: Ports) -> None:
    """A second Closed is harmless, but only from a service that may close."""
    closed = await tell(ports, A, (*story_to(State.ESCALATED), Closed(by="somebody")))
    again = await ports.ledger(Owner.GATEWAY).append(closed, Closed(by="somebody"))
    assert again.state is State.CLOSED
    with pytest.raises(IllegalTransition):
        await ports.ledger(Owner.DIAGNOSER).append(again, Closed(by="somebody"))


def _locks(transaction: str, workloads: Sequence[str]) -> list[Lock]:
    return [_a_lock(transaction, workload=workload) for workload in workloads]


async def _planning(ports: Ports, incident: IncidentId, key: str) -> Incident:
    folded = await ports.ledger(Owner.DETECTOR).open(incident, opened(key))
    diagnosis = story_to(State.PLANNING)[1:]
    assert isinstance(diagnosis[-1], Diagnosed)
    return await ports.ledger(Owner.DIAGNOSER).append(folded, *diagnosis)


async def test_of_two_incidents_that_would_be_merged_into_each_other_one_stays(ports: Ports) -> None:
    """Two detectors decide at once, on what they both saw: the second finds that it is late."""
    ledger = ports.ledger(Owner.DETECTOR)
    one = await ledger.open(A, opened(A))
    other = await ledger.open(B, opened(B))
    merges = (
        ledger.append(one, Merged(into=B, reason="it is one"), while_open=other),
        ports.ledger(Owner.DETECTOR).append(other, Merged(into=A, reason="it is one"), while_open=one),
    )
    outcomes = await asyncio.gather(*merges, return_exceptions=True)
    assert sorted(isinstance(outcome, Conflict) for outcome in outcomes) == [False, True]
    assert len(await ledger.open_incidents()) == 1


async def test_what_is_over_takes_no_other_in(ports: Ports) -> None:
    """A merge into an incident that closed meanwhile would lose what is still wrong."""
    ledger = ports.ledger(Owner.DETECTOR)
    one = await ledger.open(A, opened(A))
    over = await ledger.open(B, opened(B))
    await ledger.append(over, Merged(into=A, reason="it is one"))
    with pytest.raises(Conflict):
        await ledger.append(one, Merged(into=B, reason="it is one"), while_open=over)
    assert (await ledger.fold(A)).open


async def test_an_incident_that_took_another_in_is_listed_once(ports: Ports) -> None:
    """Its place among the open ones is the old one, too."""
    ledger = ports.ledger(Owner.DETECTOR)
    into = await ledger.open(A, opened(A))
    merged = await ledger.open(B, opened(B))
    last = IncidentId("inc-c")
    await ledger.open(last, opened(last))
    assert list(await ledger.open_incidents()) == [A, B, last]
    await ledger.append(merged, Merged(into=A, reason="it is one"), while_open=into)
    assert list(await ledger.open_incidents()) == [A, last]
    assert list(await ledger.incidents()) == [last, B, A]
