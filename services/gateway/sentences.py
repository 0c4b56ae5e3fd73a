"""Events as sentences of a timeline, with the lines under them that prove it."""

from collections.abc import Sequence
from typing import Final, assert_never

from shared.domain.change import Change
from shared.domain.events import (
    Applied,
    ApprovalExpired,
    ApprovalRequested,
    Approved,
    Cleared,
    Closed,
    CouldNotLook,
    Deferred,
    Denied,
    Diagnosed,
    DiagnosisStarted,
    Event,
    Intended,
    Kept,
    KeptMoreToDo,
    Merged,
    NoPlanLeft,
    NothingFound,
    Opened,
    PlanPicked,
    Proposed,
    Quiet,
    Relapsed,
    Stale,
    StepApplied,
    TakenOver,
    TransactionOpened,
    TransactionSeized,
    UndoIntended,
    Undone,
    UndoneForGood,
    UndoneUntried,
    UndoRequested,
    UndoStepApplied,
    UndoStuck,
)
from shared.domain.health import Verdict
from shared.domain.runbook import describe

_FOUND: Final = {
    "ours": "",
    "already-back": ", it was so already",
    "untouched": ": it had never been written",
    "self-healing": ": there is nothing to put back, its controller made another",
}
"""What undo saw at the object, in words."""


def sentence(event: Event) -> str:  # noqa: C901, PLR0911, PLR0912 - one arm an event
    """Say in one line what happened."""
    match event:
        case Opened():
            return f"opened for {event.alert.name}: {event.grouped_because}"
        case Cleared():
            return f"the symptom is gone: {event.reading.reason}"
        case Merged():
            return f"merged into {event.into}: {event.reason}"
        case Relapsed():
            return f"the symptom is back: {event.reading.reason}"
        case Quiet():
            return f"closed: {event.reason}"
        case DiagnosisStarted():
            return "looking for the cause"
        case Diagnosed():
            return f"the cause: {event.causes[0].summary}"
        case NothingFound():
            return f"no cause found in {', '.join(event.looked_at) or 'nothing'}"
        case CouldNotLook():
            return f"could not look: {event.reason}"
        case TransactionOpened():
            return f"{event.plan.runbook.name} begins as {event.transaction}: {event.permitted_because}"
        case ApprovalRequested():
            return (
                f"{event.plan.runbook.name} waits for an approval until {event.expires_at:%H:%M:%S} UTC: {event.reason}"
            )
        case Proposed():
            return f"{event.plan.runbook.name} is what it would do: {event.reason}"
        case NoPlanLeft():
            return "no plan is left"
        case Deferred():
            return f"put off until {event.until:%H:%M:%S} UTC: {event.reason}"
        case Stale():
            return f"the diagnosis aged: {event.reason}"
        case ApprovalExpired():
            return f"nobody answered for plan {event.plan_hash} in time"
        case Intended():
            return f"writes step {event.step + 1}, at {event.change.ref}"
        case StepApplied():
            return f"step {event.step + 1} is written"
        case Applied():
            return f"all is written; the verdict comes by {event.judge_by:%H:%M:%S} UTC"
        case Kept():
            return f"kept{', unproven' if event.unproven else ''}: {event.reason}"
        case KeptMoreToDo():
            return f"kept, but there is more to do: {event.reason}"
        case UndoRequested():
            asked = f" by {event.by}" if event.by else ""
            return f"to be taken back{asked} ({event.why}): {event.reason}"
        case TransactionSeized():
            return f"{event.holder} begins to take {event.transaction} back"
        case UndoIntended():
            return f"puts step {event.step + 1} back, at {event.change.ref}"
        case UndoStepApplied():
            return f"step {event.step + 1} is back{_FOUND.get(event.found, f': {event.found}')}"
        case Undone():
            return f"taken back and verified: {event.verified.reason}"
        case UndoneUntried():
            return f"taken back before it was judged: {event.verified.reason}"
        case UndoneForGood():
            return f"taken back for good ({event.reason}): {event.verified.reason}"
        case UndoStuck():
            return f"could not be taken back: {event.reason}"
        case Approved():
            return f"{event.by} approved plan {event.plan_hash}"
        case Denied():
            return f"{event.by} denied plan {event.plan_hash}{_because(event.reason)}"
        case TakenOver():
            return f"{event.by} took it over"
        case PlanPicked():
            return f"{event.by} picked plan {event.plan_hash}"
        case Closed():
            return f"{event.by} closed it{_because(event.reason)}"
        case _:
            assert_never(event)


def details(event: Event) -> Sequence[str]:  # noqa: PLR0911 - one arm an event
    """The lines under a sentence: evidence, diffs, measurements, what was considered. Often none."""
    match event:
        case Opened():
            return [f"{name}: {value}" for name, value in sorted(event.alert.annotations.items())]
        case Diagnosed():
            best, *others = event.causes
            return [
                *(f"{piece.source} {piece.pointer} = {piece.value}" for piece in best.evidence),
                *(f"considered too, {cause.confidence:.0%}: {cause.summary}" for cause in others),
            ]
        case ApprovalRequested() | Proposed():
            return event.diff
        case TransactionOpened():
            return _diff(event.plan.changes)
        case NoPlanLeft():
            return event.considered
        case UndoIntended():
            return _diff([event.change])
        case Kept() | KeptMoreToDo():
            lines = [*_measured(event.verdict), f"symptom {event.symptom.symptom}: {event.symptom.reason}"]
            return [line for line in lines if line.removeprefix(f"{event.verdict.word}: ") not in event.reason]
        case UndoRequested():
            return _measured(event.verdict) if event.verdict else []
        case UndoStuck():
            return event.values
        case _:
            return []


def _diff(changes: Sequence[Change]) -> list[str]:
    return [line for change in changes for line in describe(change)]


def _measured(verdict: Verdict) -> list[str]:
    return [f"{verdict.word}: {reason}" for reason in verdict.reasons]


def _because(reason: str) -> str:
    return f": {reason}" if reason else ""
