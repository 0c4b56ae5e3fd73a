"""A cluster of which some lists are forbidden: what cannot be seen is unknown, through every state of an incident."""

import pytest

from shared.domain.events import Kept, NoPlanLeft, UndoRequested, UndoWhy
from shared.domain.ids import IncidentId
from shared.domain.incident import State
from tests.integration.the_core import Core, Process

pytestmark = pytest.mark.asyncio(loop_scope="module")
LISTS = ["deployments", "pods", "endpointslices"]


async def a_transaction_to_judge(core: Core) -> tuple[IncidentId, Process, object]:
    """A right fix, written and rolled out; the incident, its mitigator, and the spec as it was."""
    cause = await core.broken_selector()
    before = core.spec(cause.object)
    incident, mitigator = await core.diagnosed(cause), core.mitigator()
    await mitigator.reconcile(incident)
    core.metrics.levels.clear()
    return incident, mitigator, before


@pytest.mark.parametrize("plural", LISTS)
async def test_a_list_that_is_forbidden_for_a_while_makes_nothing_worse(core: Core, plural: str) -> None:
    """The right fix is not taken back for it: it is judged by what is measured once that may be read again."""
    incident, mitigator, _ = await a_transaction_to_judge(core)
    core.lab.faults.forbid("list", plural)
    for _ in range(8):
        await mitigator.reconcile(incident)
        await core.tick()
    assert (await core.fold(incident)).state is State.VALIDATING
    core.lab.faults.heal()
    await core.until(mitigator, incident, State.RESOLVED, State.UNDOING)
    kept = (await core.history(incident))[-1].event
    assert isinstance(kept, Kept)
    assert not [reason for reason in kept.verdict.reasons if "could not be measured" in reason]


async def test_a_list_that_stays_forbidden_is_no_proof_of_anything(core: Core) -> None:
    """By the deadline it is taken back as not shown to help, in these words; never as having made things worse."""
    incident, mitigator, _ = await a_transaction_to_judge(core)
    core.lab.faults.forbid("list", "pods")
    await mitigator.reconcile(incident)
    core.clock.advance(60)
    await mitigator.reconcile(incident)
    asked = (await core.history(incident))[-1].event
    assert isinstance(asked, UndoRequested)
    assert asked.why is UndoWhy.DID_NOT_HELP
    assert "Pods could not be read" in asked.reason
    assert 'cannot list resource "pods"' in asked.reason


@pytest.mark.parametrize(("plural", "gone"), [("pods", False), ("nodes", True)])
async def test_a_cause_that_cannot_be_looked_for_is_not_gone(core: Core, plural: str, *, gone: bool) -> None:
    """With no metrics a fix is kept only if its cause is seen gone; a workload's does not hide in the nodes."""
    incident, mitigator, _ = await a_transaction_to_judge(core)
    core.metrics.down = True
    for _ in range(5):
        await mitigator.reconcile(incident)
        await core.tick()
    assert (await core.fold(incident)).state is State.VALIDATING
    core.lab.faults.forbid("list", plural)
    core.clock.advance(60)
    await mitigator.reconcile(incident)
    decided = (await core.history(incident))[-1].event
    assert isinstance(decided, Kept if gone else UndoRequested)


async def test_nothing_is_begun_whose_effect_could_not_be_told(core: Core) -> None:
    """A person is told why at once; nothing is locked, and nothing written."""
    cause = await core.broken_selector()
    before = core.spec(cause.object)
    incident, mitigator = await core.diagnosed(cause), core.mitigator()
    core.lab.faults.forbid("list", "endpointslices")
    await mitigator.reconcile(incident)
    told = (await core.history(incident))[-1].event
    assert isinstance(told, NoPlanLeft)
    assert "EndpointSlices could not be read" in told.considered[0]
    assert (core.held(), core.spec(cause.object)) == (set(), before)


@pytest.mark.parametrize("comes_back", [True, False], ids=["for-a-while", "for-good"])
async def test_an_undo_whose_scope_cannot_be_seen_is_not_called_done(core: Core, *, comes_back: bool) -> None:
    """It waits for the permission until its deadline; then a person must look where it may not."""
    incident, mitigator, before = await a_transaction_to_judge(core)
    undo = core.undo()
    core.lab.faults.forbid("list", "pods")
    core.clock.advance(60)
    await mitigator.reconcile(incident)
    for _ in range(3):
        await undo.reconcile(incident)
    assert (await core.fold(incident)).state is State.UNDOING
    if comes_back:
        core.lab.faults.heal()
    else:
        core.clock.advance(60)
        core.bus.beats[undo.holder] = core.clock.monotonic_s()
    folded = await core.until(undo, incident, State.DIAGNOSING, State.STUCK)
    assert folded.state is (State.DIAGNOSING if comes_back else State.STUCK)
    assert ("is not known: " in folded.reason) is not comes_back
    assert core.spec((await core.transaction(incident)).plan.cause.object) == before


async def test_a_kept_fix_is_not_taken_back_because_it_may_no_longer_be_looked_at(core: Core) -> None:
    """In the watch window, too, a forbidden list is no late regression; a broken pod that is seen is one."""
    incident, mitigator, _ = await a_transaction_to_judge(core)
    await core.until(mitigator, incident, State.RESOLVED)
    core.lab.faults.forbid("list", "pods")
    for _ in range(6):
        await mitigator.reconcile(incident)
    assert (await core.fold(incident)).state is State.RESOLVED
