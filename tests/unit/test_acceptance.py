"""What a reader makes of an event that it cannot read: it is from a newer version, or it is nothing."""

import pytest

from shared.domain.acceptance import Heard, Refusal, hear
from shared.domain.append import draft, numbered
from shared.domain.errors import WrittenByNewer
from shared.domain.events import DiagnosisStarted, Owner
from shared.domain.ids import EventId, IncidentId
from shared.domain.incident import Incident, State
from shared.testing.builders import T0, opened

INCIDENT = IncidentId("inc-1")


def an_incident() -> Incident:
    """One that was opened, and nothing more: the diagnoser is who speaks next."""
    nothing = Incident(id=INCIDENT)
    return numbered(nothing, draft(nothing, [opened()], Owner.DETECTOR, [EventId("evt-1")], T0), 1)


def unread(incident: Incident, *, signed_by: Owner | None, follows: str | None = None) -> Heard:
    """A message that could not be read, and follows the last one that counted unless the test says otherwise."""
    return Heard(incident.sequence + 1, None, signed_by, EventId(incident.last if follows is None else follows))


def test_what_its_owner_said_and_cannot_be_read_is_a_newer_versions() -> None:
    """A service's own word, in its place: this reader does not know any more what the incident is."""
    incident = an_incident()
    after, why = hear(incident, unread(incident, signed_by=Owner.DIAGNOSER))
    assert (why, after.beyond, after.state, after.sequence) == (Refusal.NEWER, True, State.DETECTED, 2)
    assert "newer Primum" in after.reason


@pytest.mark.parametrize(
    ("signed_by", "follows"),
    [(None, None), (Owner.UNDO, None), (Owner.DIAGNOSER, "evt-of-old")],
    ids=["by nobody", "by who has no word there", "a copy from elsewhere"],
)
def test_what_cannot_be_read_and_is_nobodys_word_there_counts_for_nothing(
    signed_by: Owner | None, follows: str | None
) -> None:
    """Else whoever can write garbage could stop every incident."""
    incident = an_incident()
    after, why = hear(incident, unread(incident, signed_by=signed_by, follows=follows))
    assert (why, after.beyond, after.refused) == (Refusal.UNREADABLE, False, 1)
    assert after.understood() is after


def test_nothing_is_judged_by_what_follows_a_newer_versions_word() -> None:
    """Also what could be read: it is the end of a sentence whose beginning is missing."""
    incident = an_incident()
    beyond, _ = hear(incident, unread(incident, signed_by=Owner.DIAGNOSER))
    record = draft(incident, [DiagnosisStarted()], Owner.DIAGNOSER, [EventId("evt-x")], T0)[0]
    after, why = hear(beyond, Heard(9, record, Owner.DIAGNOSER))
    assert (why, after.state, after.sequence, after.refused) == (Refusal.NEWER, State.DETECTED, 9, 0)


def test_nobody_acts_on_what_a_newer_version_carried_on() -> None:
    """Neither may anything be appended; a newer replica does it."""
    incident = an_incident()
    beyond, _ = hear(incident, unread(incident, signed_by=Owner.DIAGNOSER))
    with pytest.raises(WrittenByNewer, match="newer Primum"):
        beyond.understood()
    with pytest.raises(WrittenByNewer):
        draft(beyond, [DiagnosisStarted()], Owner.DIAGNOSER, [EventId("evt-x")], T0)
