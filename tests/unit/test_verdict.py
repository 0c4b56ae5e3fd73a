"""What comparing a scope before and after an action says."""

from datetime import timedelta

import pytest

from shared.domain.health import Health, Traffic, Unmeasured, VerdictWord, WorkloadHealth
from shared.judge.verdict import compare
from shared.testing.builders import T0, a_ref

SERVICE = "shop/cart"


def health(
    *,
    ready: int = 3,
    desired: int = 3,
    crash_looping: int = 0,
    rolled_out: bool = True,
    endpoints: int | None = None,
    counted: tuple[float, float] | None = None,
    recent: tuple[float, float] | None = None,
) -> Health:
    workload = WorkloadHealth(
        ref=a_ref(), desired=desired, ready=ready, rolled_out=rolled_out, crash_looping=crash_looping, restarts=0
    )
    return Health(
        at=T0,
        workloads=(workload,),
        endpoints={} if endpoints is None else {SERVICE: endpoints},
        traffic={} if counted is None else {SERVICE: Traffic(requests=counted[0], errors=counted[1])},
        recent={} if recent is None else {SERVICE: Traffic(requests=recent[0], errors=recent[1])},
    )


def word(before: Health, *after: Health) -> VerdictWord:
    return compare(before, after).word


def test_what_could_not_be_measured_is_neither_worse_nor_better_nor_the_same() -> None:
    """A list that is forbidden is no outage: neither is the workload gone, nor are its Services without endpoints."""
    blind = Health(at=T0, workloads=(), unmeasured=(Unmeasured(what=str(a_ref()), reason="403"),))
    for verdict in (compare(health(endpoints=3), [blind]), compare(blind, [health(endpoints=3)])):
        assert (verdict.word, verdict.reason) == (
            VerdictWord.INCONCLUSIVE,
            f"{a_ref()} could not be measured: 403",
        )
    assert word(health(), Health(at=T0, workloads=())) is VerdictWord.WORSE


def test_more_missing_pods_are_worse() -> None:
    """A scope that lacks more of the pods it wants than before is worse."""
    assert word(health(ready=3), health(ready=2)) is VerdictWord.WORSE


def test_fewer_missing_pods_are_better() -> None:
    """A scope that got its pods back is better."""
    assert word(health(ready=1), health(ready=3)) is VerdictWord.BETTER


def test_wanting_fewer_pods_is_an_intent_and_no_outage() -> None:
    """Scaling down on purpose does not count as pods lost."""
    assert word(health(ready=3, desired=3), health(ready=1, desired=1)) is VerdictWord.SAME


def test_new_crash_loops_are_worse_even_if_another_thing_got_better() -> None:
    """One invariant that broke outweighs every one that improved."""
    assert word(health(ready=1), health(ready=2, crash_looping=1)) is VerdictWord.WORSE


def test_a_service_that_lost_its_last_endpoint_is_worse() -> None:
    """No ready endpoint where there were some."""
    assert word(health(endpoints=3), health(endpoints=0)) is VerdictWord.WORSE


def test_a_service_that_found_endpoints_is_better() -> None:
    """Ready endpoints where there were none."""
    assert word(health(endpoints=0), health(endpoints=3)) is VerdictWord.BETTER


def test_a_workload_that_vanished_is_worse() -> None:
    """What was there before and is not there now is no missing measurement."""
    assert word(health(), Health(at=T0, workloads=())) is VerdictWord.WORSE


def test_nothing_measured_is_inconclusive() -> None:
    """Without a sample nothing is said."""
    assert word(health()) is VerdictWord.INCONCLUSIVE


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ((1000, 10), (1000, 400), VerdictWord.WORSE),
        ((1000, 400), (1000, 10), VerdictWord.BETTER),
        ((1000, 400), (1000, 390), VerdictWord.SAME),
        ((1000, 1), (1000, 15), VerdictWord.SAME),
        ((1000, 400), (20, 20), VerdictWord.SAME),
    ],
    ids=["more fail", "fewer fail", "as many fail", "within the tolerance", "too few to compare"],
)
def test_error_ratios_are_compared_with_a_tolerance(
    before: tuple[float, float], after: tuple[float, float], said: VerdictWord
) -> None:
    """Requests between the first and the last sample, beside the window before the action."""
    first = health(counted=(5000, 100))
    last = health(counted=(5000 + after[0], 100 + after[1]))
    assert word(health(recent=before), first, last) is said


def test_a_counter_that_was_reset_counts_from_zero() -> None:
    """A restarted exporter must not look like negative traffic."""
    assert Traffic(requests=150, errors=3).since(Traffic(requests=9000, errors=500)) == Traffic(requests=150, errors=3)


def test_a_caller_that_is_gone_takes_its_counters_along_and_is_no_regression() -> None:
    """Each caller counts by itself: when one ends, their sum falls, and the rest of it is as old as the incident."""
    first = health(counted=(100_000, 30_000))
    last = health(counted=(90_000, 28_000), recent=(1000, 5))

    assert word(health(recent=(1000, 10)), first, last) is VerdictWord.SAME
    assert word(health(recent=(1000, 400)), first, last) is VerdictWord.BETTER


def test_every_verdict_has_its_reason() -> None:
    """A person can read why."""
    verdict = compare(health(ready=3), [health(ready=2).but(at=T0 + timedelta(seconds=5))])
    assert verdict.reason == "Deployment/shop/cart: 2 of 3 ready, were 3 of 3"
