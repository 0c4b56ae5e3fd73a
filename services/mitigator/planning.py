"""In `planning` and `awaiting_approval`: choose a plan, and start it, ask for it, or say why not."""

from collections.abc import Sequence
from datetime import timedelta

from services.mitigator import decide
from services.mitigator.context import Context
from services.mitigator.mitigating import carry_out
from shared.analyzers.unhealthy import unwell, why_unwell
from shared.domain.cluster import CLUSTER_SCOPED, Kind, Object, Ref
from shared.domain.errors import ObjectMissing
from shared.domain.events import (
    ApprovalExpired,
    ApprovalRequested,
    Deferred,
    NoPlanLeft,
    Proposed,
    Stale,
    SymptomRead,
    TransactionOpened,
)
from shared.domain.health import Symptom, SymptomReading
from shared.domain.ids import TransactionId
from shared.domain.incident import Incident
from shared.domain.runbook import Plan, describe
from shared.domain.snapshot import Snapshot
from shared.domain.transaction import locks_for
from shared.measure.enrich import with_metrics
from shared.measure.health import ailing, health_of
from shared.measure.listen import with_logs
from shared.measure.symptom import alerts_of, last_reading, read_symptom
from shared.runbooks.planning import plans


async def on_planning(incident: Incident, context: Context) -> None:
    """Take the next step out of `planning`."""
    now = context.clock.now()
    if (reason := await context.ledger.paused()) is not None:
        await _defer(incident, f"paused: {reason}", context)
        return
    if stale := decide.outdated(incident, now, context.settings.diagnosis_stale_s):
        await context.ledger.append(incident, Stale(reason=stale))
        return
    snapshot = await observe(incident, context)
    candidates, rejected = await _candidates(incident, snapshot, context)
    if stale := next((why for plan in candidates if (why := _unfit(incident, plan, snapshot))), None):
        await context.ledger.append(incident, Stale(reason=f"the approved plan no longer fits: {stale}"))
        return
    match decide.choose(
        incident, candidates, rejected, context.settings.policy, await context.lately.recent(context.ledger, now)
    ):
        case decide.Start(plan=plan, because=because):
            await _start(incident, plan, because, snapshot, context)
        case decide.Ask(plan=plan, reason=reason):
            await _ask(incident, plan, reason, context)
        case decide.Propose(plan=plan, reason=reason):
            await context.ledger.append(incident, Proposed(plan=plan, diff=_diff(plan), reason=reason))
        case decide.NoneLeft(considered=considered):
            await context.ledger.append(incident, NoPlanLeft(considered=considered))


async def on_awaiting_approval(incident: Incident, context: Context) -> None:
    """Let the request expire, or sleep until it would."""
    if incident.pending is None or incident.approval_expires_at is None:
        return
    left_s = (incident.approval_expires_at - context.clock.now()).total_seconds()
    if left_s <= 0:
        await context.ledger.append(incident, ApprovalExpired(plan_hash=incident.pending.hash))
    else:
        await context.timers.wake(incident.id, left_s)


async def observe(incident: Incident, context: Context) -> Snapshot:
    """Read what the incident's plans and their judgement look at: the namespaces involved, with their metrics.

    The logs are read of whom they named as the cause.
    """
    namespaces = {ref.namespace for ref in _refs(incident) if ref.namespace}
    snapshot = await context.cluster.snapshot(None if _touches_a_node(incident) else namespaces or None)
    window_s = context.settings.metrics_window_s
    if context.metrics is not None:
        snapshot = await with_metrics(snapshot, context.metrics, window_s)
    if context.logs is not None:
        snapshot = await with_logs(snapshot, context.logs, _heard_of(incident), window_s)
    return snapshot


def _heard_of(incident: Incident) -> set[Ref]:
    """Whose logs named a cause, of those that plans are made for and of the one that is judged."""
    judged = [incident.transaction.plan.cause] if incident.transaction else []
    return {cause.object for cause in (*incident.causes, *judged) if cause.heard}


def _refs(incident: Incident) -> set[Ref]:
    plans_known = [transaction.plan for transaction in incident.transactions] + [incident.pending]
    return {
        *((incident.root,) if incident.root else ()),
        *(cause.object for cause in incident.causes),
        *(ref for plan in plans_known if plan for ref in plan.scope),
    }


def _touches_a_node(incident: Incident) -> bool:
    """A node's pods are of any namespace."""
    return any(ref.kind in CLUSTER_SCOPED for ref in _refs(incident))


async def _candidates(incident: Incident, snapshot: Snapshot, context: Context) -> tuple[Sequence[Plan], Sequence[str]]:
    """Make the plans there are; what a person approved or picked is the one that was shown to them, and no other."""
    if incident.approved:
        shown = decide.shown(await context.ledger.history(incident.id), incident.approved)
        return ([shown], []) if shown else ([], [f"plan {incident.approved} is not on record"])
    chosen, rejected = plans(context.catalog, incident.causes, snapshot)
    return chosen, [str(reason) for reason in rejected]


def _unfit(incident: Incident, plan: Plan, snapshot: Snapshot) -> str | None:
    return decide.no_longer_fits(plan, snapshot) if plan.hash == incident.approved else None


async def _ask(incident: Incident, plan: Plan, reason: str, context: Context) -> None:
    expires_after_s = context.settings.approval_expires_s
    asked = ApprovalRequested(
        plan=plan,
        diff=_diff(plan),
        reason=reason,
        expires_at=context.clock.now() + timedelta(seconds=expires_after_s),
    )
    await context.ledger.append(incident, asked)
    await context.timers.wake(incident.id, expires_after_s)


async def _start(incident: Incident, plan: Plan, because: str, snapshot: Snapshot, context: Context) -> None:
    before = health_of(plan.scope, snapshot)
    if before.unmeasured:
        # Whether it made anything worse could not be told afterwards: so it is not begun, and a person is told why.
        blind = (f"{plan.runbook.name}: {part}" for part in before.unmeasured)
        await context.ledger.append(incident, NoPlanLeft(considered=tuple(blind)))
        return
    symptom = await _symptom(incident, context)
    locks = [lock for ref in plan.locked if (lock := await context.ledger.lock(ref)) is not None]
    ails = ailing(before) or why_unwell(incident.root, unwell(snapshot), snapshot)
    if reason := decide.held_back(locks, await _held_objects(plan, snapshot, context), symptom, ails):
        await _defer(incident, reason, context)
        return
    transaction = TransactionId(context.identity.new("txn"))
    opened = TransactionOpened(
        transaction=transaction,
        plan=plan,
        holder=context.holder,
        before=before,
        symptom_before=symptom,
        permitted_because=because,
    )
    taken = locks_for(incident.id, transaction, plan, held=True)
    await context.heartbeats.beat(context.holder)
    await carry_out(await context.ledger.append(incident, opened, locks=taken), context)


async def _symptom(incident: Incident, context: Context) -> SymptomReading:
    """Read the symptom. What receded is read again only after the wait: two looks at one scrape show a standstill."""
    facts, now = await context.ledger.facts(incident.id), context.clock.now()
    wait = timedelta(seconds=context.settings.defer_s / context.settings.pace)
    last = next((fact for fact in reversed(facts) if isinstance(fact, SymptomRead)), None)
    if last is not None and last.symptom.symptom is Symptom.RECEDING and now - last.at < wait:
        return last.symptom
    symptom = await read_symptom(alerts_of(facts), context.metrics, last_reading(facts))
    await context.ledger.note(incident.id, SymptomRead(symptom=symptom, at=now))
    return symptom


async def _held_objects(plan: Plan, snapshot: Snapshot, context: Context) -> Sequence[Object]:
    """What a hold may stand on: the objects of the scope and their namespaces."""
    objects = [seen for ref in plan.locked if (seen := snapshot.find(ref)) is not None]
    for name in sorted({ref.namespace for ref in plan.scope if ref.namespace}):
        namespace = Ref(cluster=context.cluster.name, kind=Kind.NAMESPACE, namespace="", name=name)
        try:
            objects.append(await context.cluster.read(namespace))
        except ObjectMissing:
            context.log.warning("namespace is gone", namespace=name)
    return objects


async def _defer(incident: Incident, reason: str, context: Context) -> None:
    """Wait, and say so once: the same reason again is not news."""
    wait_s = context.settings.defer_s / context.settings.pace
    if incident.reason != reason:
        until = context.clock.now() + timedelta(seconds=wait_s)
        await context.ledger.append(incident, Deferred(reason=reason, until=until))
    await context.timers.wake(incident.id, wait_s)


def _diff(plan: Plan) -> tuple[str, ...]:
    return tuple(line for change in plan.changes for line in describe(change))
