"""TNR's rule, and when the evidence is enough to apply it."""

from datetime import datetime, timedelta

from shared.domain.cause import Cause
from shared.domain.events import UndoWhy
from shared.domain.frozen import Frozen
from shared.domain.health import Symptom, SymptomReading, Verdict, VerdictWord


class Keep(Frozen):
    """It made nothing worse and helped. `unproven`: its cause is mended, but the symptom could not be measured."""

    reason: str
    unproven: bool = False


class KeepMoreToDo(Frozen):
    """Its cause is mended, and the symptom is still there: another cause remains."""

    reason: str


class TakeBack(Frozen):
    """Not shown to have helped, or shown to have hurt."""

    why: UndoWhy
    reason: str


class NotYet(Frozen):
    """Look again at this moment."""

    until: datetime
    reason: str


def keep_or_undo(
    verdict: Verdict, symptom: SymptomReading, cause: Cause, *, cause_gone: bool
) -> Keep | KeepMoreToDo | TakeBack:
    """Keep only what made nothing worse and either helped or removed its cause; take back everything else.

    A circumstantial cause (timing alone) is never seen to be removed: only the symptom speaks for it. Nor is load that
    more replicas share, while the symptom stays and the scope itself is no better off: it may come from elsewhere, and
    one workload after the other would be scaled for nothing.
    """
    removed = cause_gone and not cause.circumstantial
    shared_out = cause.load and verdict.word is not VerdictWord.BETTER
    if verdict.word is VerdictWord.WORSE:
        return TakeBack(why=UndoWhy.WORSE, reason=verdict.reason)
    if verdict.word is VerdictWord.INCONCLUSIVE:
        return TakeBack(why=UndoWhy.DID_NOT_HELP, reason=f"not shown to help: {verdict.reason}")
    match symptom.symptom:
        case Symptom.GONE | Symptom.RECEDING:
            return Keep(reason=f"{verdict.reason}; symptom {symptom.symptom}: {symptom.reason}")
        case Symptom.UNKNOWN if removed:
            return Keep(
                unproven=True, reason=f"its cause is mended; the symptom could not be measured: {symptom.reason}"
            )
        case Symptom.PRESENT if removed and not shared_out:
            return KeepMoreToDo(reason=f"its cause is mended, and yet {symptom.reason}: another cause remains")
        case _:
            cause_is = "is not seen any more, which proves nothing" if cause_gone else "is still there"
            reason = f"{cause.code} {cause_is}, and the symptom is {symptom.symptom}: {symptom.reason}"
            return TakeBack(why=UndoWhy.DID_NOT_HELP, reason=reason)


def when(  # noqa: PLR0913 - each is one independent piece of the evidence
    now: datetime,
    judge_by: datetime,
    *,
    settled_samples: int,
    verdict: Verdict,
    symptom: SymptomReading,
    look_again_s: float,
) -> NotYet | None:
    """None when it is time to decide: at the deadline, or earlier when the case is clear; never on one sample."""
    if now >= judge_by:
        return None
    if settled_samples >= MIN_SAMPLES:
        if symptom.symptom is Symptom.GONE and verdict.word in (VerdictWord.BETTER, VerdictWord.SAME):
            return None
        if verdict.word is VerdictWord.WORSE and symptom.symptom is not Symptom.RECEDING:
            return None
    look = now + timedelta(seconds=look_again_s)
    return NotYet(until=min(look, judge_by), reason=f"{settled_samples} samples after the rollout; {verdict.reason}")


MIN_SAMPLES = 3
