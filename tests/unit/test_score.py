"""A row is green only where the record names the truth and the cluster ended as it had to."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import pytest

from eval.oracles import Key
from eval.scenarios.registry import SCENARIOS
from eval.scenarios.scenario import RightEnd
from eval.score import Row, Wanted, incidents_since, judge, said, summary

AT_FAULT: Key = ("Deployment", "moor", "wren")
TRUTH = (Wanted("image-pull-failed", AT_FAULT),)
TOLD_AT = datetime.fromisoformat("2026-01-01T10:00:00+00:00")


def a_cause(code: str = "image-pull-failed", name: str = "wren") -> Mapping[str, Any]:
    return {"code": code, "object": {"kind": "Deployment", "namespace": "moor", "name": name}}


def events(*said: Mapping[str, Any], incident: str = "inc-1", sequence: int = 10) -> list[Mapping[str, Any]]:
    """Lines of the ledger, a second after another."""
    return [
        {
            **line,
            "subject": f"primum.ledger.{incident}.{line['type']}",
            "sequence": sequence + number,
            "headers": {"ce-time": f"2026-01-01T10:00:{number + 1:02}+00:00"},
        }
        for number, line in enumerate(said)
    ]


def opened(transaction: str, cause: Mapping[str, Any], runbook: str = "roll-back-deployment") -> Mapping[str, Any]:
    plan = {"cause": cause, "runbook": {"name": runbook}}
    return {"type": "TransactionOpened", "transaction": transaction, "plan": plan}


def diagnosed(*causes: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"type": "Diagnosed", "causes": list(causes)}


OPENED = {"type": "Opened"}
MENDED = (
    OPENED,
    diagnosed(a_cause()),
    opened("txn-1", a_cause()),
    {"type": "Intended", "transaction": "txn-1"},
    {"type": "Kept", "transaction": "txn-1"},
)
GIVEN_UP = (OPENED, diagnosed(a_cause()), {"type": "NoPlanLeft"})


def row(
    *incidents: Sequence[Mapping[str, Any]],
    truth: Sequence[Wanted] = TRUTH,
    right_end: RightEnd = RightEnd.MENDED,
    problems: Sequence[str] = (),
    residue: int = 0,
) -> Row:
    judged = Row("a-scenario", 0, right_end=right_end, problems=list(problems), residue=residue)
    judge(judged, truth, [said(lines) for lines in incidents], TOLD_AT)
    return judged


def test_what_was_named_and_mended_is_green() -> None:
    """With what it took, from the first alert on."""
    judged = row(events(*MENDED))
    assert (judged.ok, judged.detected, judged.localized, judged.named, judged.mitigated) == (True,) * 5
    assert (judged.actions, judged.undos, judged.steps) == (1, 0, 1)
    assert (judged.t_detect_s, judged.t_diagnose_s, judged.t_mitigate_s) == (1.0, 2.0, 5.0)


@pytest.mark.parametrize(
    ("cause", "localized", "named"),
    [(a_cause("crash-loop"), True, False), (a_cause(name="fjord"), False, False)],
)
def test_another_cause_or_another_object_is_red(cause: Mapping[str, Any], localized: bool, named: bool) -> None:  # noqa: FBT001 - columns of a table
    """Also where it happened to mend it."""
    judged = row(events(OPENED, diagnosed(cause), opened("txn-1", cause), {"type": "Kept", "transaction": "txn-1"}))
    assert (judged.localized, judged.named, judged.mitigated, judged.ok) == (localized, named, True, False)


def test_what_the_record_stands_by_in_the_end_counts_and_its_first_guess_is_told() -> None:
    """A suspicion that was tried and taken back is not what it says."""
    guess = a_cause("recent-rollout")
    judged = row(
        events(
            OPENED,
            diagnosed(guess, a_cause()),
            opened("txn-1", guess),
            {"type": "Undone", "transaction": "txn-1"},
            diagnosed(guess, a_cause()),
            opened("txn-2", a_cause()),
            {"type": "Kept", "transaction": "txn-2"},
        )
    )
    assert (judged.named, judged.named_at_once, judged.undos, judged.ok) == (True, False, 1, True)


def test_nothing_detected_is_red() -> None:
    """However well the shop stands."""
    judged = row()
    assert (judged.detected, judged.named, judged.mitigated, judged.ok) == (False, False, False, False)


@pytest.mark.parametrize("more", [{"residue": 1}, {"problems": ["21.5% of users' requests still fail"]}])
def test_what_the_cluster_shows_outweighs_the_record(more: dict[str, Any]) -> None:
    """It says that it kept a mending one; the oracle found otherwise."""
    judged = row(events(*MENDED), **more)
    assert (judged.named, judged.mitigated, judged.ok) == (True, False, False)


def test_to_tell_a_person_is_right_where_the_truth_says_so_and_only_there() -> None:
    """With the right cause, and with nothing kept."""
    told = row(events(*GIVEN_UP), right_end=RightEnd.TOLD)
    assert (told.ok, told.t_told_s, told.t_mitigate_s) == (True, 3.0, None)
    assert not row(events(*MENDED), right_end=RightEnd.TOLD).ok
    assert not row(events(*MENDED, {"type": "Relapsed"}, {"type": "NoPlanLeft"}), right_end=RightEnd.TOLD).ok
    assert not row(events(*GIVEN_UP), problems=["inc-1 is escalated"]).ok
    wrong = (OPENED, diagnosed(a_cause("crash-loop")), {"type": "NoPlanLeft"})
    assert not row(events(*wrong), right_end=RightEnd.TOLD).ok


def test_whoever_acts_where_nothing_is_wrong_is_red() -> None:
    """An incident that was opened and cleared does no harm; an action does, even one that was taken back."""
    cleared = events(OPENED, {"type": "Cleared"})
    acted = events(OPENED, opened("txn-1", a_cause()), {"type": "Undone", "transaction": "txn-1"})
    assert row(cleared, truth=(), right_end=RightEnd.UNTOUCHED).ok
    assert not row(acted, truth=(), right_end=RightEnd.UNTOUCHED).ok


def test_two_faults_need_an_incident_each() -> None:
    """One of two that was found is not both."""
    both = (*TRUTH, Wanted("crash-loop", ("Deployment", "moor", "fjord")))
    other = a_cause("crash-loop", "fjord")
    second = events(OPENED, diagnosed(other), opened("txn-2", other), {"type": "Kept", "transaction": "txn-2"})
    assert row(events(*MENDED), second, truth=both).ok
    assert (row(events(*MENDED), truth=both).detected, row(events(*MENDED), truth=both).named) == (False, False)


def test_earlier_incidents_and_merged_ones_are_not_this_rows() -> None:
    """The ledger holds the whole run."""
    ledger = [
        *events(OPENED, sequence=1, incident="inc-old"),
        *events(OPENED, {"type": "Merged"}, sequence=12, incident="inc-part"),
        *events(*MENDED, sequence=20, incident="inc-new"),
        *events({"type": "Quiet"}, sequence=40, incident="inc-old"),
    ]
    assert set(incidents_since(ledger, {"inc-old"})) == {"inc-new"}


def test_the_summary_counts_what_could_be_shown() -> None:
    """A row that was not played, or had nothing to find, is no part of a share."""
    rows = [vars(row(events(*MENDED))), vars(row()), vars(row(truth=(), right_end=RightEnd.UNTOUCHED))]
    rows.append(vars(Row("elsewhere", 0, skipped="the lab has no such thing")))
    found = summary(rows)
    assert (found["ok"], found["rows"], found["played"], found["passed"]) == (False, 4, 3, 2)
    assert (found["named_ratio"], found["mitigated_ratio"]) == (0.5, 0.667)


@pytest.mark.parametrize("kind", SCENARIOS, ids=lambda kind: kind.name)
def test_a_scenario_says_who_is_to_blame_or_that_nobody_is(kind: Any) -> None:
    """And has a name of its own, and somebody to hit."""
    assert bool(kind.truth) is (kind.right_end is not RightEnd.UNTOUCHED)
    assert [one.name for one in SCENARIOS].count(kind.name) == 1
    assert kind.roles
