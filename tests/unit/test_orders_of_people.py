"""What the gateway answers to an order, wherever the incident stands."""

from collections.abc import Sequence
from datetime import timedelta

import pytest

from services.gateway.decide import Already, Append, Decision, Refused, decide
from services.gateway.orders import Approve, Close, Deny, Order, Pick, Take, Undo
from shared.domain.events import (
    Approved,
    Cleared,
    Closed,
    Denied,
    Event,
    Owner,
    PlanPicked,
    Recorded,
    TakenOver,
    UndoRequested,
    UndoWhy,
)
from shared.domain.ids import IncidentId, PlanHash, TransactionId
from shared.domain.incident import TRANSITIONS, State, fold
from shared.testing.builders import T0, TRANSACTION, a_plan, a_reading, recorded, story_to

PLAN = a_plan()
INCIDENT = IncidentId("inc-1")
ANOTHER = PlanHash("0123456789abcdef")


def after(events: Sequence[Event], order: Order, *, later_s: float = 60) -> Decision:
    """What an order leads to after these events."""
    history = recorded(INCIDENT, events)
    return decide(order, fold(INCIDENT, history), history, T0 + timedelta(seconds=later_s))


def in_state(state: State, order: Order) -> Decision:
    """What an order leads to in a state."""
    return after(story_to(state, PLAN), order)


def test_the_plan_that_waits_can_be_approved() -> None:
    """The approval names the plan's hash and who gave it."""
    assert in_state(State.AWAITING_APPROVAL, Approve(plan_hash=PLAN.hash, by="ada")) == Append(
        Approved(plan_hash=PLAN.hash, by="ada")
    )


def test_another_plan_than_the_one_that_waits_is_refused_by_name() -> None:
    """A person who looked at an old page must look again: the answer says which plan waits."""
    refused = in_state(State.AWAITING_APPROVAL, Approve(plan_hash=ANOTHER, by="ada"))
    assert isinstance(refused, Refused)
    assert PLAN.hash in refused.error


def test_approving_the_same_plan_again_is_no_error() -> None:
    """Two people, two clicks, or an answer that got lost: once is enough."""
    story = [*story_to(State.AWAITING_APPROVAL, PLAN), Approved(plan_hash=PLAN.hash, by="ada")]
    assert isinstance(after(story, Approve(plan_hash=PLAN.hash, by="bob")), Already)


def test_an_approval_that_comes_too_late_is_refused() -> None:
    """The fold would refuse it as well; the person is told what to do instead."""
    refused = after(story_to(State.AWAITING_APPROVAL, PLAN), Approve(plan_hash=PLAN.hash, by="ada"), later_s=31 * 60)
    assert isinstance(refused, Refused)
    assert "expired" in refused.error


def test_denying_and_denying_again() -> None:
    """A denial is recorded once."""
    order = Deny(plan_hash=PLAN.hash, by="ada", reason="not at noon")
    denied = Denied(plan_hash=PLAN.hash, by="ada", reason="not at noon")
    assert in_state(State.AWAITING_APPROVAL, order) == Append(denied)
    assert isinstance(after([*story_to(State.AWAITING_APPROVAL, PLAN), denied], order), Already)


@pytest.mark.parametrize("state", [state for state in State if state is not State.AWAITING_APPROVAL])
def test_nothing_else_than_what_waits_can_be_approved(state: State) -> None:
    """The refusal says where the incident stands."""
    refused = in_state(state, Approve(plan_hash=ANOTHER, by="ada"))
    assert isinstance(refused, Refused)
    assert f"it is {state}" in refused.error


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize(("order", "event"), [(Take(by="ada"), TakenOver), (Close(by="ada"), Closed)])
def test_taking_and_closing_follow_the_table(state: State, order: Order, event: type[TakenOver | Closed]) -> None:
    """What the table allows the gateway is done, and nothing else."""
    row = TRANSITIONS.get((state, event))
    decision = in_state(state, order)
    assert isinstance(decision, Append) == (row is not None and Owner.GATEWAY in row.owners)


def test_closing_frees_what_the_incident_held() -> None:
    """Its key, and the locks that a stuck transaction kept."""
    decision = in_state(State.STUCK, Close(by="ada", reason="mended by hand"))
    assert isinstance(decision, Append)
    assert decision.lets_go
    assert decision.ends


def test_closing_what_is_closed_is_no_error() -> None:
    """It is so already."""
    assert isinstance(in_state(State.CLOSED, Close(by="ada")), Already)


def test_a_plan_that_was_shown_can_be_picked() -> None:
    """After an undo that got stuck, say, the person wants that very plan."""
    assert in_state(State.STUCK, Pick(plan_hash=PLAN.hash, by="ada")) == Append(
        PlanPicked(plan_hash=PLAN.hash, by="ada"), lets_go=True
    )


def test_a_plan_that_nobody_was_shown_cannot_be_picked() -> None:
    """The refusal lists the plans there are."""
    refused = in_state(State.STUCK, Pick(plan_hash=ANOTHER, by="ada"))
    assert isinstance(refused, Refused)
    assert PLAN.hash in refused.error


@pytest.mark.parametrize("state", [State.MITIGATING, State.VALIDATING, State.RESOLVED, State.STUCK])
def test_a_transaction_that_is_in_the_cluster_can_be_taken_back(state: State) -> None:
    """While it runs, while it is judged, in the watch window, and once more where undo got stuck."""
    decision = in_state(state, Undo(by="ada", reason="wrong time", transaction=TRANSACTION))
    assert isinstance(decision, Append)
    assert decision.event == UndoRequested(transaction=TRANSACTION, why=UndoWhy.PERSON, reason="wrong time", by="ada")


def test_what_is_being_taken_back_already_is_no_error() -> None:
    """A second order changes nothing."""
    assert isinstance(in_state(State.UNDOING, Undo(by="ada", transaction=TRANSACTION)), Already)


@pytest.mark.parametrize("state", [State.CLOSED])
def test_a_closed_incident_stays_closed(state: State) -> None:
    """Its record is complete."""
    assert isinstance(in_state(state, Undo(by="ada", transaction=TRANSACTION)), Refused)


def test_a_transaction_of_another_incident_is_refused() -> None:
    """The gateway looks it up, but the decision does not rely on that."""
    assert isinstance(in_state(State.RESOLVED, Undo(by="ada", transaction=TransactionId("txn-other"))), Refused)


def test_every_order_is_answered_in_every_state() -> None:
    """Nothing raises, and what is appended has a row in the table: people cannot break the machine."""
    orders: Sequence[Order] = (
        Approve(plan_hash=PLAN.hash, by="ada"),
        Deny(plan_hash=PLAN.hash, by="ada"),
        Take(by="ada"),
        Pick(plan_hash=PLAN.hash, by="ada"),
        Close(by="ada"),
        Undo(by="ada", transaction=TRANSACTION),
    )
    for state in State:
        for order in orders:
            decision = in_state(state, order)
            if isinstance(decision, Append):
                assert Owner.GATEWAY in TRANSITIONS[(state, type(decision.event))].owners


def test_an_earlier_transaction_waits_for_the_later_ones() -> None:
    """Newest first: an older value put back under a newer one would be nobody's state."""
    first = story_to(State.RESOLVED, PLAN)
    history = list(recorded(INCIDENT, first))
    incident = fold(INCIDENT, history)
    earlier, later = incident.transactions[0], TransactionId("txn-later")
    both = incident.but(transactions=(earlier, earlier.but(id=later)))
    refused = decide(Undo(by="ada", transaction=TRANSACTION), both, history, T0)
    assert isinstance(refused, Refused)
    assert later in refused.error
    assert isinstance(decide(Undo(by="ada", transaction=later), both, history, T0), Append)


def test_an_approval_after_it_cleared_says_where_it_stands() -> None:
    """The symptom left while the person was reading."""
    story = [*story_to(State.AWAITING_APPROVAL, PLAN), Cleared(reading=a_reading())]
    history: Sequence[Recorded] = recorded(INCIDENT, story)
    refused = decide(Approve(plan_hash=PLAN.hash, by="ada"), fold(INCIDENT, history), history, T0)
    assert isinstance(refused, Refused)
    assert "it is resolved" in refused.error
