"""The kill matrix counts: each of its counts can be other than zero, and an undisturbed run is all zeros."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from eval.crash import count, run
from eval.crash.matrix import cases
from eval.crash.trouble import NATS
from eval.lab.alertmanager import Delivery
from eval.lab.rehearsal import Rehearsal
from eval.lab.store import Writer
from eval.logbook import Logbook
from eval.scenarios.scenario import Expected
from services.cli.supervisor import SERVICES
from shared.domain.change import Edit
from shared.domain.cluster import MARK
from shared.domain.events import Event, Merged, Opened, TransactionOpened, UndoRequested, UndoWhy
from shared.domain.ids import IncidentId, TransactionId
from shared.domain.incident import State
from shared.domain.path import Present
from shared.testing.manifests import T0
from shared.testing.story import a_patch, opened, recorded, story_to

EXPECTED = Expected(kept=("scale-up",))
Line = Mapping[str, Any]


def lines(*events: Event, incident: str = "inc-1") -> list[Line]:
    """The events as a logbook has them."""
    return [
        {
            **event.model_dump(mode="json"),
            "subject": f"primum.ledger.{incident}.{event.name}",
            "sequence": sequence,
            "headers": {"ce-id": f"{incident}-{sequence}", "ce-time": "2026-01-01T10:00:00Z"},
        }
        for sequence, event in enumerate(events, start=1)
    ]


def a_logbook(ledger: Sequence[Line], **more: tuple[Line, ...]) -> Logbook:
    return Logbook(more.get("alerts", ()), tuple(ledger), more.get("facts", ()), more.get("dead", ()))


def a_delivery(alert: Line) -> Delivery:
    """What its sender got a 2xx for."""
    return Delivery(alert["fingerprint"], alert["status"], alert["starts_at"], "", T0, "primum", 0, alert["labels"])


CLOSED = tuple(story_to(State.CLOSED))
NO_WRITES = count.Writes()


def test_an_undisturbed_run_is_all_zeros() -> None:
    """Opened, mitigated, kept, closed."""
    logbook = a_logbook(lines(*CLOSED))
    assert count.doubled(logbook, NO_WRITES, 1) == []
    assert count.ending(logbook, [EXPECTED]) == []
    assert [record.event for record in recorded("inc-1", CLOSED)] == list(CLOSED)


def test_a_firing_alert_that_no_incident_knows_is_lost() -> None:
    """It is stored, and was acknowledged, and nobody ever looked at it."""
    alert = CLOSED[0]
    assert isinstance(alert, Opened)
    stored = alert.alert.model_dump(mode="json")
    told = [a_delivery(stored)]
    assert count.lost(a_logbook(lines(*CLOSED), alerts=(stored,)), told, []) == []
    other = {**stored, "fingerprint": "another"}
    told.append(a_delivery(other))
    (line,) = count.lost(a_logbook(lines(*CLOSED), alerts=(stored, other)), told, [])
    assert line.startswith("alert another")
    joined = {"fact": "alert-joined", "alert": other}
    assert count.lost(a_logbook(lines(*CLOSED), alerts=(stored, other), facts=(joined,)), told, []) == []


def test_an_event_that_was_confirmed_and_is_not_there_is_lost() -> None:
    """The service went on as if it were."""
    said = {"sequence": 1, "incident": "inc-1", "type": "Opened"}
    assert count.lost(a_logbook(lines(*CLOSED)), [], [said]) == []
    assert len(count.lost(a_logbook(lines(*CLOSED)), [], [{**said, "type": "Quiet"}])) == 1


def test_two_incidents_of_one_cause_are_one_doubled_unless_they_were_merged() -> None:
    """A group that proved to be part of another was one all along."""
    both = [*lines(*CLOSED), *lines(*CLOSED, incident="inc-2")]
    assert count.doubled(a_logbook(both), NO_WRITES, 1) == ["2 incidents of 1 causes"]
    merged = lines(opened(), Merged(into=IncidentId("inc-1"), reason="one cause"), incident="inc-2")
    assert count.doubled(a_logbook([*lines(*CLOSED), *merged]), NO_WRITES, 1) == []


def test_an_event_that_is_there_twice_is_doubled() -> None:
    """By its id, whatever its sequence."""
    ledger = lines(*CLOSED)
    assert "event inc-1-1 2 times" in count.doubled(a_logbook([*ledger, ledger[0]]), NO_WRITES, 1)


def test_a_step_that_is_done_twice_is_doubled() -> None:
    """Or intended twice."""
    applied = next(event for event in CLOSED if event.name == "StepApplied")
    (line,) = count.doubled(a_logbook(lines(*CLOSED, applied)), NO_WRITES, 1)
    assert line == "inc-1: StepApplied of txn-story step 0 2 times"


def test_a_transaction_within_another_is_doubled() -> None:
    """And so is a second attempt of a plan that was judged."""
    began = next(event for event in CLOSED if event.name == "TransactionOpened")
    again = began.model_copy(update={"transaction": TransactionId("txn-2")})
    position = CLOSED.index(began)
    within = [*CLOSED[: position + 1], again, *CLOSED[position + 1 :]]
    assert any("txn-2 began while txn-story" in line for line in count.doubled(a_logbook(lines(*within)), NO_WRITES, 1))
    (line,) = count.doubled(a_logbook(lines(*CLOSED, again)), NO_WRITES, 1)
    assert "a second attempt of a plan that was judged" in line


def test_the_same_value_written_twice_by_one_transaction_is_doubled() -> None:
    """The cluster's own store says so; to do and to undo are two values."""
    lab = Rehearsal(seed=4)
    lab.run(60)
    writes, namespace, name = count.Writes(), lab.shop.namespace, lab.shop.cart
    writes.watch(lab.store)

    def write(replicas: int) -> None:
        body = {"metadata": {"labels": {MARK: "txn-1.7"}}, "spec": {"replicas": replicas}}
        lab.store.patch("Deployment", namespace, name, body, Writer("primum-mitigator"))

    write(5)
    write(4)
    assert writes.doubled() == []
    write(5)
    (line,) = writes.doubled()
    assert line.startswith("txn-1 wrote the same")


def test_another_end_than_without_the_fault_is_a_problem() -> None:
    """Not closed, something else kept, something taken back, an incident too few, a dead letter."""
    undone = [*CLOSED[:-2], UndoRequested(transaction=TransactionId("txn-story"), why=UndoWhy.WORSE, reason="worse")]
    assert count.ending(a_logbook(lines(*undone)), [EXPECTED]) == [
        "inc-1 ended as undoing",
        "kept: [], should be ['scale-up']",
    ]
    assert count.ending(a_logbook(lines(*CLOSED)), [EXPECTED, EXPECTED])[0] == "incidents: 1, should be 2"
    (dead,) = count.ending(a_logbook(lines(*CLOSED), dead=({"reason": "a bug"},)), [EXPECTED])
    assert dead == "dead letter: a bug"


def test_an_event_that_has_no_place_in_its_state_is_a_problem() -> None:
    """Everybody who reads that ledger stumbles over it."""
    (line, *_) = count.ending(a_logbook(lines(CLOSED[0], CLOSED[-1])), [EXPECTED])
    assert line.startswith("inc-1: Quiet has no place in detected")


def test_every_victim_is_killed_at_random_at_edges_and_frozen() -> None:
    """The names of rows are their addresses: none is there twice but those of several rounds."""
    one = cases(1)
    assert len({case.name for case in one}) == len(one)
    for victim in (*SERVICES, NATS):
        moments = [case.moment for case in one if case.victim == victim]
        for word in ("at random", "before", "after", "frozen"):
            assert any(word in moment for moment in moments), (victim, word)
    assert len(cases(3)) == len(one) + 2 * (len(SERVICES) + 1)


def test_a_patch_that_only_differs_in_its_edits_is_another_plan() -> None:
    """The second of two plans is no second attempt of the first."""
    began = next(event for event in CLOSED if isinstance(event, TransactionOpened))
    edit = Edit(path="/spec/replicas", before=Present(value=1), after=Present(value=9))
    other = a_patch().model_copy(update={"edits": (edit,)})
    plan = began.plan.model_copy(update={"changes": (other,)})
    again = began.model_copy(update={"transaction": TransactionId("txn-2"), "plan": plan})
    assert count.doubled(a_logbook(lines(*CLOSED, again)), NO_WRITES, 1) == []


def test_the_rows_can_be_listed_as_only_takes_them(capsys: pytest.CaptureFixture[str]) -> None:
    """Each is one row of its own, and nothing is played."""
    assert run.listed(run.Options(only=("undo",))) == 0
    names = capsys.readouterr().out.splitlines()
    assert "undo:before and after mark" in names
    assert [name for name in names if name not in {case.name for case in run.chosen(run.Options(only=(name,)))}] == []
