"""The mitigator's decisions: which plan, may it start now, and what becomes of it."""

from datetime import timedelta
from typing import Any

import pytest

from services.mitigator import decide
from shared.domain.cause import Cause, CauseCode
from shared.domain.change import Evict
from shared.domain.cluster import HOLD, Kind
from shared.domain.events import (
    ApprovalRequested,
    Kept,
    KeptMoreToDo,
    SampleTaken,
    UndoRequested,
    UndoWhy,
)
from shared.domain.health import Health, Symptom, Traffic
from shared.domain.ids import IncidentId, TransactionId
from shared.domain.incident import Incident, State
from shared.domain.policy import Mode, Policy
from shared.domain.runbook import Plan
from shared.domain.transaction import Lock, Outcome, Transaction
from shared.judge.keep_or_undo import NotYet
from shared.testing.builders import (
    T0,
    TRANSACTION,
    a_cause,
    a_deployment,
    a_health,
    a_patch,
    a_plan,
    a_pod,
    a_reading,
    a_ref,
    a_snapshot,
    a_workload,
    an_incident,
    an_object,
    recorded,
    story_to,
)

ACT = Policy(mode=Mode.ACT)
FIRST, SECOND = a_plan("scale-up"), a_plan("restart")


def chosen(
    *plans: Plan, incident: Incident | None = None, policy: Policy = ACT, recent: decide.Recent = decide.NOTHING_RECENT
) -> object:
    return decide.choose(incident or an_incident(), plans, ["other: it does not apply"], policy, recent)


# --- is the cause gone


def test_what_only_log_lines_showed_is_not_gone_where_nobody_could_listen() -> None:
    """Silence is heard; a log that could not be had is not silence."""
    cause, shop = a_cause(CauseCode.CREDENTIALS_REFUSED), a_snapshot(a_workload())
    silence = {"shop/cart-1-a/main": ("INFO starting",)}
    assert decide.seen_gone(cause, shop.but(logs=silence))
    assert not decide.seen_gone(cause, shop)
    assert not decide.seen_gone(cause, shop.but(logs=silence, unheard=("shop/cart-1-b/main",)))
    assert decide.seen_gone(a_cause(CauseCode.CRASH_LOOP), shop)


@pytest.mark.parametrize(
    "cause",
    [
        a_cause(CauseCode.RETRY_STORM, ref=a_ref("front")).but(harms=a_ref("cart")),
        a_cause(CauseCode.SLOW_DEPENDENCY, ref=a_ref("cart")),
    ],
    ids=["by whom it harms", "by how it does"],
)
def test_what_is_known_by_who_is_ill_is_not_gone_before_that_one_is_well(cause: Cause) -> None:
    """That nobody suspects it any more, since the change was taken back or there is worse, proves nothing."""
    ill = a_snapshot(a_workload(), a_workload("front")).but(recent={"shop/cart": Traffic(requests=100, errors=30)})
    assert not decide.seen_gone(cause, ill)
    assert decide.seen_gone(cause, ill.but(recent={"shop/cart": Traffic(requests=100, errors=0)}))


# --- which plan


def test_the_first_plan_that_may_run_is_started() -> None:
    """Best first, and the order is not questioned."""
    started = chosen(FIRST, SECOND)
    assert isinstance(started, decide.Start)
    assert started.plan == FIRST


def test_a_plan_that_must_be_asked_for_is_asked_for_before_a_later_one_is_run() -> None:
    """A worse plan does not run because the better one needs a person."""
    asked = chosen(a_plan("drain", destructive=True), SECOND)
    assert isinstance(asked, decide.Ask)
    assert asked.plan.runbook.name == "drain"


def test_in_observe_mode_the_first_plan_is_proposed() -> None:
    """Recorded, not done."""
    assert isinstance(chosen(FIRST, policy=Policy(mode=Mode.OBSERVE)), decide.Propose)


def test_a_plan_that_policy_denies_is_passed_over_with_the_reason() -> None:
    """The next one has its turn; if there is none, a person reads all the reasons."""
    policy = ACT.but(forbidden_namespaces=frozenset({"shop"}))
    none_left = chosen(FIRST, policy=policy)
    assert isinstance(none_left, decide.NoneLeft)
    assert none_left.considered == (
        "other: it does not apply",
        "scale-up for image-pull-failed: namespace shop is off limits",
    )


def test_without_any_runbook_the_reason_is_that() -> None:
    """Never an empty explanation."""
    assert decide.choose(an_incident(), [], [], ACT) == decide.NoneLeft(considered=("no runbook treats these causes",))


@pytest.mark.parametrize(
    ("incident", "recent", "because"),
    [
        (an_incident().but(excluded=frozenset({FIRST.hash})), decide.NOTHING_RECENT, "denied, or undone"),
        (an_incident().but(barred=frozenset({(a_ref(), "scale-up")})), decide.NOTHING_RECENT, "undone on Deployment"),
        (an_incident(), decide.Recent(undone=frozenset({(a_ref(), "scale-up")})), "in another incident"),
        (an_incident().but(untried=(FIRST.hash, FIRST.hash)), decide.NOTHING_RECENT, "cut short 2 times"),
        (an_incident(), decide.Recent(transactions={a_ref(): 3}), "3 transactions"),
    ],
    ids=["excluded", "barred here", "barred elsewhere", "cut short twice", "three a day"],
)
def test_what_was_tried_is_not_tried_again(incident: Incident, recent: decide.Recent, because: str) -> None:
    """One attempt a plan, a bar a pair, three transactions a workload a day: each with its reason."""
    none_left = chosen(FIRST, incident=incident, recent=recent)
    assert isinstance(none_left, decide.NoneLeft)
    assert because in none_left.considered[-1]


def test_a_plan_that_was_cut_short_once_is_tried_again() -> None:
    """Its holder died: nothing was judged."""
    assert isinstance(chosen(FIRST, incident=an_incident().but(untried=(FIRST.hash,))), decide.Start)


def test_a_persons_approval_lifts_bars_but_no_prohibition() -> None:
    """Who approves a plan has seen that it was undone; what policy denies stays denied."""
    approved = an_incident().but(approved=FIRST.hash, excluded=frozenset({FIRST.hash}))
    assert isinstance(chosen(FIRST, incident=approved), decide.Start)
    assert isinstance(
        chosen(FIRST, incident=approved, policy=ACT.but(forbidden_namespaces=frozenset({"shop"}))), decide.NoneLeft
    )


# --- what the last day says


def transactions_of(state: State, incident: str = "inc-1", **changes: object) -> Incident:
    folded = an_incident(state, incident=incident, plan=FIRST)
    return folded.but(transactions=tuple(known.but(**changes) for known in folded.transactions))


def test_a_days_transactions_are_counted_over_all_incidents() -> None:
    """By workload; those before the day, and those that were never judged, do not count."""
    incidents = [
        transactions_of(State.RESOLVED),
        transactions_of(State.VALIDATING, "inc-2"),
        transactions_of(State.RESOLVED, "inc-3", untried=True),
        transactions_of(State.RESOLVED, "inc-4", opened_at=T0 - timedelta(days=2)),
    ]
    known = [each for incident in incidents for each in decide.past(incident)]
    assert decide.recently(known, T0 - timedelta(days=1)).transactions == {a_ref(): 2}


@pytest.mark.parametrize(
    ("changes", "barred"),
    [
        ({"outcome": Outcome.UNDONE}, True),
        ({"outcome": Outcome.STUCK}, True),
        ({"outcome": Outcome.UNDONE, "undo_why": UndoWhy.HOLDER_DIED}, False),
        ({"outcome": Outcome.UNDONE, "undo_why": UndoWhy.CUT_OFF}, False),
        ({"outcome": Outcome.UNDONE, "undo_why": UndoWhy.PAUSED}, False),
        ({"outcome": Outcome.UNDONE, "undo_requested_at": T0 - timedelta(days=2)}, False),
        ({"outcome": Outcome.KEPT}, False),
    ],
    ids=["undone", "stuck", "holder died", "cut off", "paused", "the day before", "kept"],
)
def test_a_pair_that_was_judged_and_taken_back_is_barred_for_a_day(changes: dict[str, object], *, barred: bool) -> None:
    """For every incident; a death or a pause says nothing against it."""
    recent = decide.recently(decide.past(transactions_of(State.UNDOING, "inc-1", **changes)), T0 - timedelta(days=1))
    assert recent.undone == (frozenset({(a_ref(), "scale-up")}) if barred else frozenset())


# --- may it start now


def test_a_diagnosis_ages_but_not_under_an_approval() -> None:
    """People may take longer to answer than a diagnosis lasts."""
    incident, later = an_incident(), T0 + timedelta(seconds=700)
    assert decide.outdated(incident, later, 600)
    assert not decide.outdated(incident, T0 + timedelta(seconds=60), 600)
    assert not decide.outdated(incident.but(approved=FIRST.hash), later, 600)


def test_a_diagnosis_does_not_outlive_our_own_write() -> None:
    """Put back is not untouched: revisions have other numbers, and the best plan would no longer be found."""
    back, soon = an_incident(State.VALIDATING, plan=FIRST).but(state=State.PLANNING), T0 + timedelta(seconds=60)
    assert decide.outdated(back, soon, 600)
    nothing_written = back.but(transactions=tuple(known.but(intents=()) for known in back.transactions))
    assert not decide.outdated(nothing_written, soon, 600)


def test_a_plan_is_found_as_it_was_shown() -> None:
    """By its hash, in what was asked, proposed or done."""
    history = recorded("inc-1", story_to(State.AWAITING_APPROVAL, FIRST))
    assert isinstance(history[-1].event, ApprovalRequested)
    assert decide.shown(history, FIRST.hash) == FIRST
    assert decide.shown(history, SECOND.hash) is None


def test_a_plan_fits_while_every_value_is_what_it_was_made_for() -> None:
    """Else it names the value; an object that went, or was replaced, does not fit either."""
    plan = a_plan(change=a_patch(before=1, after=3))
    assert decide.no_longer_fits(plan, a_snapshot(a_deployment(replicas=1))) is None
    assert "is 2, not 1" in str(decide.no_longer_fits(plan, a_snapshot(a_deployment(replicas=2))))
    assert decide.no_longer_fits(plan, a_snapshot()) == "Deployment/shop/cart is gone"


def test_an_eviction_fits_only_the_very_pod() -> None:
    """A pod of the same name with another UID is another pod."""
    pod = a_pod("cart-1-a")
    evict = Evict(ref=pod.ref, uid=pod.uid, controller="ReplicaSet/cart-1")
    assert decide.no_longer_fits(a_plan().but(changes=(evict,)), a_snapshot(pod)) is None
    replaced = decide.no_longer_fits(a_plan().but(changes=(evict.but(uid="another"),)), a_snapshot(pod))
    assert replaced == f"{pod.ref} was replaced"


def a_lock(incident: str = "inc-0", *, held: bool = True) -> Lock:
    return Lock(workload=a_ref(), incident=IncidentId(incident), transaction=TransactionId("txn-0"), held=held)


def test_nothing_holds_a_plan_back_whose_scope_is_free() -> None:
    """A lock that was let go is no lock; a symptom that could not be measured is no reason to wait."""
    for symptom in (Symptom.PRESENT, Symptom.UNKNOWN):
        assert decide.held_back([a_lock(held=False)], [a_deployment()], a_reading(symptom), None) is None


def test_a_lock_holds_back_and_names_its_holder() -> None:
    """Who waits is told for whom."""
    said = decide.held_back([a_lock()], [], a_reading(), None)
    assert said == "Deployment/shop/cart is locked by transaction txn-0 of incident inc-0"


@pytest.mark.parametrize("place", ["labels", "annotations"])
def test_a_hold_holds_back_wherever_it_stands(place: str) -> None:
    """As a label or as an annotation, whatever its value."""
    marks: dict[str, Any] = {place: {HOLD: ""}}
    namespace = an_object(a_ref("shop", Kind.NAMESPACE), {}, **marks)
    assert decide.held_back([], [namespace], a_reading(), None) == f"Namespace/shop is on hold ({HOLD})"


@pytest.mark.parametrize(
    ("symptom", "ailing", "waits"),
    [
        (Symptom.RECEDING, None, True),
        (Symptom.RECEDING, "0 of 3 pods are ready", True),
        (Symptom.GONE, None, True),
        (Symptom.GONE, "0 of 3 pods are ready", False),
    ],
)
def test_nothing_starts_while_the_symptom_leaves_by_itself(
    symptom: Symptom, ailing: str | None, *, waits: bool
) -> None:
    """Gone while the scope ails is only out of sight; and the words are the same each time, so it is said once."""
    reading = a_reading(symptom).but(reason="3 series match, 5 did")
    assert decide.held_back([], [], reading, ailing) == (f"the symptom is {symptom}" if waits else None)


# --- the verdict


def a_transaction(**changes: object) -> Transaction:
    known = an_incident(State.VALIDATING, plan=FIRST).transaction
    assert known is not None
    return known.but(**changes)


def samples(symptom: Symptom, *, ready: int = 3, count: int = 3) -> list[SampleTaken]:
    healths = [a_health(ready=ready, at=T0 + timedelta(seconds=10 * number)) for number in range(count)]
    return [SampleTaken(transaction=TRANSACTION, health=health, symptom=a_reading(symptom)) for health in healths]


def judged(
    taken: list[SampleTaken],
    *,
    after_s: float = 30,
    cause_gone: bool = True,
    unmet: tuple[str, ...] = (),
    transaction: Transaction | None = None,
) -> Kept | KeptMoreToDo | UndoRequested | NotYet:
    return decide.judge(
        transaction or a_transaction(),
        taken,
        T0 + timedelta(seconds=after_s),
        cause_gone=cause_gone,
        postconditions_unmet=unmet,
        look_again_s=5,
        pace=1,
    )


def test_a_clear_success_is_kept_at_once() -> None:
    """Better over several samples, and the symptom is gone; the health after it is on record."""
    kept = judged(samples(Symptom.GONE))
    assert isinstance(kept, Kept)
    assert (kept.transaction, kept.unproven, kept.after) == (TRANSACTION, False, samples(Symptom.GONE)[-1].health)


def test_while_it_is_not_clear_it_is_looked_at_again() -> None:
    """At the next sample, or at the deadline if that is sooner."""
    waits = judged(samples(Symptom.PRESENT))
    assert isinstance(waits, NotYet)
    assert waits.until == T0 + timedelta(seconds=35)


def test_the_time_to_show_runs_from_the_end_of_the_rollout() -> None:
    """120 s after it settled, though the runbook's whole time would be 5 minutes."""
    assert isinstance(judged(samples(Symptom.PRESENT), after_s=119), NotYet)
    assert isinstance(judged(samples(Symptom.PRESENT), after_s=120), KeptMoreToDo)


def test_without_a_measured_symptom_a_mended_cause_is_kept_and_flagged() -> None:
    """Structural evidence stands; a person is told that it is all there is."""
    kept = judged(samples(Symptom.UNKNOWN), after_s=400)
    assert isinstance(kept, Kept)
    assert kept.unproven


def test_what_is_worse_is_taken_back_with_the_measurement() -> None:
    """Verdict and health go on record with the request."""
    undo = judged(samples(Symptom.PRESENT, ready=0), after_s=400)
    assert isinstance(undo, UndoRequested)
    assert (undo.why, undo.verdict is not None, undo.after is not None) == (UndoWhy.WORSE, True, True)


@pytest.mark.parametrize(("cause_gone", "unmet"), [(False, ()), (True, ("replicas are not what was asked for",))])
def test_what_neither_helped_nor_removed_its_cause_is_taken_back(cause_gone: bool, unmet: tuple[str, ...]) -> None:  # noqa: FBT001 - a parameter of the test
    """A postcondition that does not hold is a cause that is not mended."""
    undo = judged(samples(Symptom.PRESENT), after_s=400, cause_gone=cause_gone, unmet=unmet)
    assert isinstance(undo, UndoRequested)
    assert undo.why is UndoWhy.DID_NOT_HELP


def test_a_rollout_that_never_ended_has_shown_nothing_good() -> None:
    """At the deadline it is taken back, though the symptom is gone for the moment."""
    undo = judged(samples(Symptom.GONE, ready=2), after_s=400, transaction=a_transaction(before=a_health(ready=1)))
    assert isinstance(undo, UndoRequested)
    assert "did not end within its time" in undo.reason


def test_a_late_regression_is_worse_than_before_the_transaction() -> None:
    """Over several looks: one bad one is a pod that moves; the same as before it is none."""
    transaction = a_transaction(before=a_health(ready=2))
    assert decide.late_regression(transaction, [a_health(ready=2)] * 5) is None
    assert decide.late_regression(transaction, [a_health(ready=1)] * 2) is None
    assert decide.late_regression(transaction, [a_health(ready=1), a_health(), a_health(ready=1)]) is None
    undo = decide.late_regression(transaction, [a_health(), *[a_health(ready=1)] * 3])
    assert undo is not None
    assert undo.why is UndoWhy.WORSE
    assert "late regression" in undo.reason


def test_the_deadline_goes_by_the_pace_of_the_cluster() -> None:
    """60 s to settle and 120 s to show, ten times as fast."""
    assert decide.deadline(FIRST, T0, pace=10) == T0 + timedelta(seconds=18)


def test_a_scope_that_vanished_is_worse() -> None:
    """What was there before and is not there now is not a missing measurement."""
    gone = SampleTaken(transaction=TRANSACTION, health=Health(at=T0, workloads=()), symptom=a_reading(Symptom.GONE))
    assert isinstance(judged([gone] * 3), UndoRequested)


def test_a_doubtful_cause_asks() -> None:
    """Confidence below the threshold is a person's matter, also in act mode."""
    assert isinstance(chosen(a_plan(cause=a_cause(confidence=0.1))), decide.Ask)
