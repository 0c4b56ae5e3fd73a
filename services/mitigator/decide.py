"""The mitigator's decisions, pure: which plan, may it start now, and what the samples say of it."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import assert_never

from shared.analyzers.registry import findings
from shared.analyzers.unhealthy import unwell, why_unwell
from shared.domain.cause import Cause
from shared.domain.change import Patch
from shared.domain.cluster import HOLD, Kind, Object, Ref
from shared.domain.errors import ChangeConflict
from shared.domain.events import (
    UNJUDGED,
    ApprovalRequested,
    Kept,
    KeptMoreToDo,
    Proposed,
    Recorded,
    SampleTaken,
    TransactionOpened,
    UndoRequested,
    UndoWhy,
)
from shared.domain.frozen import Frozen
from shared.domain.health import Health, Symptom, SymptomReading, Verdict, VerdictWord
from shared.domain.ids import PlanHash
from shared.domain.incident import Incident
from shared.domain.policy import Mode, Permission, Policy, decide
from shared.domain.runbook import Plan
from shared.domain.snapshot import Snapshot
from shared.domain.transaction import Lock, Outcome, Transaction
from shared.judge.keep_or_undo import MIN_SAMPLES, Keep, KeepMoreToDo, NotYet, TakeBack, keep_or_undo, when
from shared.judge.verdict import compare

UNTRIED_AT_MOST = 2
"""How often a plan whose holder died is tried again."""


class Start(Frozen):
    """Run it."""

    plan: Plan
    because: str


class Ask(Frozen):
    """A person decides."""

    plan: Plan
    reason: str


class Propose(Frozen):
    """What would be done, were this installation allowed to act."""

    plan: Plan
    reason: str


class Past(Frozen):
    """One transaction of the past, as the next one is judged by it."""

    opened_at: datetime
    written: tuple[Ref, ...]
    undone: tuple[Ref, str] | None = None
    """(object at fault, runbook), if it was judged and taken back."""
    undone_at: datetime | None = None


class Recent(Frozen):
    """What the last day's transactions of all incidents say about the next one."""

    transactions: dict[Ref, int] = {}
    """How many wrote to an object."""
    undone: frozenset[tuple[Ref, str]] = frozenset()
    """(object at fault, runbook) pairs that were judged and taken back."""


NOTHING_RECENT = Recent()


class NoneLeft(Frozen):
    """Nothing to try; a line for each runbook that was considered."""

    considered: tuple[str, ...]


def choose(
    incident: Incident,
    candidates: Sequence[Plan],
    rejected: Sequence[str],
    policy: Policy,
    recent: Recent = NOTHING_RECENT,
) -> Start | Ask | Propose | NoneLeft:
    """Take the first plan that policy lets run or ask for. An approved plan comes with its approval, never another."""
    considered = list(rejected)
    for plan in candidates:
        if reason := _tried(incident, plan, recent):
            considered.append(f"{plan.runbook.name} for {plan.cause.code}: {reason}")
            continue
        answer = decide(
            policy,
            plan,
            approved=plan.hash == incident.approved,
            recent_transactions=max((recent.transactions.get(ref, 0) for ref in plan.written), default=0),
        )
        match answer.permission:
            case Permission.ALLOW:
                return Start(plan=plan, because=answer.reason)
            case Permission.ASK:
                return Ask(plan=plan, reason=answer.reason)
            case Permission.DENY if policy.mode is Mode.OBSERVE:
                return Propose(plan=plan, reason=answer.reason)
            case Permission.DENY:
                considered.append(f"{plan.runbook.name} for {plan.cause.code}: {answer.reason}")
            case _:
                assert_never(answer.permission)
    return NoneLeft(considered=tuple(considered) or ("no runbook treats these causes",))


def _tried(incident: Incident, plan: Plan, recent: Recent) -> str | None:
    if plan.hash == incident.approved:
        return None
    if plan.hash in incident.excluded:
        return "denied, or undone already"
    if (plan.cause.object, plan.runbook.name) in incident.barred:
        return f"undone on {plan.cause.object} already"
    if (plan.cause.object, plan.runbook.name) in recent.undone:
        return f"undone on {plan.cause.object} within a day, in another incident"
    if incident.untried.count(plan.hash) >= UNTRIED_AT_MOST:
        return f"cut short {UNTRIED_AT_MOST} times, by a holder that died or was cut off, or a pause"
    return None


def past(incident: Incident) -> tuple[Past, ...]:
    """Return what an incident's transactions say about the next one; those that nothing was judged by say nothing."""
    return tuple(
        Past(
            opened_at=known.opened_at,
            written=tuple(known.plan.written),
            undone=(known.plan.cause.object, known.plan.runbook.name) if _judged_and_taken_back(known) else None,
            undone_at=known.undo_requested_at,
        )
        for known in incident.transactions
        if not known.untried
    )


def recently(transactions: Iterable[Past], since: datetime) -> Recent:
    """Count the transactions since a moment by what they wrote, and name the pairs that were taken back since."""
    counts: Counter[Ref] = Counter()
    undone: set[tuple[Ref, str]] = set()
    for known in transactions:
        if known.opened_at >= since:
            counts.update(known.written)
        if known.undone is not None and (known.undone_at or since) >= since:
            undone.add(known.undone)
    return Recent(transactions=dict(counts), undone=frozenset(undone))


def _judged_and_taken_back(transaction: Transaction) -> bool:
    return transaction.outcome in (Outcome.UNDONE, Outcome.STUCK) and transaction.undo_why not in UNJUDGED


def outdated(incident: Incident, now: datetime, stale_s: float) -> str | None:
    """Why the diagnosis is no longer one to plan by: its age, or that we wrote since; None if it is.

    A write and its way back leave no residue, yet what the diagnosis names has moved: a Deployment's revisions have
    other numbers, and the next best plan would be for a lesser cause. What a person approved is held against the
    cluster itself instead: people may take longer than a diagnosis lasts.
    """
    diagnosed_at = incident.diagnosed_at
    if incident.approved or diagnosed_at is None:
        return None
    if now - diagnosed_at > timedelta(seconds=stale_s):
        return f"the diagnosis is from {diagnosed_at:%H:%M:%S}"
    wrote = (known.id for known in incident.transactions if known.intents and known.opened_at >= diagnosed_at)
    if (transaction := next(wrote, None)) is not None:
        return f"transaction {transaction} wrote since the diagnosis"
    return None


def shown(history: Sequence[Recorded], approved: PlanHash) -> Plan | None:
    """The plan of that hash, as a person last saw it."""
    events = (record.event for record in reversed(history))
    seen = (event.plan for event in events if isinstance(event, ApprovalRequested | Proposed | TransactionOpened))
    return next((plan for plan in seen if plan.hash == approved), None)


def no_longer_fits(plan: Plan, snapshot: Snapshot) -> str | None:
    """Why a plan that was made earlier cannot run as it was shown; None if it still can."""
    for change in plan.changes:
        seen = snapshot.find(change.ref)
        if seen is None:
            return f"{change.ref} is gone"
        if isinstance(change, Patch):
            try:
                change.apply(seen)
            except ChangeConflict as conflict:
                return f"{change.ref}: {conflict}"
        elif seen.uid != change.uid:
            return f"{change.ref} was replaced"
    return None


def held_back(
    locks: Collection[Lock], objects: Sequence[Object], symptom: SymptomReading, ailing: str | None
) -> str | None:
    """Why a plan must not start now; None if it may. The same words for the same reason: numbers are on record.

    A symptom that is gone while the scope still ails is only out of sight: nobody clears that incident.
    """
    for lock in locks:
        if lock.held:
            return f"{lock.workload} is locked by transaction {lock.transaction} of incident {lock.incident}"
    for seen in objects:
        for place in ("labels", "annotations"):
            marks = seen.at(f"/metadata/{place}")
            if isinstance(marks, dict) and HOLD in marks:
                return f"{seen.ref} is on hold ({HOLD})"
    match symptom.symptom:
        case Symptom.GONE if ailing is not None:
            return None
        case Symptom.RECEDING | Symptom.GONE:
            return f"the symptom is {symptom.symptom}"
        case Symptom.PRESENT | Symptom.UNKNOWN:
            return None
        case _:
            assert_never(symptom.symptom)


def judge(  # noqa: PLR0913 - each is one independent piece of the evidence
    transaction: Transaction,
    samples: Sequence[SampleTaken],
    now: datetime,
    *,
    cause_gone: bool,
    postconditions_unmet: Sequence[str],
    look_again_s: float,
    pace: float,
) -> Kept | KeptMoreToDo | UndoRequested | NotYet:
    """Say what becomes of an applied transaction, from the samples taken since, the newest last."""
    latest = samples[-1]
    settled = [sample.health for sample in samples if _settled(sample.health)]
    verdict = compare(transaction.before, settled or [latest.health])
    judge_by = _deadline_of(transaction, settled, now, pace)
    if waiting := when(
        now,
        judge_by,
        settled_samples=len(settled),
        verdict=verdict,
        symptom=latest.symptom,
        look_again_s=look_again_s,
    ):
        return waiting
    if not settled and not latest.health.unmeasured:
        verdict = _never_settled(verdict)
    outcome = keep_or_undo(
        verdict,
        latest.symptom,
        transaction.plan.cause,
        cause_gone=cause_gone and not postconditions_unmet,
    )
    return _outcome(transaction, outcome, verdict, latest)


def seen_gone(cause: Cause, snapshot: Snapshot) -> bool:
    """What could not be read may still show the cause; only a node's own cause hides where nodes may not be listed.

    What only log lines showed is not gone where nobody could listen, and what is known by whom it makes ill is not gone
    before that one is well: its analyzer has nothing to say either once the change that it suspected is taken back.
    """
    unread = {part.kind for part in snapshot.unread} - ({Kind.NODE} - {cause.object.kind})
    unheard = cause.heard and (not snapshot.logs or snapshot.unheard)
    felt = cause.felt_by is not None and why_unwell(cause.felt_by, unwell(snapshot), snapshot) is not None
    return not unread and not unheard and not felt and not any(cause.is_same(finding) for finding in findings(snapshot))


def _deadline_of(transaction: Transaction, settled: Sequence[Health], now: datetime, pace: float) -> datetime:
    """An effect shows within the runbook's time from the end of the rollout, which may come early."""
    latest = transaction.judge_by or now
    if not settled:
        return latest
    return min(latest, settled[0].at + timedelta(seconds=transaction.plan.shows_within_s / pace))


def _settled(health: Health) -> bool:
    """Whether it says anything: rolled out, and measured in full."""
    return not health.unmeasured and all(workload.rolled_out for workload in health.workloads)


def _never_settled(verdict: Verdict) -> Verdict:
    """A rollout that did not end by the deadline has not shown anything good."""
    if verdict.word is VerdictWord.WORSE:
        return verdict
    return Verdict(word=VerdictWord.INCONCLUSIVE, reasons=("the rollout did not end within its time", *verdict.reasons))


def _outcome(
    transaction: Transaction, outcome: Keep | KeepMoreToDo | TakeBack, verdict: Verdict, latest: SampleTaken
) -> Kept | KeptMoreToDo | UndoRequested:
    match outcome:
        case Keep():
            return Kept(
                transaction=transaction.id,
                verdict=verdict,
                after=latest.health,
                symptom=latest.symptom,
                unproven=outcome.unproven,
                reason=outcome.reason,
            )
        case KeepMoreToDo():
            return KeptMoreToDo(
                transaction=transaction.id,
                verdict=verdict,
                after=latest.health,
                symptom=latest.symptom,
                reason=outcome.reason,
            )
        case TakeBack():
            return UndoRequested(
                transaction=transaction.id, why=outcome.why, reason=outcome.reason, verdict=verdict, after=latest.health
            )
        case _:
            assert_never(outcome)


def late_regression(transaction: Transaction, lately: Sequence[Health]) -> UndoRequested | None:
    """Take a kept transaction back when its scope stays worse than before it, by the invariants alone.

    `lately` is what was measured since it was kept, the newest last; one bad look is a pod that moves.
    """
    before = transaction.before.but(recent={})
    verdicts = [compare(before, [health]) for health in lately[-MIN_SAMPLES:]]
    if len(verdicts) < MIN_SAMPLES or any(verdict.word is not VerdictWord.WORSE for verdict in verdicts):
        return None
    now, verdict = lately[-1], verdicts[-1]
    return UndoRequested(
        transaction=transaction.id,
        why=UndoWhy.WORSE,
        reason=f"a late regression: {verdict.reason}",
        verdict=verdict,
        after=now,
    )


def deadline(plan: Plan, now: datetime, pace: float) -> datetime:
    """When the verdict is due at the latest."""
    return now + timedelta(seconds=(plan.settle_s + plan.shows_within_s) / pace)
