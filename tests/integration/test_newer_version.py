"""A rolling update: what a newer Primum carried on is none of an older replica's business."""

import pytest

from shared.domain.errors import WrittenByNewer
from shared.domain.events import Owner, UndoRequested, UndoWhy
from shared.domain.ids import IncidentId
from shared.domain.incident import State
from tests.integration.the_core import Core, Process

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def taken_back(core: Core) -> tuple[IncidentId, Process, Process, object]:
    """A fix that a person took back; the incident, its mitigator, its undo, and the spec as it was mended."""
    cause = await core.broken_selector()
    incident, mitigator, undo = await core.diagnosed(cause), core.mitigator(), core.undo()
    await mitigator.reconcile(incident)
    mended = core.spec(cause.object)
    folded = await core.fold(incident)
    asked = UndoRequested(transaction=folded.transactions[-1].id, why=UndoWhy.PERSON, reason="I want it as it was")
    await core.ledger(Owner.GATEWAY).append(folded, asked)
    await core.until(undo, incident, State.ESCALATED)
    return incident, mitigator, undo, mended


async def test_an_older_undo_takes_nothing_back_that_it_cannot_follow(core: Core) -> None:
    """To it the undo is still under way; in truth it is over, and the same fix was made again."""
    incident, mitigator, undo, mended = await taken_back(core)
    history = await core.history(incident)
    core.bus.unreadable.add(history[-1].sequence)
    ref = (await core.transaction(incident)).plan.cause.object
    core.somebody_edits(ref, spec=mended)
    for process in (undo, mitigator):
        with pytest.raises(WrittenByNewer, match="newer Primum"):
            await process.reconcile(incident)
    assert core.spec(ref) == mended
    assert len(core.bus.events[incident]) == len(history)


async def test_it_stands_where_it_could_be_read_and_says_so(core: Core) -> None:
    """People see why nothing moves."""
    incident, *_ = await taken_back(core)
    core.bus.unreadable.add((await core.history(incident))[-1].sequence)
    folded = await core.fold(incident)
    assert (folded.state, folded.beyond) == (State.UNDOING, True)
    assert "newer Primum" in folded.reason
