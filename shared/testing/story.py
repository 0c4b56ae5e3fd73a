"""One plausible story: an alert, its cause, a plan, and the events that bring an incident to each state."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from shared.domain.alert import Alert, AlertStatus
from shared.domain.cause import Cause, CauseCode, Evidence, EvidenceSource
from shared.domain.change import Edit, Patch
from shared.domain.cluster import Ref
from shared.domain.events import (
    Applied,
    ApprovalRequested,
    Diagnosed,
    DiagnosisStarted,
    Event,
    Intended,
    Kept,
    NoPlanLeft,
    Opened,
    Owner,
    Quiet,
    Recorded,
    StepApplied,
    TransactionOpened,
    UndoRequested,
    UndoStuck,
    UndoWhy,
)
from shared.domain.health import Health, Symptom, SymptomReading, Verdict, VerdictWord, WorkloadHealth
from shared.domain.ids import CorrelationKey, EventId, Fingerprint, HolderId, IncidentId, TransactionId
from shared.domain.incident import TRANSITIONS, Incident, State, fold
from shared.domain.path import Present
from shared.domain.runbook import Plan, Risk, RunbookId, canonical_hash
from shared.testing.manifests import CLUSTER, NAMESPACE, T0, a_ref

TRANSACTION: Final = TransactionId("txn-story")
HOLDER: Final = HolderId("mitigator-story")


def an_alert(
    name: str = "HighErrorRate",
    *,
    fingerprint: str = "f1",
    status: AlertStatus = AlertStatus.FIRING,
    starts_at: datetime = T0,
    ends_at: datetime | None = None,
    namespace: str = NAMESPACE,
    expression: str = "up == 0",
    **labels: str,
) -> Alert:
    """Make an alert about a Deployment named `cart`, unless `labels` say otherwise."""
    about = labels or {"deployment": "cart"}
    return Alert(
        cluster=CLUSTER,
        fingerprint=Fingerprint(fingerprint),
        status=status,
        labels={"alertname": name, "namespace": namespace, "severity": "critical", **about},
        annotations={"summary": f"{name} in {namespace}"},
        starts_at=starts_at,
        ends_at=ends_at,
        generator_url=f"http://prometheus.example/graph?g0.expr={expression.replace(' ', '+')}&g0.tab=1",
    )


def a_cause(code: CauseCode = CauseCode.IMAGE_PULL_FAILED, ref: Ref | None = None, *, confidence: float = 0.9) -> Cause:
    """Make a cause with one piece of evidence."""
    at_fault = ref or a_ref()
    return Cause(
        code=code,
        object=at_fault,
        evidence=(Evidence(source=EvidenceSource.OBJECT, pointer=f"{at_fault}:/status", value="what was seen"),),
        summary=f"{code} at {at_fault}",
        confidence=confidence,
    )


def a_patch(ref: Ref | None = None, path: str = "/spec/replicas", before: int = 1, after: int = 3) -> Patch:
    """Make a patch of one number."""
    edit = Edit(path=path, before=Present(value=before), after=Present(value=after))
    return Patch(ref=ref or a_ref(), edits=(edit,))


def a_plan(
    runbook: str = "scale-up", *, cause: Cause | None = None, change: Patch | None = None, destructive: bool = False
) -> Plan:
    """Make a plan of one patch, whose scope is the patched object."""
    patch = change or a_patch()
    return Plan(
        runbook=RunbookId(name=runbook, version=1, hash=canonical_hash(runbook)),
        cause=cause or a_cause(ref=patch.ref),
        changes=(patch,),
        scope=(patch.ref,),
        settle_s=60,
        shows_within_s=120,
        risk=Risk.LOW,
        destructive=destructive,
    )


def a_health(ref: Ref | None = None, *, ready: int = 3, desired: int = 3, at: datetime = T0) -> Health:
    """Make the health of a scope of one workload."""
    workload = WorkloadHealth(
        ref=ref or a_ref(), desired=desired, ready=ready, rolled_out=ready == desired, crash_looping=0, restarts=0
    )
    return Health(at=at, workloads=(workload,))


def a_reading(symptom: Symptom = Symptom.PRESENT) -> SymptomReading:
    """Make a measurement of the symptom."""
    return SymptomReading(symptom=symptom, reason=f"the symptom is {symptom}", firing=int(symptom is Symptom.PRESENT))


def a_verdict(word: VerdictWord = VerdictWord.BETTER) -> Verdict:
    """Make a verdict with one reason."""
    return Verdict(word=word, reasons=(f"it measured {word}",))


def opened(key: str = "test/shop/cart", *, alert: Alert | None = None, root: Ref | None = None) -> Opened:
    """Make the first event of an incident."""
    return Opened(
        cluster=CLUSTER,
        key=CorrelationKey(key),
        root=root or a_ref(),
        title="HighErrorRate on Deployment/shop/cart",
        alert=alert or an_alert(),
        grouped_because="the alert names the workload",
    )


def story_to(state: State, plan: Plan | None = None, *, at: datetime = T0) -> Sequence[Event]:
    """Return the events of the shortest plausible way to a state, oldest first."""
    plan = plan or a_plan()
    diagnosed = (opened(), DiagnosisStarted(), Diagnosed(causes=(plan.cause,), looked_at=("namespace shop",)))
    validating = (*diagnosed, *_transaction(plan, at))
    undo = UndoRequested(transaction=TRANSACTION, why=UndoWhy.DID_NOT_HELP, reason="nothing got better")
    kept = Kept(
        transaction=TRANSACTION,
        verdict=a_verdict(),
        after=a_health(at=at),
        symptom=a_reading(Symptom.GONE),
        reason="it helped",
    )
    asked = ApprovalRequested(
        plan=plan, diff=("a line",), reason="every act asks", expires_at=at + timedelta(minutes=30)
    )
    stories: Mapping[State, tuple[Event, ...]] = {
        State.DETECTED: diagnosed[:1],
        State.DIAGNOSING: diagnosed[:2],
        State.PLANNING: diagnosed,
        State.AWAITING_APPROVAL: (*diagnosed, asked),
        State.MITIGATING: (*diagnosed, *_transaction(plan, at)[:1]),
        State.VALIDATING: validating,
        State.UNDOING: (*validating, undo),
        State.RESOLVED: (*validating, kept),
        State.ESCALATED: (*diagnosed, NoPlanLeft(considered=("scale-up: it does not apply",))),
        State.STUCK: (*validating, undo, UndoStuck(transaction=TRANSACTION, reason="somebody edited it")),
        State.CLOSED: (*validating, kept, Quiet(reason="quiet for the whole watch window")),
    }
    return stories[state]


def _transaction(plan: Plan, at: datetime) -> tuple[Event, ...]:
    begun = TransactionOpened(
        transaction=TRANSACTION,
        plan=plan,
        holder=HOLDER,
        before=a_health(ready=1, at=at),
        symptom_before=a_reading(),
        permitted_because="the test allows it",
    )
    steps = (
        (
            Intended(transaction=TRANSACTION, step=index, change=change, pre_image={}, post_image={}),
            StepApplied(transaction=TRANSACTION, step=index),
        )
        for index, change in enumerate(plan.changes)
    )
    applied = Applied(transaction=TRANSACTION, judge_by=at + timedelta(minutes=5))
    return (begun, *(event for pair in steps for event in pair), applied)


def owners_of(events: Sequence[Event]) -> Sequence[Owner]:
    """Who may append each of these events, one after the other from nothing; the first by name where several may."""
    owners: list[Owner] = []
    state: State | None = None
    for event in events:
        row = TRANSITIONS[(state, type(event))]
        owners.append(min(row.owners))
        state = row.next
    return owners


def recorded(incident: str, events: Sequence[Event], *, at: datetime = T0, every_s: float = 1.0) -> Sequence[Recorded]:
    """Record events as a ledger would, one every so many seconds."""
    return [
        Recorded(
            incident=IncidentId(incident),
            id=EventId(f"{incident}-{index}"),
            sequence=index,
            at=at + timedelta(seconds=every_s * (index - 1)),
            by=owner,
            event=event,
            follows=EventId(f"{incident}-{index - 1}" if index > 1 else ""),
        )
        for index, (event, owner) in enumerate(zip(events, owners_of(events), strict=True), start=1)
    ]


def an_incident(
    state: State = State.PLANNING, *, incident: str = "inc-story", plan: Plan | None = None, at: datetime = T0
) -> Incident:
    """Make an incident in a state, folded from `story_to(state)`."""
    return fold(IncidentId(incident), recorded(incident, story_to(state, plan, at=at), at=at))
