"""In `validating` and in the watch window: measure, and keep or take back."""

from collections.abc import Sequence
from datetime import timedelta

from services.mitigator import decide
from services.mitigator.context import Context
from services.mitigator.planning import observe
from shared.domain.errors import ClusterForbidden, ClusterUnavailable
from shared.domain.events import Kept, KeptMoreToDo, SampleTaken, UndoRequested, UndoWhy
from shared.domain.incident import Incident
from shared.domain.snapshot import Snapshot
from shared.domain.transaction import Outcome, Transaction, locks_for
from shared.judge.keep_or_undo import NotYet
from shared.measure.health import health_of
from shared.measure.symptom import alerts_of, last_reading, read_symptom
from shared.runbooks.planning import unmet_postconditions


async def on_validating(incident: Incident, context: Context) -> None:
    """Take a sample and decide, or sleep until the next one; whoever of the mitigators is woken does it.

    All its steps are done and on record, so there is nothing that only its holder knows.
    """
    transaction = incident.transaction
    if transaction is None:
        return
    if (reason := await context.ledger.paused()) is not None:
        paused = UndoRequested(transaction=transaction.id, why=UndoWhy.PAUSED, reason=f"paused: {reason}")
        await context.ledger.append(incident, paused)
        return
    if (early_s := await _too_early_s(incident, transaction, context)) > 0:
        await context.timers.wake(incident.id, early_s)
        return
    try:
        snapshot = await observe(incident, context)
    except (ClusterUnavailable, ClusterForbidden) as failure:
        await _could_not_measure(incident, transaction, str(failure), context)
        return
    await _judge(incident, transaction, snapshot, context)


async def _too_early_s(incident: Incident, transaction: Transaction, context: Context) -> float:
    """How long until the next sample is due: wake-ups come in bursts, and a burst of samples is one sample."""
    samples = await _samples(incident, transaction, context)
    now = context.clock.now()
    if not samples or (transaction.judge_by is not None and now >= transaction.judge_by):
        return 0.0
    return context.settings.sample_every_s / context.settings.pace - (now - samples[-1].health.at).total_seconds()


async def _samples(incident: Incident, transaction: Transaction, context: Context) -> Sequence[SampleTaken]:
    facts = await context.ledger.facts(incident.id)
    return [fact for fact in facts if isinstance(fact, SampleTaken) and fact.transaction == transaction.id]


async def _judge(incident: Incident, transaction: Transaction, snapshot: Snapshot, context: Context) -> None:
    sample = await _sample(incident, transaction, snapshot, context)
    await context.ledger.note(incident.id, sample)
    cause = transaction.plan.cause
    outcome = decide.judge(
        transaction,
        await _samples(incident, transaction, context) or [sample],
        context.clock.now(),
        cause_gone=decide.seen_gone(cause, snapshot),
        postconditions_unmet=unmet_postconditions(context.catalog, transaction.plan, snapshot),
        look_again_s=context.settings.sample_every_s / context.settings.pace,
        pace=context.settings.pace,
    )
    match outcome:
        case NotYet(until=until):
            await context.timers.wake(incident.id, max(0.0, (until - context.clock.now()).total_seconds()))
        case UndoRequested():
            await context.ledger.append(incident, outcome)
        case Kept() | KeptMoreToDo():
            released = locks_for(incident.id, transaction.id, transaction.plan, held=False)
            await context.ledger.append(incident, outcome, locks=released)
            await context.timers.wake(incident.id, context.settings.sample_every_s / context.settings.pace)


async def _sample(incident: Incident, transaction: Transaction, snapshot: Snapshot, context: Context) -> SampleTaken:
    facts = await context.ledger.facts(incident.id)
    symptom = await read_symptom(alerts_of(facts), context.metrics, last_reading(facts) or transaction.symptom_before)
    return SampleTaken(transaction=transaction.id, health=health_of(transaction.scope, snapshot), symptom=symptom)


async def _could_not_measure(incident: Incident, transaction: Transaction, reason: str, context: Context) -> None:
    """What cannot be measured by the deadline is not shown to have helped."""
    if transaction.judge_by and context.clock.now() >= transaction.judge_by:
        unmeasured = UndoRequested(
            transaction=transaction.id, why=UndoWhy.DID_NOT_HELP, reason=f"not measured: {reason}"
        )
        await context.ledger.append(incident, unmeasured)
    else:
        await context.timers.wake(incident.id, context.settings.sample_every_s / context.settings.pace)


async def on_resolved(incident: Incident, context: Context) -> None:
    """Watch what was kept: a late regression takes it back."""
    transaction = incident.transaction
    if transaction is None or transaction.outcome is not Outcome.KEPT or incident.updated_at is None:
        return
    watched_until = incident.updated_at + timedelta(seconds=context.settings.watch_s / context.settings.pace)
    if context.clock.now() >= watched_until:
        return
    sample = await _sample(incident, transaction, await observe(incident, context), context)
    await context.ledger.note(incident.id, sample)
    since = [
        fact.health
        for fact in await context.ledger.facts(incident.id)
        if isinstance(fact, SampleTaken) and fact.health.at > incident.updated_at
    ]
    if regression := decide.late_regression(transaction, since):
        await context.ledger.append(incident, regression)
    else:
        await context.timers.wake(incident.id, context.settings.sample_every_s / context.settings.pace)
