"""What a plan waits for, and who: a person, a lock, a hold, a pause. Nothing is written meanwhile."""

from datetime import timedelta

import pytest

from services.gateway.handlers import obey
from services.gateway.orders import Pick
from shared.domain.cluster import Kind, Ref
from shared.domain.events import (
    Approved,
    Closed,
    Denied,
    NoPlanLeft,
    Owner,
    PlanPicked,
    Stale,
    UndoStuck,
)
from shared.domain.ids import IncidentId, TransactionId
from shared.domain.incident import Incident, State
from shared.domain.policy import Mode
from shared.domain.runbook import Plan
from shared.domain.transaction import Lock, Outcome
from shared.testing.builders import story_to
from tests.integration.the_core import Core, Process

HOLD = {"metadata": {"annotations": {"primum.dev/hold": "release freeze"}}}

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def asked(core: Core, process: Process) -> tuple[IncidentId, Plan]:
    """Bring an incident to the question whether its plan may run."""
    incident = await core.diagnosed(await core.broken_selector())
    await process.reconcile(incident)
    folded = await core.fold(incident)
    assert folded.state is State.AWAITING_APPROVAL
    assert folded.pending is not None
    return incident, folded.pending


async def looked_at(core: Core, process: Process, incident: IncidentId, times: int = 3) -> Incident:
    for _ in range(times):
        await process.reconcile(incident)
    return await core.fold(incident)


# --- a person


@pytest.mark.parametrize(
    ("mode", "destructive"), [(Mode.SUGGEST, ()), (Mode.ACT, ("fix-service-selector",))], ids=["suggest", "destructive"]
)
async def test_what_must_be_asked_is_asked_once_and_runs_when_approved(
    core: Core, mode: Mode, destructive: tuple[str, ...]
) -> None:
    """Nothing is written before the answer, and exactly the plan that was shown runs after it."""
    mitigator = core.mitigator(mode=mode, destructive_runbooks=frozenset(destructive))
    incident, plan = await asked(core, mitigator)
    shown = core.everything()
    await looked_at(core, mitigator, incident)
    assert (await core.names(incident)).count("ApprovalRequested") == 1
    assert (core.everything(), core.held()) == (shown, set())
    assert (Owner.MITIGATOR, incident) in core.bus.timers
    await core.says(Owner.GATEWAY, incident, Approved(plan_hash=plan.hash, by="ada"))
    await mitigator.reconcile(incident)
    transaction = await core.transaction(incident)
    assert (transaction.plan, (await core.fold(incident)).state) == (plan, State.VALIDATING)


async def test_an_approval_outlasts_the_diagnosis(core: Core) -> None:
    """A person who answers after half an hour is obeyed; that the plan still fits is checked on the cluster itself."""
    mitigator = core.mitigator(mode=Mode.SUGGEST)
    incident, plan = await asked(core, mitigator)
    core.clock.advance(1800)
    await core.says(Owner.GATEWAY, incident, Approved(plan_hash=plan.hash, by="ada"))
    await mitigator.reconcile(incident)
    assert (await core.transaction(incident)).plan == plan


async def test_an_approved_plan_that_no_longer_fits_is_stale(core: Core) -> None:
    """The value that it would replace is another now: it is diagnosed anew, and nothing is written."""
    mitigator = core.mitigator(mode=Mode.SUGGEST)
    incident, plan = await asked(core, mitigator)
    await core.says(Owner.GATEWAY, incident, Approved(plan_hash=plan.hash, by="ada"))
    core.somebody_edits(plan.cause.object, spec={"selector": {"app": "somebody"}})
    before = core.everything()
    await mitigator.reconcile(incident)
    assert isinstance((await core.history(incident))[-1].event, Stale)
    assert ((await core.fold(incident)).approved, core.everything()) == (None, before)


async def test_a_denied_plan_is_not_tried(core: Core) -> None:
    """It is excluded, with the reason on record; when nothing else is left a person has it."""
    mitigator = core.mitigator(mode=Mode.SUGGEST)
    incident, plan = await asked(core, mitigator)
    before = core.everything()
    await core.says(Owner.GATEWAY, incident, Denied(plan_hash=plan.hash, by="ada", reason="not today"))
    await mitigator.reconcile(incident)
    last = (await core.history(incident))[-1].event
    assert isinstance(last, NoPlanLeft)
    assert "denied" in last.considered[0]
    assert core.everything() == before


async def test_a_question_that_nobody_answers_expires(core: Core) -> None:
    """And then a person is called; nothing runs by silence."""
    mitigator = core.mitigator(mode=Mode.SUGGEST)
    incident, _ = await asked(core, mitigator)
    before = core.everything()
    core.clock.advance(3601)
    folded = await looked_at(core, mitigator, incident)
    assert (folded.state, core.everything()) == (State.ESCALATED, before)


async def test_a_picked_plan_is_the_one_that_runs(core: Core) -> None:
    """Hours later, from what was shown: that very plan, though the mitigator would make others too."""
    mitigator = core.mitigator(mode=Mode.SUGGEST)
    incident, plan = await asked(core, mitigator)
    core.clock.advance(3601)
    await mitigator.reconcile(incident)
    core.bus.beats[mitigator.holder] = core.clock.monotonic_s()
    await core.says(Owner.GATEWAY, incident, PlanPicked(plan_hash=plan.hash, by="ada"))
    await mitigator.reconcile(incident)
    assert (await core.transaction(incident)).plan == plan


async def test_observe_mode_says_what_it_would_have_done_and_writes_nothing(core: Core) -> None:
    """Not even a label."""
    incident, mitigator = await core.diagnosed(await core.broken_selector()), core.mitigator(mode=Mode.OBSERVE)
    before = core.everything()
    folded = await looked_at(core, mitigator, incident)
    assert (folded.state, folded.pending is not None) == (State.ESCALATED, True)
    assert (core.everything(), core.held()) == (before, set())
    assert (await core.names(incident)).count("Proposed") == 1


# --- the pause


async def test_while_paused_nothing_starts_and_it_is_said_once(core: Core) -> None:
    """After the resume it goes on by itself: a timer is armed."""
    incident, mitigator = await core.diagnosed(await core.broken_selector()), core.mitigator()
    core.bus.paused = "a drill"
    folded = await looked_at(core, mitigator, incident)
    assert (folded.state, folded.reason) == (State.PLANNING, "paused: a drill")
    assert (await core.names(incident)).count("Deferred") == 1
    assert (Owner.MITIGATOR, incident) in core.bus.timers
    core.bus.paused = None
    assert (await looked_at(core, mitigator, incident, 1)).state is State.VALIDATING


@pytest.mark.parametrize("moment", ["after TransactionOpened", "after Applied"], ids=["mitigating", "validating"])
async def test_a_pause_takes_back_what_is_under_way_and_undo_goes_on(core: Core, moment: str) -> None:
    """No further step, nothing left behind, nothing held against the plan: after the resume it may be tried again.

    What was written and taken back has moved what the diagnosis speaks of: then the cause is sought again first.
    """
    cause = await core.broken_selector()
    before = core.spec(cause.object)
    incident, mitigator, undo = await core.diagnosed(cause), core.mitigator(), core.undo()

    async def pause() -> None:
        core.bus.paused = "a drill"

    mitigator.moments.at(moment, pause)
    await looked_at(core, mitigator, incident, 2)
    assert (await core.fold(incident)).state is State.UNDOING
    assert ("Intended" in await core.names(incident)) == (moment == "after Applied")
    folded = await core.until(undo, incident, State.PLANNING, State.STUCK, State.ESCALATED)
    assert (folded.state, core.spec(cause.object), core.held()) == (State.PLANNING, before, set())
    assert (folded.excluded, folded.barred) == (frozenset(), frozenset())
    core.bus.paused = None
    after = State.DIAGNOSING if moment == "after Applied" else State.VALIDATING
    assert (await looked_at(core, mitigator, incident, 1)).state is after


# --- locks and holds


async def test_a_workload_that_another_incident_holds_is_waited_for_and_it_is_said_once(core: Core) -> None:
    """Three looks, one event; when the lock is free it starts."""
    cause = await core.broken_selector()
    incident, mitigator = await core.diagnosed(cause), core.mitigator()
    workload = core.ref(Kind.DEPLOYMENT, "cart")
    taken = Lock(workload=workload, incident=IncidentId("inc-0"), transaction=TransactionId("txn-0"), held=True)
    core.bus.locks[workload] = taken
    before = core.everything()
    folded = await looked_at(core, mitigator, incident)
    assert (folded.state, "txn-0 of incident inc-0" in folded.reason) == (State.PLANNING, True)
    assert ((await core.names(incident)).count("Deferred"), core.everything()) == (1, before)
    core.bus.locks[workload] = taken.but(held=False)
    assert (await looked_at(core, mitigator, incident, 1)).state is State.VALIDATING


async def test_of_two_incidents_that_start_at_once_one_waits(core: Core) -> None:
    """The lock is taken by compare-and-swap with the opening: who comes second has opened nothing."""
    cause = await core.broken_selector()
    first, second = await core.diagnosed(cause, "inc-1"), await core.diagnosed(cause, "inc-2")
    one, other = core.mitigator("mitigator-1"), core.mitigator("mitigator-2")

    async def overtake() -> None:
        await other.reconcile(second)

    one.moments.at("before TransactionOpened", overtake)
    await one.reconcile(first)
    assert (await core.fold(second)).state is State.VALIDATING
    assert (await core.fold(first)).transactions == ()


@pytest.mark.parametrize("where", ["object", "workload", "namespace"])
async def test_a_hold_is_respected(core: Core, where: str) -> None:
    """On what would be written, on what it serves, or on the whole namespace."""
    cause = await core.broken_selector()
    incident, mitigator = await core.diagnosed(cause), core.mitigator()
    held = {
        "object": cause.object,
        "workload": core.ref(Kind.DEPLOYMENT, "cart"),
        "namespace": Ref(cluster=cause.object.cluster, kind=Kind.NAMESPACE, namespace="", name=cause.object.namespace),
    }[where]
    core.somebody_edits(held, **HOLD)
    before = core.everything()
    folded = await looked_at(core, mitigator, incident)
    assert (folded.state, folded.reason) == (State.PLANNING, f"{held} is on hold (primum.dev/hold)")
    assert ((await core.names(incident)).count("Deferred"), core.everything()) == (1, before)


async def test_a_fourth_transaction_within_a_day_needs_a_person(core: Core) -> None:
    """Counted over all incidents, however many were opened since; the next day it is free again."""
    cause = await core.broken_selector()
    mitigator = core.mitigator()
    scratch = await core.diagnosed(cause, "inc-0")
    await mitigator.reconcile(scratch)
    plan = (await core.transaction(scratch)).plan
    core.bus.locks.clear()
    core.somebody_edits(cause.object, spec={"selector": {"app": "nobody"}})
    for number in (2, 3):
        await _told(core, f"inc-{number}", State.RESOLVED, plan)
    for number in range(120):
        await _told(core, f"inc-storm-{number}", State.DETECTED, plan)
    incident = await core.diagnosed(cause)
    await mitigator.reconcile(incident)
    last = (await core.history(incident))[-1].event
    assert isinstance(last, NoPlanLeft)
    assert "3 transactions" in last.considered[0]
    core.clock.advance(timedelta(hours=25).total_seconds())
    next_day = await core.diagnosed(cause, "inc-next-day")
    await mitigator.reconcile(next_day)
    assert (await core.fold(next_day)).state is State.VALIDATING


async def _told(core: Core, name: str, state: State, plan: Plan) -> None:
    """Tell the story of an incident of its own."""
    first, *rest = story_to(state, plan)
    incident = await core.ledger(Owner.DETECTOR).open(IncidentId(name), first.but(key=name))  # type: ignore[arg-type]
    for event in rest:
        owner = Owner.DIAGNOSER if event.name.startswith("Diagnos") else Owner.MITIGATOR
        incident = await core.ledger(owner).append(incident, event)


async def test_a_plan_picked_for_a_stuck_incident_gets_its_locks(core: Core) -> None:
    """The stuck transaction kept them until a person decides; the pick is that decision."""
    cause = await core.broken_selector()
    incident, mitigator, undo = await core.diagnosed(cause), core.mitigator(), core.undo()
    await core.killed(mitigator, incident, "after write")
    core.somebody_edits(cause.object, spec={"selector": {"app": "theirs"}})
    folded = await core.until(undo, incident, State.STUCK)
    assert isinstance((await core.history(incident))[-1].event, UndoStuck)
    assert core.held() != set()
    core.somebody_edits(cause.object, spec={"selector": {"app": "nobody"}})
    stuck = folded.transactions[-1]
    await obey(Pick(plan_hash=stuck.plan.hash, by="ada"), incident, core.ledger(Owner.GATEWAY), core.clock)
    await looked_at(core, core.mitigator("mitigator-2"), incident, 2)
    folded = await core.fold(incident)
    assert (folded.state, folded.transactions[0].outcome) == (State.VALIDATING, Outcome.STUCK)
    assert {lock.transaction for lock in core.bus.locks.values() if lock.held} == {folded.transactions[-1].id}


async def test_a_closed_incident_is_left_alone(core: Core) -> None:
    """A late wake-up finds nothing to do."""
    mitigator, undo = core.mitigator(mode=Mode.OBSERVE), core.undo()
    incident = await core.diagnosed(await core.broken_selector())
    await mitigator.reconcile(incident)
    await core.says(Owner.GATEWAY, incident, Closed(by="ada"))
    before = await core.names(incident)
    await mitigator.reconcile(incident)
    await undo.reconcile(incident)
    assert await core.names(incident) == before
