"""What a process leaves behind that died, and how it is put right: nobody's transaction stays open."""

import contextlib

import pytest

from services.undo.listening import Listening
from shared.domain.cause import Cause
from shared.domain.cluster import MARK, Kind
from shared.domain.errors import ClusterForbidden, Conflict, Retry
from shared.domain.events import Diagnosed, Owner, UndoneForGood, UndoRequested, UndoStepApplied, UndoStuck, UndoWhy
from shared.domain.ids import IncidentId
from shared.domain.incident import State
from shared.domain.transaction import Outcome
from tests.integration.the_core import Core, Process

OF_THE_MITIGATOR = ["after TransactionOpened", "after Intended", "after write", "after StepApplied", "after Applied"]
OF_UNDO = [
    "after UndoRequested",
    "after TransactionSeized",
    "after mark",
    "after UndoIntended",
    "before write",
    "after write",
    "after UndoStepApplied",
    "before UndoneUntried",
]
ENDS = (State.PLANNING, State.DIAGNOSING, State.ESCALATED, State.STUCK)

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def left_by_a_dead_mitigator(core: Core, moment: str = "after write") -> tuple[IncidentId, Cause, object]:
    """Kill a mitigator at a moment; return the incident, its cause, and the spec as it was before."""
    cause = await core.broken_selector()
    before = core.spec(cause.object)
    incident = await core.diagnosed(cause)
    await core.killed(core.mitigator(), incident, moment)
    return incident, cause, before


async def assert_nothing_is_left(core: Core, incident: IncidentId, cause: Cause, before: object) -> None:
    folded, transaction = await core.fold(incident), await core.transaction(incident)
    assert (folded.state, transaction.outcome, transaction.untried) == (State.PLANNING, Outcome.UNDONE, True)
    assert core.spec(cause.object) == before
    assert core.held() == set()
    assert (folded.excluded, folded.barred) == (frozenset(), frozenset())


@pytest.mark.parametrize("moment", OF_THE_MITIGATOR)
async def test_whatever_a_dead_mitigator_left_is_taken_back(core: Core, moment: str) -> None:
    """Undo sees the dead heartbeat, takes over with a higher epoch, puts back, verifies, frees; twice is once."""
    incident, cause, before = await left_by_a_dead_mitigator(core, moment)
    epoch = (await core.transaction(incident)).epoch
    undo = core.undo()
    await core.until(undo, incident, *ENDS)
    await assert_nothing_is_left(core, incident, cause, before)
    assert (await core.transaction(incident)).epoch > epoch
    events, stored = await core.names(incident), core.stored(cause.object)
    await undo.reconcile(incident)
    await core.undo("undo-2").reconcile(incident)
    assert (await core.names(incident), core.stored(cause.object)) == (events, stored)


@pytest.mark.parametrize("moment", OF_UNDO)
async def test_another_undo_process_ends_what_a_dead_one_began(core: Core, moment: str) -> None:
    """Killed anywhere on its way, with the same end."""
    incident, cause, before = await left_by_a_dead_mitigator(core)
    await core.killed(core.undo("undo-1"), incident, moment)
    await core.until(core.undo("undo-2"), incident, *ENDS)
    await assert_nothing_is_left(core, incident, cause, before)
    assert (await core.names(incident)).count("UndoneUntried") == 1


async def test_what_is_back_is_not_touched_again(core: Core) -> None:
    """It is fenced and back, and whoever verifies it lets its locks go: a mark after that would be a late write."""
    incident, cause, _ = await left_by_a_dead_mitigator(core, "after Intended")
    await core.killed(core.undo("undo-1"), incident, "before UndoneUntried")
    touched = core.version(cause.object)
    await core.until(core.undo("undo-2"), incident, *ENDS)
    assert core.version(cause.object) == touched


async def test_an_undo_that_wakes_up_late_touches_nothing(core: Core) -> None:
    """It had taken over and was frozen before it fenced; another one ended its work and let the locks go."""
    incident, cause, _ = await left_by_a_dead_mitigator(core)
    late, touched = core.undo("undo-1"), list[str]()

    async def freeze() -> None:
        core.falls_silent(late)
        await core.until(core.undo("undo-2"), incident, *ENDS)
        touched.append(core.version(cause.object))

    late.moments.at("after TransactionSeized", freeze)
    for _ in range(3):
        with contextlib.suppress(Conflict):
            await late.reconcile(incident)
    assert [core.version(cause.object)] == touched


async def test_the_record_says_what_was_found_where_we_wrote(core: Core) -> None:
    """Ours and put back; or put back already, by an undo that died before it could say so."""
    incident, _, _ = await left_by_a_dead_mitigator(core)
    await core.killed(core.undo("undo-1"), incident, "after write")
    await core.until(core.undo("undo-2"), incident, *ENDS)
    found = [record.event.found for record in await core.history(incident) if isinstance(record.event, UndoStepApplied)]
    assert found == ["already-back"]


async def test_what_somebody_set_after_it_was_put_back_is_theirs(core: Core) -> None:
    """Also when it is the very value that Primum had written: by values alone it would look like ours."""
    incident, cause, before = await left_by_a_dead_mitigator(core)
    written = core.spec(cause.object)
    await core.killed(core.undo("undo-1"), incident, "after write")
    assert core.spec(cause.object) == before
    core.somebody_edits(cause.object, spec=written)
    await core.until(core.undo("undo-2"), incident, *ENDS)
    assert core.spec(cause.object) == written


async def test_an_object_that_somebody_replaced_while_it_was_undone_is_theirs(core: Core) -> None:
    """Without the label nobody can say whose the value is: a person is asked, with both on record."""
    incident, cause, _ = await left_by_a_dead_mitigator(core)
    written = core.spec(cause.object)
    await core.killed(core.undo("undo-1"), incident, "after write")
    core.somebody_edits(cause.object, spec=written, metadata={"labels": {MARK: None}})
    folded = await core.until(core.undo("undo-2"), incident, *ENDS)
    assert (folded.state, core.spec(cause.object)) == (State.STUCK, written)
    assert "somebody replaced the object since" in folded.reason


@pytest.mark.parametrize("label", [None, "txn-earlier.7.back-0"])
async def test_what_does_not_bear_our_label_before_it_is_fenced_is_theirs(core: Core, label: str | None) -> None:
    """Where our write never came, or is gone with its label, the value that we planned is somebody's own wish."""
    good = core.spec(core.ref(Kind.SERVICE, "cart"))
    incident, cause, _ = await left_by_a_dead_mitigator(core, "after Intended")
    core.somebody_edits(cause.object, spec=good, metadata={"labels": {MARK: label}})
    folded = await core.until(core.undo(), incident, *ENDS)
    assert (folded.state, core.spec(cause.object)) == (State.STUCK, good)
    assert "somebody replaced the object since" in folded.reason


async def test_what_somebody_set_after_the_fence_is_theirs(core: Core) -> None:
    """What the fence found as it was before is not ours later, whatever stands there then."""
    good = core.spec(core.ref(Kind.SERVICE, "cart"))
    incident, cause, before = await left_by_a_dead_mitigator(core, "after Intended")
    await core.killed(core.undo("undo-1"), incident, "after mark")
    assert core.spec(cause.object) == before
    core.somebody_edits(cause.object, spec=good)
    await core.until(core.undo("undo-2"), incident, *ENDS)
    assert core.spec(cause.object) == good


async def test_a_mitigator_that_lives_keeps_its_transaction(core: Core) -> None:
    """Undo only comes back to look: its timer is armed."""
    incident = await core.diagnosed(await core.broken_selector())
    await core.mitigator().reconcile(incident)
    before = await core.names(incident)
    await core.undo().reconcile(incident)
    assert await core.names(incident) == before
    assert (Owner.UNDO, incident) in core.bus.timers


@pytest.mark.parametrize("moment", ["before write", "after Intended", "before Intended"])
async def test_a_mitigator_that_wakes_up_late_writes_nothing(core: Core, moment: str) -> None:
    """It read the object before the takeover: the API server, or the ledger, refuses what it goes on with."""
    cause = await core.broken_selector()
    before = core.spec(cause.object)
    incident, mitigator = await core.diagnosed(cause), core.mitigator()

    async def freeze() -> None:
        core.falls_silent(mitigator)
        await core.until(core.undo(), incident, *ENDS)
        core.bus.paused = "so that nothing new is begun"

    mitigator.moments.at(moment, freeze)
    await mitigator.reconcile(incident)
    await assert_nothing_is_left(core, incident, cause, before)


@pytest.mark.parametrize("moment", ["before read", "before write"])
async def test_a_late_mitigator_that_reads_again_does_not_get_past_the_fence(core: Core, moment: str) -> None:
    """Its first write lost against somebody else, the takeover comes between its tries: it asks for its epoch last."""
    cause = await core.broken_selector()
    before = core.spec(cause.object)
    incident, mitigator = await core.diagnosed(cause), core.mitigator()

    async def freeze() -> None:
        core.falls_silent(mitigator)
        await core.until(core.undo(), incident, *ENDS)
        core.bus.paused = "so that nothing new is begun"

    async def annotate() -> None:
        core.somebody_edits(cause.object, metadata={"annotations": {"note": "hello"}})
        mitigator.moments.at(moment, freeze)

    mitigator.moments.at("before write", annotate)
    await mitigator.reconcile(incident)
    await assert_nothing_is_left(core, incident, cause, before)


async def test_a_late_mitigator_leaves_the_next_transaction_alone(core: Core) -> None:
    """Its own was taken back, and another mitigator is at the next one: its undo would orphan that."""
    cause = await core.broken_selector()
    incident, late, other = await core.diagnosed(cause), core.mitigator(), core.mitigator("mitigator-2")

    async def freeze() -> None:
        core.falls_silent(late)
        await core.until(core.undo(), incident, State.PLANNING)
        await other.reconcile(incident)
        await core.says(Owner.DIAGNOSER, incident, Diagnosed(causes=(cause,), looked_at=("everything",)))
        await core.killed(other, incident, "before write")

    late.moments.at("before write", freeze)
    await late.reconcile(incident)
    folded = await core.fold(incident)
    assert folded.state is State.MITIGATING
    assert [known.outcome for known in folded.transactions] == [Outcome.UNDONE, Outcome.UNDER_WAY]


async def test_somebodys_edit_after_ours_stays_and_a_person_is_called(core: Core) -> None:
    """Undo stops: both values are on record, theirs stays, and the locks are kept until a person decides."""
    incident, cause, _ = await left_by_a_dead_mitigator(core)
    ours = core.lab.shop.cart
    core.somebody_edits(cause.object, spec={"selector": {"app": "theirs"}})
    await core.until(core.undo(), incident, *ENDS)
    stuck = (await core.history(incident))[-1].event
    assert isinstance(stuck, UndoStuck)
    assert all(value in stuck.values[0] for value in ("theirs", ours, "nobody", "/spec/selector"))
    spec = core.spec(cause.object)
    assert isinstance(spec, dict)
    assert spec["selector"] == {"app": "theirs"}
    assert core.held() == set((await core.transaction(incident)).plan.locked)


async def test_a_stuck_transaction_can_be_taken_back_once_the_edit_is_gone(core: Core) -> None:
    """A person asks again, and nothing of the first attempt is in the way."""
    incident, cause, before = await left_by_a_dead_mitigator(core)
    ours = core.spec(cause.object)
    core.somebody_edits(cause.object, spec={"selector": {"app": "theirs"}})
    undo = core.undo()
    await core.until(undo, incident, State.STUCK)
    assert isinstance(ours, dict)
    core.somebody_edits(cause.object, spec={"selector": ours["selector"]})
    asked = UndoRequested(
        transaction=(await core.transaction(incident)).id, why=UndoWhy.PERSON, reason="it is mine", by="ada"
    )
    await core.says(Owner.GATEWAY, incident, asked)
    await core.until(undo, incident, State.ESCALATED, State.STUCK)
    assert (core.spec(cause.object), core.held()) == (before, set())


async def test_somebodys_edit_of_another_field_is_no_obstacle_and_stays(core: Core) -> None:
    """What we did not write is not ours to compare, and not ours to put back."""
    incident, cause, before = await left_by_a_dead_mitigator(core)
    core.somebody_edits(cause.object, metadata={"annotations": {"note": "hello"}})
    await core.until(core.undo(), incident, *ENDS)
    await assert_nothing_is_left(core, incident, cause, before)
    metadata = core.stored(cause.object)["metadata"]
    assert isinstance(metadata, dict)
    assert metadata["annotations"] == {"note": "hello"}


async def test_an_object_that_went_is_a_matter_for_a_person(core: Core) -> None:
    """It cannot be put back: failing to undo is a state."""
    incident, cause, _ = await left_by_a_dead_mitigator(core)
    core.lab.store.delete("Service", cause.object.namespace, cause.object.name)
    folded = await core.until(core.undo(), incident, *ENDS)
    assert (folded.state, cause.object.name in folded.reason) == (State.STUCK, True)


async def test_two_undo_processes_do_not_fight(core: Core) -> None:
    """The one that came second looks whether the first lives, and leaves it its work."""
    incident, _, _ = await left_by_a_dead_mitigator(core)
    first, second = core.undo("undo-1"), core.undo("undo-2")
    seen: list[str] = []

    async def meddle() -> None:
        await second.reconcile(incident)
        seen.extend(await core.names(incident))

    first.moments.at("before write", meddle)
    await core.until(first, incident, *ENDS)
    names = await core.names(incident)
    assert (names.count("TransactionSeized"), names.count("UndoStepApplied")) == (1, 1)
    assert seen[-1] == "UndoIntended"


async def test_of_two_undo_processes_that_start_at_once_one_wins(core: Core) -> None:
    """The seizing is a compare-and-swap like everything else."""
    incident, cause, before = await left_by_a_dead_mitigator(core)
    first, second = core.undo("undo-1"), core.undo("undo-2")

    async def overtake() -> None:
        await second.reconcile(incident)

    first.moments.at("before TransactionSeized", overtake)
    await first.reconcile(incident)
    await first.reconcile(incident)
    assert (await core.transaction(incident)).seized_by == second.holder
    await core.until(second, incident, *ENDS)
    await assert_nothing_is_left(core, incident, cause, before)


async def test_what_is_written_whole_is_judged_by_another_mitigator(core: Core) -> None:
    """Its holder died while it waited for the verdict: nothing is unknown about it, so nothing is taken back."""
    incident, _, _ = await left_by_a_dead_mitigator(core, "after Applied")
    core.bus.beats[Owner.MITIGATOR] = core.clock.monotonic_s()
    core.metrics.levels.clear()
    await core.undo().reconcile(incident)
    assert (await core.fold(incident)).state is State.VALIDATING
    await core.until(core.mitigator("mitigator-2"), incident, State.RESOLVED)
    assert (await core.names(incident)).count("TransactionOpened") == 1


async def test_who_was_deaf_itself_takes_nobody_for_dead(core: Core) -> None:
    """An outage of the bus swallows every heartbeat; a holder has its whole time to be heard again."""
    incident, _, _ = await left_by_a_dead_mitigator(core)
    listening = Listening(longest_gap_s=5)
    undo = core.undo(listening=listening)
    listening.spoke(core.clock.monotonic_s())
    await undo.reconcile(incident)
    assert (await core.fold(incident)).state is State.MITIGATING
    for _ in range(3):
        core.clock.advance(4)
        listening.spoke(core.clock.monotonic_s())
    await undo.reconcile(incident)
    assert (await core.fold(incident)).state is State.UNDOING


async def test_an_undo_says_whose_lock_it_waits_for(core: Core) -> None:
    """What was kept let its locks go: while another transaction has one, its outcome comes first."""
    incident, cause, before = await left_by_a_dead_mitigator(core)
    (ours, *_) = (lock for lock in core.bus.locks.values() if lock.held)
    undo = core.undo()
    await undo.reconcile(incident)
    core.bus.locks[ours.workload] = ours.but(incident="inc-other", transaction="txn-other")
    with pytest.raises(Retry, match=f"{ours.workload} is locked by transaction txn-other of incident inc-other"):
        await undo.reconcile(incident)
    core.bus.locks[ours.workload] = ours.but(held=False)
    await core.until(undo, incident, *ENDS)
    await assert_nothing_is_left(core, incident, cause, before)


async def test_another_mitigator_gives_the_wake_up_of_a_step_back(core: Core) -> None:
    """Its holder may need it: swallowed, the work would stand still until the next sweep."""
    incident, mitigator = await core.diagnosed(await core.broken_selector()), core.mitigator()

    async def meddle() -> None:
        with pytest.raises(Retry):
            await core.mitigator("mitigator-2").reconcile(incident)

    mitigator.moments.at("before write", meddle)
    await mitigator.reconcile(incident)
    assert (await core.fold(incident)).state is State.VALIDATING


async def test_another_undo_process_verifies_what_is_back(core: Core) -> None:
    """A wake-up may come to whichever lives; only putting back is for who seized it."""
    incident, cause, before = await left_by_a_dead_mitigator(core)
    first, second = core.undo("undo-1"), core.undo("undo-2")
    seen: list[State | None] = []

    async def meddle() -> None:
        await second.reconcile(incident)
        seen.append((await core.fold(incident)).state)

    first.moments.at("before UndoneUntried", meddle)
    await core.until(first, incident, *ENDS)
    assert seen == [State.PLANNING]
    await assert_nothing_is_left(core, incident, cause, before)
    assert (await core.names(incident)).count("TransactionSeized") == 1


async def kept(core: Core) -> tuple[IncidentId, Cause, object]:
    """Bring an incident to `resolved` with one transaction kept; return the spec before it."""
    cause = await core.broken_selector()
    before = core.spec(cause.object)
    incident, mitigator = await core.diagnosed(cause), core.mitigator()
    await mitigator.reconcile(incident)
    core.metrics.levels.clear()
    await core.until(mitigator, incident, State.RESOLVED)
    return incident, cause, before


async def test_a_person_can_take_back_what_was_kept(core: Core) -> None:
    """Under locks that are taken again with a higher epoch; then it is theirs, nothing more is tried."""
    incident, cause, before = await kept(core)
    transaction = await core.transaction(incident)
    asked = UndoRequested(transaction=transaction.id, why=UndoWhy.PERSON, reason="I know better", by="ada")
    await core.says(Owner.GATEWAY, incident, asked)
    held: list[bool] = []
    undo = core.undo()

    async def look() -> None:
        held.append(core.held() == set(transaction.plan.locked))

    undo.moments.at("before write", look)
    folded = await core.until(undo, incident, *ENDS)
    assert isinstance((await core.history(incident))[-1].event, UndoneForGood)
    assert (folded.state, core.spec(cause.object), core.held(), held) == (State.ESCALATED, before, set(), [True])
    assert (await core.transaction(incident)).epoch > transaction.epoch


async def test_an_undo_service_that_was_away_for_an_hour_still_has_its_time(core: Core) -> None:
    """The deadline runs from the last step back: what has just been put back is not called stuck."""
    incident, cause, before = await left_by_a_dead_mitigator(core)
    await core.killed(core.undo("undo-1"), incident, "after UndoRequested")
    core.clock.advance(3600)
    _roll_out(core, cause, core.lab.shop.missing_image("cart"))
    late = core.undo("undo-2")
    await late.reconcile(incident)
    assert (await core.fold(incident)).state is State.UNDOING
    assert (Owner.UNDO, incident) in core.bus.timers
    _roll_out(core, cause, core.lab.shop.next_image("cart"))
    await core.until(late, incident, *ENDS)
    await assert_nothing_is_left(core, incident, cause, before)


def _roll_out(core: Core, cause: Cause, image: str) -> None:
    """Give the cart another image; one that is missing is a rollout that does not end, however slow we are."""
    spec = {"template": {"spec": {"containers": [{"name": "app", "image": image}]}}}
    core.lab.store.patch_strategic("Deployment", cause.object.namespace, core.lab.shop.cart, {"spec": spec})


async def test_what_is_still_worse_after_it_was_put_back_is_a_matter_for_a_person(core: Core) -> None:
    """Restored, verified by the same measurement, and not well by the deadline: stuck, and it says so."""
    incident, cause, _ = await left_by_a_dead_mitigator(core)
    _roll_out(core, cause, core.lab.shop.missing_image("cart"))
    folded = await core.until(core.undo(), incident, *ENDS)
    assert (folded.state, "still worse" in folded.reason) == (State.STUCK, True)


async def test_a_permission_that_went_is_waited_for_until_the_deadline_and_then_told(core: Core) -> None:
    """Somebody may be changing roles right now; but nobody mends what nobody is told of."""
    incident, _, _ = await left_by_a_dead_mitigator(core)
    core.lab.faults.forbid("patch", "services")
    undo = core.undo()
    await _refused(core, undo, incident)
    assert (await core.fold(incident)).state is State.UNDOING
    core.clock.advance(60)
    core.bus.beats[undo.holder] = core.clock.monotonic_s()
    await undo.reconcile(incident)
    folded = await core.fold(incident)
    assert (folded.state, "forbidden" in folded.reason.lower()) == (State.STUCK, True)


async def _refused(core: Core, undo: Process, incident: IncidentId) -> None:
    await undo.reconcile(incident)
    assert (await core.fold(incident)).state is State.UNDOING
    with pytest.raises(ClusterForbidden):
        await undo.reconcile(incident)
