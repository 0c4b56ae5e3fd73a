"""The fold: an incident is what its events say, one after the other, and every event survives the wire."""

from datetime import datetime, timedelta
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.errors import IllegalTransition
from shared.domain.events import (
    EVENT_TYPES,
    EVENTS,
    Applied,
    ApprovalExpired,
    ApprovalRequested,
    Approved,
    Base,
    Cleared,
    Closed,
    CouldNotLook,
    Deferred,
    Denied,
    Diagnosed,
    DiagnosisStarted,
    Event,
    Intended,
    Kept,
    KeptMoreToDo,
    Merged,
    NoPlanLeft,
    NothingFound,
    Owner,
    PlanPicked,
    Proposed,
    Quiet,
    Recorded,
    Relapsed,
    Stale,
    StepApplied,
    TakenOver,
    TransactionOpened,
    TransactionSeized,
    UndoIntended,
    Undone,
    UndoneForGood,
    UndoneUntried,
    UndoRequested,
    UndoStepApplied,
    UndoStuck,
    UndoWhy,
)
from shared.domain.ids import EventId, IncidentId, TransactionId
from shared.domain.incident import IGNORED, TRANSITIONS, Incident, State, apply, fold
from shared.domain.transaction import Outcome
from shared.testing.builders import (
    HOLDER,
    T0,
    a_cause,
    a_health,
    a_patch,
    a_plan,
    a_reading,
    a_verdict,
    an_incident,
    opened,
)

ID: Final = IncidentId("inc-1")
FIRST: Final = TransactionId("txn-1")
PLAN: Final = a_plan()
LATER: Final = T0 + timedelta(hours=1)


def one_of_each(transaction: TransactionId = FIRST) -> dict[type[Base], Event]:
    """One event of every type, as a service would write it; those in a transaction name this one."""
    judged = {"transaction": transaction, "verified": a_verdict(), "after": a_health()}
    kept = {
        "transaction": transaction,
        "verdict": a_verdict(),
        "after": a_health(),
        "symptom": a_reading(),
        "reason": "it helped",
    }
    made: list[Event] = [
        opened(),
        Cleared(reading=a_reading()),
        Merged(into=IncidentId("inc-2"), reason="one root"),
        Relapsed(reading=a_reading()),
        Quiet(reason="quiet"),
        DiagnosisStarted(),
        Diagnosed(causes=(a_cause(),), looked_at=("pods",)),
        NothingFound(looked_at=("pods",)),
        CouldNotLook(reason="no answer"),
        TransactionOpened(
            transaction=transaction,
            plan=PLAN,
            holder=HOLDER,
            before=a_health(),
            symptom_before=a_reading(),
            permitted_because="it is unlocked",
        ),
        ApprovalRequested(plan=PLAN, diff=("a",), reason="it asks", expires_at=LATER),
        Proposed(plan=PLAN, diff=("a",), reason="observe mode"),
        NoPlanLeft(considered=("none",)),
        Deferred(reason="paused", until=LATER),
        Stale(reason="old"),
        ApprovalExpired(plan_hash=PLAN.hash),
        Intended(transaction=transaction, step=0, change=a_patch(), pre_image={"a": 1}, post_image={"a": 2}),
        StepApplied(transaction=transaction, step=0),
        Applied(transaction=transaction, judge_by=LATER),
        Kept(**kept),
        KeptMoreToDo(**kept),
        UndoRequested(transaction=transaction, why=UndoWhy.WORSE, reason="worse", verdict=a_verdict()),
        TransactionSeized(transaction=transaction, holder=HOLDER),
        UndoIntended(transaction=transaction, step=0, change=a_patch().inverse()),
        UndoStepApplied(transaction=transaction, step=0, found="ours"),
        Undone(**judged),
        UndoneUntried(**judged),
        UndoneForGood(**judged, reason="no attempts left"),
        UndoStuck(transaction=transaction, reason="edited", values=("a: 1, 2",)),
        Approved(plan_hash=PLAN.hash, by="ada"),
        Denied(plan_hash=PLAN.hash, by="ada", reason="no"),
        TakenOver(by="ada"),
        PlanPicked(plan_hash=PLAN.hash, by="ada"),
        Closed(by="ada"),
    ]
    return {type(event): event for event in made}


def record(event: Event, sequence: int, *, at: datetime = T0) -> Recorded:
    """As the ledger would hold it."""
    return Recorded(
        incident=ID,
        id=EventId(f"e-{sequence}"),
        sequence=sequence,
        at=at + timedelta(seconds=sequence),
        by=Owner.DETECTOR,
        event=event,
    )


@st.composite
def stories(draw: st.DrawFn) -> list[Recorded]:
    """Any way through the table, with one transaction after the other."""
    state: State | None = None
    transaction = TransactionId("txn-0")
    begun: list[TransactionId] = []
    stays = False
    told: list[Recorded] = []
    for sequence in range(3, 3 + 2 * draw(st.integers(1, 25)), 2):
        legal = [kind for known, kind in (*TRANSITIONS, *IGNORED) if known == state]
        if not stays:  # nothing of it is in the cluster
            legal = [kind for kind in legal if kind is not UndoRequested or (state, kind) in IGNORED]
        if not legal:
            break
        kind = draw(st.sampled_from(sorted(legal, key=lambda each: each.__name__)))
        if kind is TransactionOpened:
            transaction = TransactionId(f"txn-{len(begun) + 1}")
            begun.append(transaction)
        stays = kind is TransactionOpened or (stays and kind not in {Undone, UndoneUntried, UndoneForGood})
        told.append(record(one_of_each(transaction)[kind], sequence))
        state = TRANSITIONS[state, kind].next if (state, kind) in TRANSITIONS else state
    return told


examples = settings(max_examples=60, deadline=None)


@pytest.mark.parametrize("kind", EVENT_TYPES, ids=lambda kind: kind.__name__)
def test_an_event_survives_the_wire(kind: type[Base]) -> None:
    """JSON and back is the same value, of the same type; and so is its record."""
    event = one_of_each()[kind]
    back = EVENTS.validate_json(EVENTS.dump_json(event))
    assert (type(back), back) == (kind, event)
    kept = record(event, 7)
    assert Recorded.model_validate_json(kept.model_dump_json()) == kept


@examples
@given(story=stories())
def test_the_state_is_the_tables_and_the_sequence_the_ledgers(story: list[Recorded]) -> None:
    """No event moves it anywhere else; every state that it went through is on record, in order."""
    state: State | None = None
    through: list[State] = []
    for each in story:
        row = TRANSITIONS.get((state, type(each.event)))
        if row is not None and row.next is not state:
            through.append(row.next)
        state = row.next if row is not None else state
    incident = fold(ID, story)
    assert incident.state is state
    assert list(incident.states) == through
    assert incident.sequence == (story[-1].sequence if story else 0)


@examples
@given(story=stories(), cut=st.integers(0, 50))
def test_folding_on_from_any_point_is_folding_from_the_start(story: list[Recorded], cut: int) -> None:
    """So a service may keep what it folded and add what came since."""
    incident = fold(ID, story[:cut])
    for each in story[cut:]:
        incident = apply(incident, each)
    assert incident == fold(ID, story)


@examples
@given(story=stories())
def test_a_folded_incident_survives_the_wire(story: list[Recorded]) -> None:
    """What the API shows is what was folded."""
    incident = fold(ID, story)
    assert Incident.model_validate_json(incident.model_dump_json()) == incident


@examples
@given(story=stories())
def test_at_most_one_transaction_is_under_way_or_being_taken_back(story: list[Recorded]) -> None:
    """And one is exactly while the state says so."""
    incident = fold(ID, story)
    moving = [each for each in incident.transactions if each.outcome in {Outcome.UNDER_WAY, Outcome.UNDOING}]
    in_transaction = incident.state in {State.MITIGATING, State.VALIDATING, State.UNDOING}
    assert len(moving) == (1 if in_transaction else 0)


@examples
@given(story=stories(), kind=st.sampled_from(EVENT_TYPES))
def test_an_illegal_event_changes_nothing(story: list[Recorded], kind: type[Base]) -> None:
    """It raises, and the incident is what it was."""
    incident = fold(ID, story)
    if (incident.state, kind) in TRANSITIONS or (incident.state, kind) in IGNORED:
        return
    before = incident.model_copy(deep=True)
    with pytest.raises(IllegalTransition):
        apply(incident, record(one_of_each()[kind], 1000))
    assert incident == before


def test_a_transaction_that_was_never_opened_cannot_be_undone() -> None:
    """The table alone would allow it."""
    with pytest.raises(IllegalTransition, match="never opened"):
        apply(an_incident(State.PLANNING), record(one_of_each(TransactionId("other"))[UndoRequested], 99))


def test_an_undone_plan_is_excluded_and_its_pair_barred() -> None:
    """It was judged: neither the plan nor its runbook is tried on that object again."""
    undone = apply(an_incident(State.UNDOING), record(one_of_each(TransactionId("txn-story"))[Undone], 99))
    assert undone.excluded == {PLAN.hash}
    assert undone.barred == {(PLAN.cause.object, PLAN.runbook.name)}


def test_a_plan_whose_holder_died_is_neither_excluded_nor_barred() -> None:
    """Nothing was judged; it is only counted."""
    untried = apply(an_incident(State.UNDOING), record(one_of_each(TransactionId("txn-story"))[UndoneUntried], 99))
    assert (untried.excluded, untried.barred, untried.untried) == (frozenset(), frozenset(), (PLAN.hash,))


@pytest.mark.parametrize(("late_s", "counts"), [(-1, True), (0, True), (1, False)])
def test_an_approval_after_its_expiry_counts_for_nothing(late_s: int, counts: bool) -> None:  # noqa: FBT001 - a row
    """It cannot be unread from the ledger; the plan is asked for again."""
    incident = an_incident(State.AWAITING_APPROVAL)
    assert incident.approval_expires_at is not None
    at = incident.approval_expires_at + timedelta(seconds=late_s - 99)
    approved = apply(incident, record(Approved(plan_hash=PLAN.hash, by="ada"), 99, at=at))
    assert approved.state is State.PLANNING
    assert (approved.approved == PLAN.hash) is counts
