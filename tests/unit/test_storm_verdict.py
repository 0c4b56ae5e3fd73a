"""The oracle of storms: what it counts as lost, doubled, split and merged wrongly."""

from collections.abc import Mapping, Sequence

from eval.storm.alerts import Told
from eval.storm.verdict import Record, Verdict, judge
from shared.domain.ids import IncidentId
from shared.testing.builders import T0

A, B, C = IncidentId("inc-a"), IncidentId("inc-b"), IncidentId("inc-c")


def told(name: str, *causes: int, little: bool = False) -> Told:
    return Told({"alertname": name}, frozenset(causes), T0, little=little)


ONE, ANOTHER, SHARED, NOBODYS = told("one", 0), told("another", 1), told("shared", 0, 1), told("x", 0, 1, little=True)
MORE = told("more", 0)


def judged(
    joined: Sequence[tuple[IncidentId, Told]],
    storm: Sequence[Told],
    merged: Mapping[IncidentId, IncidentId] | None = None,
) -> Verdict:
    """Judge a storm of two causes."""
    opened = sorted({incident for incident, _ in joined})
    pairs = [(incident, (alert.fingerprint, alert.starts_at)) for incident, alert in joined]
    return judge(Record(opened, merged or {}, pairs, None, []), storm, causes=2)


def test_each_cause_in_an_incident_of_its_own_is_right() -> None:
    """What two causes explain may be with either, and what nobody can attribute may be alone."""
    joined = [(A, ONE), (A, MORE), (B, ANOTHER), (B, SHARED), (C, NOBODYS)]
    found = judged(joined, [ONE, MORE, ANOTHER, SHARED, NOBODYS])
    assert (found.ok, found.incidents, found.unattributed) == (True, 2, 1)


def test_two_causes_in_one_incident_are_a_wrong_merge() -> None:
    """Once for the pair, however many alerts."""
    assert judged([(A, ONE), (A, MORE), (A, ANOTHER)], [ONE, MORE, ANOTHER]).wrong_merges == 1


def test_one_cause_in_two_incidents_is_a_split_unless_they_were_merged() -> None:
    """What is read is where each incident went in the end, also through a third."""
    joined = [(A, ONE), (B, MORE), (C, ANOTHER)]
    storm = [ONE, MORE, ANOTHER]
    assert (judged(joined, storm).splits, judged(joined, storm).ok) == (1, False)
    assert judged([*joined, (B, ONE)], storm, {A: B}).splits == 0


def test_what_several_explain_splits_off_and_gets_misplaced() -> None:
    """Alone it is an incident too many; with a third cause it is nobody's."""
    assert judged([(A, ONE), (B, SHARED)], [ONE, SHARED]).splits == 1
    other = told("other", 2)
    assert judged([(A, other), (A, SHARED)], [other, SHARED]).misplaced == 1


def test_lost_and_doubled_alerts_are_counted() -> None:
    """Twice on one record, or on two that did not become one; or nowhere."""
    assert judged([(A, ONE), (A, ONE)], [ONE]).doubled == 1
    assert judged([(A, ONE), (B, ONE)], [ONE]).doubled == 1
    assert judged([(A, ONE), (B, ONE)], [ONE], {A: B}).doubled == 0
    assert judged([(A, ONE)], [ONE, MORE]).lost == 1
