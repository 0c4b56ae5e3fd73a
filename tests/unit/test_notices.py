"""Who is told what, and when."""

from collections.abc import Sequence
from datetime import timedelta

import pytest

from services.gateway.notices import Notice, Why, due, message
from services.gateway.sentences import sentence
from services.gateway.views import detail
from shared.domain.events import EVENT_TYPES, EVENTS, AlertJoined, Event, Kept, Proposed, TakenOver
from shared.domain.health import Symptom
from shared.domain.ids import IncidentId
from shared.domain.incident import State, fold
from shared.testing.builders import (
    T0,
    TRANSACTION,
    a_health,
    a_plan,
    a_reading,
    a_verdict,
    an_alert,
    recorded,
    story_to,
)

INCIDENT = IncidentId("inc-1")
LONG_AGO = T0 - timedelta(days=1)


def due_after(events: Sequence[Event]) -> Notice | None:
    """What is to be told after these events, which nobody calls late."""
    return due(recorded(INCIDENT, events), LONG_AGO)


@pytest.mark.parametrize(
    ("state", "why"),
    [
        (State.AWAITING_APPROVAL, Why.AWAITING_APPROVAL),
        (State.ESCALATED, Why.ESCALATED),
        (State.STUCK, Why.STUCK),
    ],
)
def test_what_needs_a_person_is_told_once_for_the_event_that_led_there(state: State, why: Why) -> None:
    """The sequence is that of the entering event, so that a later return is told again."""
    story = story_to(state)
    assert due_after(story) == Notice(why, len(story))


@pytest.mark.parametrize(
    "state", [state for state in State if state not in (State.AWAITING_APPROVAL, State.ESCALATED, State.STUCK)]
)
def test_everything_else_disturbs_nobody(state: State) -> None:
    """Primum is at work, or it is over."""
    assert due_after(story_to(state)) is None


def test_what_is_kept_without_proof_is_told() -> None:
    """Prometheus was down: a person should know that the measurement is missing."""
    kept = Kept(
        transaction=TRANSACTION,
        verdict=a_verdict(),
        after=a_health(),
        symptom=a_reading(Symptom.UNKNOWN),
        unproven=True,
        reason="the cause is mended; the symptom could not be measured",
    )
    story = [*story_to(State.VALIDATING), kept]
    assert due_after(story) == Notice(Why.KEPT_UNPROVEN, len(story))


def test_an_undo_that_takes_too_long_is_told_once() -> None:
    """Its cluster does not answer, or a lock is somebody else's: it would be tried for ever, and in silence."""
    history = recorded(INCIDENT, story_to(State.UNDOING))
    entered = history[-1]
    assert due(history, entered.at - timedelta(seconds=1)) is None
    assert due(history, entered.at) == Notice(Why.UNDO_IS_LATE, entered.sequence)
    assert due(history, entered.at + timedelta(hours=9)) == Notice(Why.UNDO_IS_LATE, entered.sequence)


def test_observe_mode_disturbs_nobody() -> None:
    """A proposal is recorded; `primum report` is where it is read."""
    proposed = Proposed(plan=a_plan(), diff=("a line",), reason="observe mode")
    assert due_after([*story_to(State.PLANNING), proposed]) is None


def test_who_took_it_over_knows() -> None:
    """Nobody is told what a person did, also not if the telling was still to come."""
    assert due_after([*story_to(State.DIAGNOSING), TakenOver(by="ada")]) is None
    assert due_after([*story_to(State.ESCALATED), TakenOver(by="ada")]) is None


def test_a_message_brings_the_whole_context() -> None:
    """Cause, evidence, diff, undo, and the exact command and request for each thing that can be done."""
    history = recorded(INCIDENT, story_to(State.AWAITING_APPROVAL))
    notice = due(history, LONG_AGO)
    assert notice is not None
    told = message(notice, fold(INCIDENT, history), history, "http://primum.example")
    plan = a_plan()
    assert told["id"] == f"inc-1.{notice.sequence}"
    assert told["plan"] == {
        "hash": plan.hash,
        "runbook": "scale-up",
        "runbook_version": 1,
        "risk": "low",
        "destructive": False,
        "cause": told["causes"][0] if isinstance(told["causes"], list) else None,
        "diff": ["Deployment/shop/cart /spec/replicas: 1 -> 3"],
        "undo": ["Deployment/shop/cart /spec/replicas: 3 -> 1"],
        "blast_radius": ["Deployment/shop/cart"],
        "verdict_within_s": 180,
    }
    assert {
        "what": "approve",
        "command": "primum approve inc-1",
        "method": "POST",
        "url": "http://primum.example/api/incidents/inc-1/approve",
        "body": {"plan_hash": plan.hash, "by": "<you>"},
    } in (told["do"] if isinstance(told["do"], list) else [])


def test_every_event_has_a_sentence() -> None:
    """A timeline has no holes: whatever can be recorded can be read."""
    stories = [record for state in State for record in recorded(INCIDENT, story_to(state))]
    assert all(sentence(record.event) for record in stories)
    assert {event.name for event in EVENT_TYPES} == set(EVENTS.json_schema()["discriminator"]["mapping"])


def test_a_timeline_shows_each_event_with_its_lines() -> None:
    """Evidence under the diagnosis, the diff under what was asked."""
    history = recorded(INCIDENT, story_to(State.AWAITING_APPROVAL))
    shown = detail(fold(INCIDENT, history), history, ())
    timeline = shown["timeline"]
    assert isinstance(timeline, list)
    by_type = {entry["type"]: entry["details"] for entry in timeline if isinstance(entry, dict)}
    assert by_type["ApprovalRequested"] == ["a line"]
    assert by_type["Diagnosed"] == ["object Deployment/shop/cart:/status = what was seen"]


def test_a_storm_is_a_line_for_each_kind_of_alert() -> None:
    """Hundreds of alerts join one incident; whoever reads it at night needs the kinds, and how many."""
    alerts = [an_alert(fingerprint=f"{number:016x}") for number in range(300)]
    facts = [AlertJoined(alert=alert, because="the same workload") for alert in alerts]
    history = recorded(INCIDENT, story_to(State.DETECTED))
    shown = detail(fold(INCIDENT, history), history, facts)
    assert shown["notes"] == [f"firing {alerts[0].name} belongs here, 300 times; the first: the same workload"]
