"""In `mitigating`: intend, write, record, step by step, under the transaction's epoch."""

from typing import assert_never

from services.mitigator import decide
from services.mitigator.context import Context
from shared.domain.change import Change, Evict, Patch
from shared.domain.cluster import Object
from shared.domain.errors import (
    ChangeConflict,
    ClusterForbidden,
    ClusterUnavailable,
    ObjectMissing,
    ObjectMoved,
    Retry,
    WriteRefused,
)
from shared.domain.events import Applied, Intended, StepApplied, UndoRequested, UndoWhy
from shared.domain.incident import Incident, State
from shared.domain.transaction import Transaction

STEP_FAILURES = (ChangeConflict, ObjectMissing, ObjectMoved, WriteRefused, ClusterForbidden, ClusterUnavailable)
_HOLDER_S = 1.0
"""After so long a wake-up that another mitigator holds is given to somebody again."""
TRIES = 20
"""How often a write that lost against somebody's unrelated write is made again, on the version read anew.

A controller writes the status of a Deployment that rolls many times a second; each is a lost race, and no objection.
"""


async def on_mitigating(incident: Incident, context: Context) -> None:
    """Go on with what this process began. What another epoch began is left to undo, which watches its heartbeat."""
    transaction = incident.transaction
    if transaction is None:
        return
    if transaction.holder != context.holder:
        raise Retry(f"{transaction.holder} carries it out", after_s=_HOLDER_S)  # may be it, and it needs this wake-up
    if len(transaction.steps_applied) < len(transaction.intents):
        await _take_back(incident, transaction, UndoWhy.CUT_OFF, "it is not known whether a step was done", context)
        return
    await carry_out(incident, context)


async def carry_out(incident: Incident, context: Context) -> None:
    """Run the steps that are left; on any failure what may have run is taken back like what ran."""
    transaction = incident.transaction
    if transaction is None:
        return
    for step, change in enumerate(transaction.plan.changes):
        if step in transaction.steps_applied:
            continue
        if (reason := await context.ledger.paused()) is not None:
            await _take_back(incident, transaction, UndoWhy.PAUSED, f"paused: {reason}", context)
            return
        await context.activities.doing(f"executing-runbook:{transaction.plan.runbook.name}@{step}")
        try:
            incident = await _step(incident, transaction, step, change, context)
        except STEP_FAILURES as failure:
            incident = await context.ledger.fold(incident.id)
            why = UndoWhy.CUT_OFF if isinstance(failure, ClusterUnavailable) else UndoWhy.STEP_FAILED
            await _take_back(incident, transaction, why, f"step {step}: {failure}", context)
            return
    judge_by = decide.deadline(transaction.plan, context.clock.now(), context.settings.pace)
    await context.ledger.append(incident, Applied(transaction=transaction.id, judge_by=judge_by))
    await context.timers.wake(incident.id, context.settings.sample_every_s / context.settings.pace)


async def _step(incident: Incident, transaction: Transaction, step: int, change: Change, context: Context) -> Incident:
    match change:
        case Patch():
            seen, post = await _rehearse(change, transaction, context)
            intended = _intended(transaction, step, change, seen, post)
            incident = await context.ledger.append(incident, intended)
            await _write(incident, transaction, change, seen, context)
        case Evict():
            nothing_to_restore = Intended(
                transaction=transaction.id, step=step, change=change, pre_image={}, post_image={}
            )
            incident = await context.ledger.append(incident, nothing_to_restore)
            await context.cluster.evict(change)
        case _:
            assert_never(change)
    return await context.ledger.append(incident, StepApplied(transaction=transaction.id, step=step))


async def _rehearse(patch: Patch, transaction: Transaction, context: Context) -> tuple[Object, Object]:
    """Read the object, and have the server say what it would store."""
    for _ in range(TRIES):
        seen = await context.cluster.read(patch.ref)
        try:
            return seen, await context.cluster.dry_run(patch, seen, transaction.mark)
        except ObjectMoved:
            continue
    raise ObjectMoved(f"{patch.ref} moved {TRIES} times between reading and rehearsing")


def _intended(transaction: Transaction, step: int, change: Change, pre: Object, post: Object) -> Intended:
    return Intended(transaction=transaction.id, step=step, change=change, pre_image=pre.body, post_image=post.body)


async def _write(incident: Incident, transaction: Transaction, patch: Patch, seen: Object, context: Context) -> None:
    """Write on the version that was read; if the object moved, read it again, and only then verify the epoch.

    In the other order a takeover could come between the two, and what was read would be a version behind its fence.
    """
    for _ in range(TRIES):
        try:
            await context.cluster.write(patch, seen, transaction.mark)
        except ObjectMoved:
            seen = await context.cluster.read(patch.ref)
            await _verify_epoch(incident, transaction, context)
        else:
            return
    raise ObjectMoved(f"{patch.ref} moved {TRIES} times between reading and writing")


async def _verify_epoch(incident: Incident, transaction: Transaction, context: Context) -> None:
    now = await context.ledger.fold(incident.id)
    current = now.transaction_of(transaction.id)
    if now.state is not State.MITIGATING or current is None or current.epoch != transaction.epoch:
        raise WriteRefused(f"transaction {transaction.id} is not ours any more: the incident is {now.state}")


async def _take_back(incident: Incident, transaction: Transaction, why: UndoWhy, reason: str, context: Context) -> None:
    current = incident.transaction
    if incident.state is not State.MITIGATING or current is None or current.id != transaction.id:
        return  # it was taken back already, and another one may be under way
    await context.ledger.append(incident, UndoRequested(transaction=transaction.id, why=why, reason=reason))
