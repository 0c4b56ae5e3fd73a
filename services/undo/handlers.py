"""The order of things in the undo service: watch holders; seize, fence, put back, verify."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from services.undo import decide
from services.undo.context import Context
from shared.bus import wakes
from shared.domain.change import Patch
from shared.domain.cluster import Object, Ref
from shared.domain.errors import (
    ChangeConflict,
    ClusterForbidden,
    Conflict,
    ObjectMissing,
    ObjectMoved,
    Retry,
    WriteRefused,
)
from shared.domain.events import (
    Intended,
    Owner,
    TransactionSeized,
    UndoIntended,
    UndoRequested,
    UndoStepApplied,
    UndoStuck,
    UndoWhy,
)
from shared.domain.ids import HolderId, IncidentId
from shared.domain.incident import Incident, State
from shared.domain.transaction import Transaction, locks_for
from shared.judge.keep_or_undo import NotYet
from shared.measure.health import health_of

WAKES_ON = wakes.WAKES_ON[Owner.UNDO]
TRIES = 20


async def reconcile(incident_id: IncidentId, context: Context) -> None:
    """Do what the undo service owes this incident now."""
    incident = (await context.ledger.fold(incident_id)).understood()
    match incident.state:
        case State.MITIGATING | State.VALIDATING:
            await _watch_holder(incident, context)
        case State.UNDOING:
            await context.activities.doing(f"undoing:{incident.id}")
            try:
                await _undo(incident, context)
            finally:
                await context.activities.doing("idle")
        case _:
            pass


async def beat(context: Context) -> None:
    """Say that this process lives, for ever: when it falls silent, another one takes its undoing over."""
    while True:
        await context.heartbeats.beat(context.holder)
        context.listening.spoke(context.clock.monotonic_s())
        await context.clock.sleep(context.settings.heartbeat_every_s)


async def _fell_silent(holder: HolderId, context: Context) -> bool:
    """Whether it said nothing for its heartbeat's time, and we would have heard it."""
    heard_s = context.listening.for_s(context.clock.monotonic_s())
    return heard_s >= context.settings.heartbeat_ttl_s and not await context.heartbeats.alive(holder)


async def _watch_holder(incident: Incident, context: Context) -> None:
    """A mitigator that fell silent loses its transaction. The beat's own TTL is the patience.

    What is written already and only waits for its verdict any mitigator judges, so it is lost when all are silent.
    """
    transaction = incident.transaction
    if transaction is None:
        return
    judged_by_any = incident.state is State.VALIDATING and await context.heartbeats.alive(Owner.MITIGATOR)
    if judged_by_any or not await _fell_silent(transaction.holder, context):
        await context.timers.wake(incident.id, context.settings.holder_check_every_s)
        return
    reason = f"the heartbeat of {transaction.holder} stopped"
    await context.ledger.append(
        incident, UndoRequested(transaction=transaction.id, why=UndoWhy.HOLDER_DIED, reason=reason)
    )


async def _undo(incident: Incident, context: Context) -> None:
    transaction = incident.undoing
    if transaction is None:
        return
    if transaction.seized_by != context.holder:
        if transaction.seized_by and not await _fell_silent(transaction.seized_by, context):
            if _is_back(transaction):  # only looking is left, and whoever is woken can look
                await _verify(incident, context)
            else:
                await context.timers.wake(incident.id, context.settings.holder_check_every_s)
            return
        incident, transaction = await _seize(incident, transaction, context)
    try:
        incident, conflicts = await _bring_back(incident, transaction, context)
    except ClusterForbidden as refusal:
        incident = await context.ledger.fold(incident.id)
        if context.clock.now() < _deadline(incident, transaction, context):
            raise
        conflicts = [str(refusal)]  # nobody mends a permission that nobody is told of
    if conflicts:
        await context.ledger.append(incident, decide.stuck(transaction, conflicts))
        return
    await _verify(incident, context)


def _is_back(transaction: Transaction) -> bool:
    return {intended.step for intended in transaction.intents} <= transaction.steps_undone


async def _bring_back(incident: Incident, transaction: Transaction, context: Context) -> tuple[Incident, Sequence[str]]:
    """Fence what was intended, and put it back, the last step first; say what could not be."""
    conflicts: list[str] = []
    if not transaction.undo_intended and not _is_back(transaction):  # what is back, another may let go any moment
        conflicts += await _fence(incident, transaction, context)
    if conflicts:
        return incident, conflicts
    for intended in sorted(transaction.intents, key=lambda intent: intent.step, reverse=True):
        if intended.step not in transaction.steps_undone:
            incident = await _put_back(incident, transaction, intended, conflicts, context)
    return incident, conflicts


def _deadline(incident: Incident, transaction: Transaction, context: Context) -> datetime:
    """Until when the scope may take to be as before: from the last step back, not from the request for it.

    An undo service that was away for an hour has not given the cluster that hour.
    """
    plan, since = transaction.plan, incident.updated_at or context.clock.now()
    return since + timedelta(seconds=(plan.settle_s + plan.shows_within_s) / context.settings.pace)


async def _seize(incident: Incident, transaction: Transaction, context: Context) -> tuple[Incident, Transaction]:
    """Take the transaction over with a higher epoch."""
    await _wait_for_locks(transaction, context)
    await context.heartbeats.beat(context.holder)
    seized = TransactionSeized(transaction=transaction.id, holder=context.holder)
    locks = locks_for(incident.id, transaction.id, transaction.plan, held=True)
    incident = await context.ledger.append(incident, seized, locks=locks)
    return incident, incident.transaction_of(transaction.id) or transaction


async def _wait_for_locks(transaction: Transaction, context: Context) -> None:
    """What was kept let its locks go; if another transaction has one now, that one ends first."""
    for ref in transaction.plan.locked:
        lock = await context.ledger.lock(ref)
        if lock is not None and lock.held and lock.transaction != transaction.id:
            reason = f"{ref} is locked by transaction {lock.transaction} of incident {lock.incident}"
            raise Retry(reason, after_s=context.settings.holder_check_every_s)


async def _fence(incident: Incident, transaction: Transaction, context: Context) -> Sequence[str]:
    """Touch every intended object: a mitigator that wakes up late is refused from then on, its versions are old.

    Say which could not be touched, or are not ours any more: without its fence nothing is put back.
    """
    refused: list[str] = []
    for ref in dict.fromkeys(intent.change.ref for intent in transaction.intents if isinstance(intent.change, Patch)):
        try:
            refused += await _touch(ref, incident, transaction, context)
        except WriteRefused as refusal:
            refused.append(f"{ref}: {refusal}")
    return refused


async def _touch(ref: Ref, incident: Incident, transaction: Transaction, context: Context) -> Sequence[str]:
    """Fence one object as it is now; say whose it is if somebody replaced it, so that it lost our label."""
    for _ in range(TRIES):
        try:
            seen = await context.cluster.read(ref)
            fence = decide.fence(transaction, seen)
            if isinstance(fence, decide.TheirEdit):
                return fence.values
            if seen.mark == fence:
                return []  # fenced under this very epoch, by a try whose answer was lost
            await _verify_epoch(incident, transaction, context)
            await context.cluster.mark(seen, fence)
        except ObjectMoved:
            continue
        except ObjectMissing:
            return []  # nothing a late write could land on; putting back will say so
        else:
            return []
    raise Retry(f"{ref} moved {TRIES} times before it could be fenced")


async def _verify_epoch(incident: Incident, transaction: Transaction, context: Context) -> None:
    """Raises Conflict if another undo took over; after the read, for whoever takes over moves what was read."""
    now = await context.ledger.fold(incident.id)
    if now.undoing is None or now.undoing.id != transaction.id or now.undoing.epoch != transaction.epoch:
        raise Conflict(f"undo of {transaction.id} is not ours any more")


async def _put_back(
    incident: Incident, transaction: Transaction, intended: Intended, conflicts: list[str], context: Context
) -> Incident:
    for _ in range(TRIES):
        try:
            seen = await _read(intended, context)
            put_back = transaction.put_back(intended.step, seen.mark)
            replaced = intended.step in transaction.undo_intended and not transaction.marked(seen.mark)
            match decide.way_back(intended, seen, put_back=put_back, replaced=replaced):
                case decide.NothingToDo(found=untouched):
                    found = "already-back" if intended.step in transaction.undo_intended else untouched
                case decide.TheirEdit(values=values):
                    conflicts.extend(values)
                    return incident
                case decide.PutBack(patch=patch):
                    if intended.step not in transaction.undo_intended:
                        said = UndoIntended(transaction=transaction.id, step=intended.step, change=patch)
                        incident = await context.ledger.append(incident, said)
                        transaction = incident.transaction_of(transaction.id) or transaction
                    else:
                        await _verify_epoch(incident, transaction, context)
                    await context.cluster.write(patch, seen, transaction.mark_back(intended.step))
                    found = "ours"
        except (ObjectMoved, ChangeConflict):
            continue  # read again: way_back says whether it is ours, theirs, or only another field
        except (ObjectMissing, WriteRefused) as failure:
            conflicts.append(f"{intended.change.ref}: {failure}")
            return incident
        done = UndoStepApplied(transaction=transaction.id, step=intended.step, found=found)
        return await context.ledger.append(incident, done)
    raise Retry(f"{intended.change.ref} moved {TRIES} times while it was put back")


async def _read(intended: Intended, context: Context) -> Object:
    """Read the written object; what heals itself is not looked up, its pod is gone as it should be."""
    if isinstance(intended.change, Patch):
        return await context.cluster.read(intended.change.ref)
    return Object(ref=intended.change.ref, uid="", resource_version="", body=intended.pre_image)


async def _verify(incident: Incident, context: Context) -> None:
    transaction = incident.undoing
    if transaction is None:
        return
    namespaces = {ref.namespace for ref in transaction.scope if ref.namespace}
    snapshot = await context.cluster.snapshot(namespaces or None)
    outcome = decide.verified(
        incident,
        transaction,
        health_of(transaction.scope, snapshot),
        deadline=_deadline(incident, transaction, context),
        look_again_s=context.settings.verify_every_s / context.settings.pace,
        max_transactions=context.settings.max_transactions,
    )
    match outcome:
        case NotYet(until=until):
            await context.timers.wake(incident.id, max(0.0, (until - context.clock.now()).total_seconds()))
        case UndoStuck():
            await context.ledger.append(incident, outcome)
        case _:
            released = locks_for(incident.id, transaction.id, transaction.plan, held=False)
            await context.ledger.append(incident, outcome, locks=released)
