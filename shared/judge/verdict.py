"""Better, same, worse or not known: what comparing a scope before and after an action says.

First the invariants that need no statistics: ready replicas, crash loops, endpoints. Then the error ratio of requests
between samples taken after the rollout, with a plain tolerance; under MIN_REQUESTS a side it is not applicable.
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from shared.domain.health import Health, Traffic, Verdict, VerdictWord, WorkloadHealth

MIN_REQUESTS: Final = 100
TOLERANCE_RATIO: Final = 0.02
"""Error ratios nearer than this, in absolute terms, are the same."""
TOLERANCE_FACTOR: Final = 1.25
"""And so are those within this factor of one another."""


class _Word(NamedTuple):
    word: VerdictWord
    reason: str


def compare(before: Health, after: Sequence[Health]) -> Verdict:
    """Compare the level before an action with the samples after it, oldest first.

    Invariants are read off the last sample; requests are counted between the first and the last one.
    """
    if not after:
        return Verdict(word=VerdictWord.INCONCLUSIVE, reasons=("nothing was measured after the action",))
    last = after[-1]
    words = [*_unmeasured(before, last), *_invariants(before, last), *_requests(before, after)]
    for word in (VerdictWord.WORSE, VerdictWord.INCONCLUSIVE, VerdictWord.BETTER):
        reasons = tuple(said.reason for said in words if said.word is word)
        if reasons:
            return Verdict(word=word, reasons=reasons)
    return Verdict(word=VerdictWord.SAME, reasons=tuple(said.reason for said in words) or ("nothing changed",))


def _unmeasured(before: Health, after: Health) -> Iterator[_Word]:
    """What was not measured on either side cannot be compared; a permission that is missing is no outage."""
    for part in dict.fromkeys((*before.unmeasured, *after.unmeasured)):
        yield _Word(VerdictWord.INCONCLUSIVE, str(part))


def _invariants(before: Health, after: Health) -> Iterator[_Word]:
    for now in after.workloads:
        if (was := before.of(now.ref)) is not None:
            yield from _workload(was, now)
    unknown = {part.what for part in after.unmeasured}
    for missing in (was for was in before.workloads if after.of(was.ref) is None and str(was.ref) not in unknown):
        yield _Word(VerdictWord.WORSE, f"{missing.ref} is not there any more")
    for service, ready in after.endpoints.items():
        was_ready = before.endpoints.get(service, 0)
        if ready == 0 and was_ready > 0:
            yield _Word(VerdictWord.WORSE, f"{service} has no ready endpoint, had {was_ready}")
        elif was_ready == 0 and ready > 0:
            yield _Word(VerdictWord.BETTER, f"{service} has {ready} ready endpoints, had none")


def _workload(was: WorkloadHealth, now: WorkloadHealth) -> Iterator[_Word]:
    """Pods that are missing from what is wanted: fewer wanted pods is an intent, not an outage."""
    missing_before, missing = max(0, was.desired - was.ready), max(0, now.desired - now.ready)
    if missing > missing_before:
        yield _Word(
            VerdictWord.WORSE, f"{now.ref}: {now.ready} of {now.desired} ready, were {was.ready} of {was.desired}"
        )
    elif missing < missing_before:
        yield _Word(
            VerdictWord.BETTER, f"{now.ref}: {now.ready} of {now.desired} ready, were {was.ready} of {was.desired}"
        )
    if now.crash_looping > was.crash_looping:
        yield _Word(VerdictWord.WORSE, f"{now.ref}: {now.crash_looping} pods fail to start, {was.crash_looping} did")
    elif now.crash_looping < was.crash_looping:
        yield _Word(VerdictWord.BETTER, f"{now.ref}: {now.crash_looping} pods fail to start, {was.crash_looping} did")
    if not now.rolled_out and was.rolled_out:
        yield _Word(VerdictWord.INCONCLUSIVE, f"{now.ref} is still rolling out")


def _requests(before: Health, after: Sequence[Health]) -> Iterator[_Word]:
    for service, was in before.recent.items():
        first, last = after[0].traffic.get(service), after[-1].traffic.get(service)
        if first is None or last is None:
            yield _Word(VerdictWord.SAME, f"{service}: no request metrics, judged by its structure alone")
            continue
        # Callers count each by itself: when one ends, their sum falls, and what is left of it is as old as they are.
        now = after[-1].recent.get(service) if last.requests < first.requests else None
        yield _ratio(service, was, now or last.since(first))


def _ratio(service: str, was: Traffic, now: Traffic) -> _Word:
    said = f"{service}: {now.error_ratio:.1%} of {now.requests:.0f} requests fail, {was.error_ratio:.1%} did"
    if min(was.requests, now.requests) < MIN_REQUESTS:
        return _Word(VerdictWord.SAME, f"{service}: too few requests to compare ({now.requests:.0f})")
    difference = now.error_ratio - was.error_ratio
    if difference > TOLERANCE_RATIO and now.error_ratio > was.error_ratio * TOLERANCE_FACTOR:
        return _Word(VerdictWord.WORSE, said)
    if -difference > TOLERANCE_RATIO and was.error_ratio > now.error_ratio * TOLERANCE_FACTOR:
        return _Word(VerdictWord.BETTER, said)
    return _Word(VerdictWord.SAME, said)
