"""What `primum eval replicas` calls illegal, on ledgers written by hand."""

from collections.abc import Mapping
from typing import Any

from eval.logbook import Logbook
from eval.replicas.row import illegal
from shared.adapters.seal import FOLLOWS
from shared.domain.events import Cleared, DiagnosisStarted, Event
from shared.domain.health import Symptom
from shared.testing.builders import a_reading, opened


def line(number: int, event: Event, follows: int) -> Mapping[str, Any]:
    """An event as the stream holds it, by its number; the one it follows by that one's, 0 for none."""
    headers = {"ce-id": f"evt-{number}", FOLLOWS: f"evt-{follows}" if follows else ""}
    place = {"subject": f"primum.ledger.inc-1.{event.name}", "sequence": number, "headers": headers}
    return {**event.model_dump(mode="json"), **place}


CLEARED = Cleared(reading=a_reading(Symptom.GONE))


def test_a_legal_walk_is_legal() -> None:
    """Each event has its place, and follows the one before it."""
    events = (line(1, opened(), 0), line(2, DiagnosisStarted(), 1), line(3, CLEARED, 2))
    assert illegal(Logbook((), events)) == []


def test_an_event_without_a_place_is_illegal() -> None:
    """It is named with its sequence."""
    (found,) = illegal(Logbook((), (line(1, opened(), 0), line(2, opened(), 1))))
    assert "Opened (sequence 2)" in found


def test_two_events_that_follow_the_same_one_are_seen() -> None:
    """Also where the table has a place for both: their authors did not know of each other."""
    (found,) = illegal(Logbook((), (line(1, opened(), 0), line(2, DiagnosisStarted(), 1), line(3, CLEARED, 1))))
    assert "Cleared (sequence 3) does not follow the event before it" in found
