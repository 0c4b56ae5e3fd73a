"""TNR's rule, case by case."""

from datetime import timedelta

import pytest

from shared.domain.cause import CauseCode
from shared.domain.events import UndoWhy
from shared.domain.health import Symptom, VerdictWord
from shared.judge.keep_or_undo import MIN_SAMPLES, Keep, KeepMoreToDo, NotYet, TakeBack, keep_or_undo, when
from shared.testing.builders import T0, a_cause, a_reading, a_verdict

W, S = VerdictWord, Symptom


@pytest.mark.parametrize(
    ("verdict", "symptom", "cause_gone", "outcome"),
    [
        (W.WORSE, S.GONE, True, TakeBack),
        (W.INCONCLUSIVE, S.GONE, True, TakeBack),
        (W.BETTER, S.GONE, False, Keep),
        (W.SAME, S.RECEDING, False, Keep),
        (W.BETTER, S.PRESENT, True, KeepMoreToDo),
        (W.SAME, S.PRESENT, True, KeepMoreToDo),
        (W.BETTER, S.UNKNOWN, True, Keep),
        (W.BETTER, S.UNKNOWN, False, TakeBack),
        (W.SAME, S.PRESENT, False, TakeBack),
    ],
)
def test_keep_only_what_made_nothing_worse_and_helped_or_removed_its_cause(
    verdict: VerdictWord, symptom: Symptom, *, cause_gone: bool, outcome: type
) -> None:
    """Everything else is taken back."""
    said = keep_or_undo(a_verdict(verdict), a_reading(symptom), a_cause(), cause_gone=cause_gone)
    assert isinstance(said, outcome)


def test_a_circumstantial_cause_is_never_seen_to_be_removed() -> None:
    """That a suspected rollout is gone proves nothing while the symptom stays."""
    said = keep_or_undo(a_verdict(W.SAME), a_reading(S.PRESENT), a_cause(CauseCode.RECENT_ROLLOUT), cause_gone=True)
    assert isinstance(said, TakeBack)
    assert said.why is UndoWhy.DID_NOT_HELP


@pytest.mark.parametrize(("verdict", "outcome"), [(W.SAME, TakeBack), (W.BETTER, KeepMoreToDo)])
def test_that_more_replicas_share_a_load_proves_nothing(verdict: VerdictWord, outcome: type) -> None:
    """The symptom stays, so the load may be another fault's doing; kept only if its own scope is better off."""
    said = keep_or_undo(a_verdict(verdict), a_reading(S.PRESENT), a_cause(CauseCode.CPU_SATURATED), cause_gone=True)
    assert isinstance(said, outcome)


def test_what_is_kept_without_a_measured_symptom_is_flagged() -> None:
    """Structural evidence stands, and a person is told that it is all there is."""
    said = keep_or_undo(a_verdict(W.BETTER), a_reading(S.UNKNOWN), a_cause(), cause_gone=True)
    assert isinstance(said, Keep)
    assert said.unproven


def waits(*, samples: int, verdict: VerdictWord, symptom: Symptom, after_s: float = 0) -> bool:
    said = when(
        T0 + timedelta(seconds=after_s),
        T0 + timedelta(seconds=60),
        settled_samples=samples,
        verdict=a_verdict(verdict),
        symptom=a_reading(symptom),
        look_again_s=5,
    )
    return isinstance(said, NotYet)


def test_a_clear_success_is_decided_before_the_deadline() -> None:
    """The symptom is gone and nothing is worse, over several samples."""
    assert not waits(samples=MIN_SAMPLES, verdict=W.BETTER, symptom=S.GONE)


def test_one_good_sample_is_not_enough() -> None:
    """A pod that was ready for a moment proves nothing."""
    assert waits(samples=1, verdict=W.BETTER, symptom=S.GONE)


def test_no_success_is_believed_while_the_symptom_stays() -> None:
    """It waits for the deadline."""
    assert waits(samples=MIN_SAMPLES, verdict=W.BETTER, symptom=S.PRESENT)


def test_a_clear_harm_is_not_watched_until_the_deadline() -> None:
    """Worse over several samples is taken back at once."""
    assert not waits(samples=MIN_SAMPLES, verdict=W.WORSE, symptom=S.PRESENT)


def test_at_the_deadline_it_is_decided_with_what_there_is() -> None:
    """No transaction stays unjudged."""
    assert not waits(samples=0, verdict=W.SAME, symptom=S.PRESENT, after_s=60)
