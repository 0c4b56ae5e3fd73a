"""Every (state, event) pair: a row, ignored, or illegal. Written from the design, not from the code."""

from collections.abc import Iterator, Mapping
from typing import Final

import pytest

from shared.domain import events
from shared.domain.errors import IllegalTransition
from shared.domain.events import EVENT_TYPES, Base, Owner, Recorded, TransactionSeized, UndoRequested, UndoWhy
from shared.domain.ids import EventId, TransactionId
from shared.domain.incident import IGNORED, TRANSITIONS, State, advance, apply
from shared.domain.transaction import Outcome
from shared.testing.builders import HOLDER, T0, an_incident

# One line for each event: who may append it, and from -> to. `-` is an incident that was never opened.
EXPECTED: Final = """
Opened            detector                 - > detected
DiagnosisStarted  diagnoser                detected > diagnosing
Diagnosed         diagnoser                diagnosing > planning
NothingFound      diagnoser                diagnosing > escalated
CouldNotLook      diagnoser                diagnosing > escalated
TransactionOpened mitigator                planning > mitigating
ApprovalRequested mitigator                planning > awaiting_approval
Proposed          mitigator                planning > escalated
NoPlanLeft        mitigator                planning > escalated
Deferred          mitigator                planning > planning
Stale             mitigator                planning > diagnosing
Approved          gateway                  awaiting_approval > planning
Denied            gateway                  awaiting_approval > planning
ApprovalExpired   mitigator                awaiting_approval > escalated
Intended          mitigator                mitigating > mitigating
StepApplied       mitigator                mitigating > mitigating
Applied           mitigator                mitigating > validating
UndoRequested     mitigator,undo,gateway   mitigating,validating > undoing
UndoRequested     mitigator,gateway        resolved > undoing
UndoRequested     gateway                  diagnosing,planning,awaiting_approval,escalated,stuck > undoing
Kept              mitigator                validating > resolved
KeptMoreToDo      mitigator                validating > diagnosing
TransactionSeized undo                     undoing > undoing
UndoIntended      undo                     undoing > undoing
UndoStepApplied   undo                     undoing > undoing
Undone            undo                     undoing > diagnosing
UndoneUntried     undo                     undoing > planning
UndoneForGood     undo                     undoing > escalated
UndoStuck         undo                     undoing > stuck
Relapsed          detector                 resolved > diagnosing
Quiet             detector                 resolved > closed
Cleared           detector                 detected,diagnosing,planning,awaiting_approval,escalated > resolved
Merged            detector                 detected,diagnosing,planning,awaiting_approval,escalated > closed
TakenOver         gateway                  detected,diagnosing,planning,awaiting_approval > escalated
TakenOver         gateway                  resolved,escalated,stuck > escalated
PlanPicked        gateway                  escalated,stuck > planning
Closed            gateway                  escalated,stuck > closed
"""
# Late repeats that are harmless.
EXPECTED_IGNORED: Final = {
    ("resolved", "Cleared"),
    ("closed", "Cleared"),
    ("closed", "Quiet"),
    ("closed", "Closed"),
    ("closed", "Merged"),
    ("undoing", "UndoRequested"),
}


def expected_rows() -> Iterator[tuple[str, str, str, frozenset[Owner]]]:
    """(from, event, to, owners) of every row above."""
    for line in EXPECTED.strip().splitlines():
        event, owners, froms, _, to = line.split()
        for state in froms.split(","):
            yield state, event, to, frozenset(Owner(owner) for owner in owners.split(","))


ROWS: Final[Mapping[tuple[str, str], tuple[str, frozenset[Owner]]]] = {
    (state, event): (to, owners) for state, event, to, owners in expected_rows()
}
STATES: Final[tuple[State | None, ...]] = (None, *State)


def an_event(kind: type[Base]) -> Base:
    """An event of a type; the table looks at nothing but the type."""
    return kind.model_construct()


@pytest.mark.parametrize("kind", EVENT_TYPES, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("state", STATES, ids=lambda state: state or "never opened")
def test_every_pair_is_a_row_or_ignored_or_illegal(state: State | None, kind: type[Base]) -> None:
    """The table does what the design says, pair by pair; what it does not name is illegal."""
    named = (str(state) if state is not None else "-", kind.__name__)
    if named in ROWS:
        to, owners = ROWS[named]
        assert advance(state, an_event(kind)) == State(to)
        assert TRANSITIONS[state, kind].owners == owners
    elif named in EXPECTED_IGNORED:
        assert advance(state, an_event(kind)) is state
    else:
        with pytest.raises(IllegalTransition, match=kind.__name__):
            advance(state, an_event(kind))


def test_nothing_is_both_a_row_and_ignored() -> None:
    """A pair has one meaning."""
    assert not IGNORED & TRANSITIONS.keys()


def test_every_event_has_a_place_in_the_table_and_in_the_union() -> None:
    """An event that leads nowhere, or that the wire cannot carry, is no event."""
    assert {kind for _, kind in TRANSITIONS} == set(EVENT_TYPES)
    union = set(events.EVENTS.json_schema()["discriminator"]["mapping"])
    assert union == {kind.__name__ for kind in EVENT_TYPES}


def test_every_state_can_be_reached_and_only_closed_is_an_end() -> None:
    """No state is decoration, and none is a trap."""
    assert {row.next for row in TRANSITIONS.values()} == set(State)
    assert {state for state in State if not any(start is state for start, _ in TRANSITIONS)} == {State.CLOSED}


@pytest.mark.parametrize("state", [State.MITIGATING, State.VALIDATING, State.UNDOING])
def test_an_undo_is_of_the_transaction_that_is_concerned(state: State) -> None:
    """What was undone already stays so: else the transaction that is under way beside it would be orphaned."""
    now = an_incident(state)
    over = now.transactions[0].but(id=TransactionId("txn-before"), outcome=Outcome.UNDONE)
    both = now.but(transactions=(over, *now.transactions))
    asked = UndoRequested(transaction=over.id, why=UndoWhy.STEP_FAILED, reason="it was refused")
    said = TransactionSeized(transaction=over.id, holder=HOLDER) if state is State.UNDOING else asked
    record = Recorded(
        incident=both.id, id=EventId("late"), sequence=both.sequence + 1, at=T0, by=Owner.UNDO, event=said
    )
    with pytest.raises(IllegalTransition, match="txn-before, which is undone"):
        apply(both, record)
