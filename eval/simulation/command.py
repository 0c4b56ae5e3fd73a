"""`primum eval simulate`: play seeds, count, and tell the story of each that breaks a promise."""

import gc
import json
import signal
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from multiprocessing import active_children, get_context
from types import FrameType
from typing import Any, Final

from eval import naming
from eval.simulation.plan import Plan, draw
from eval.simulation.sabotage import SABOTAGES
from eval.simulation.simulation import Result, Simulation
from shared.adapters.system import SystemClock

AT_ONCE: Final = 8
"""Seeds that a worker process is given together, and after which garbage is collected."""
TOLD_FAILURES: Final = 3
"""Stories printed; the JSON has all."""
_Part = tuple[tuple[int, ...], str | None, frozenset[int]]


@dataclass(frozen=True)
class Options:
    """What was asked for."""

    seeds: int = 100
    first: int = 1
    jobs: int = 1
    sabotage: str | None = None
    without: frozenset[int] = frozenset()
    """Faults of the seed that are left out, by their numbers."""
    shrink: bool = True
    fail_fast: bool = False
    story: bool = False
    """Tell the story of every seed, also of one that holds."""
    as_json: bool = False


@dataclass
class Tally:
    """What all seeds came to."""

    options: Options
    played: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    virtual_s: float = 0.0
    failures: list[Result] = field(default_factory=list)
    dropped: dict[int, frozenset[int]] = field(default_factory=dict)
    elapsed_s: float = 0.0

    def add(self, result: Result) -> None:
        self.played += 1
        self.counts.update(result.counts)
        self.virtual_s += result.virtual_s
        if not result.ok:
            self.failures.append(result)

    def as_json(self) -> dict[str, Any]:
        return {
            "seeds": self.played,
            "first": self.options.first,
            "sabotage": self.options.sabotage,
            "failures": [
                {
                    "seed": failure.seed,
                    "invariant": failure.invariant,
                    "how": failure.how,
                    "without": sorted(self.dropped.get(failure.seed, self.options.without)),
                    "replay": self.replay(failure),
                    "story": list(failure.story),
                }
                for failure in self.failures
            ],
            "events": self.counts["event"],
            "writes": self.counts["write"],
            "crashes": self.counts["kill"],
            "pauses": self.counts["freeze"],
            "forgeries": self.counts["forged"],
            "faults": self.counts["fault"],
            "alerts": self.counts["alerts"],
            "orders": self.counts["order"],
            "virtual_s": round(self.virtual_s),
            "elapsed_s": round(self.elapsed_s, 1),
            "seeds_per_s": round(self.played / self.elapsed_s, 2) if self.elapsed_s else 0.0,
        }

    def replay(self, failure: Result) -> str:
        """The command that plays a failing seed again."""
        words = [f"primum eval simulate --first {failure.seed} --seeds 1 --no-shrink"]
        words += [f"--without {number}" for number in sorted(self.dropped.get(failure.seed, self.options.without))]
        if self.options.sabotage:
            words.append(f"--sabotage {self.options.sabotage}")
        return " ".join(words)


def simulate(options: Options) -> int:
    """Play the seeds; 0 if all promises held, 1 if one was broken, 130 after Ctrl-C."""
    if options.sabotage is not None:
        naming.check("sabotage", [options.sabotage], sorted(SABOTAGES))
    clock, tally = SystemClock(), Tally(options)
    began_s = clock.monotonic_s()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _once)
    try:
        for result in _played(options):
            tally.add(result)
            tally.elapsed_s = clock.monotonic_s() - began_s
            _say_how_far(tally)
            if options.story:
                sys.stderr.write("\n".join(result.story) + "\n")
            if options.fail_fast and not result.ok:
                break
    except KeyboardInterrupt:
        sys.stderr.write("\nstopped\n")
        return 130
    sys.stderr.write("\n")
    if options.shrink:
        tally.failures = [_shrunk(failure, tally) for failure in tally.failures[:TOLD_FAILURES]] + tally.failures[
            TOLD_FAILURES:
        ]
    if options.as_json:
        sys.stdout.write(json.dumps(tally.as_json(), indent=2) + "\n")
    else:
        sys.stdout.write("\n".join(_in_words(tally)) + "\n")
    return 1 if tally.failures else 0


def play(plan: Plan, sabotage: str | None = None) -> Result:
    """Play one plan."""
    return Simulation(plan, SABOTAGES[sabotage] if sabotage else None).run()


def _played(options: Options) -> Iterator[Result]:
    seeds = range(options.first, options.first + options.seeds)
    if options.jobs <= 1:
        for number, seed in enumerate(seeds):
            if number % AT_ONCE == 0:
                _collect()
            yield play(replace(draw(seed), dropped=options.without), options.sabotage)
        return
    parts = [
        (tuple(seeds[at : at + AT_ONCE]), options.sabotage, options.without) for at in range(0, len(seeds), AT_ONCE)
    ]
    context = get_context("spawn")
    with ProcessPoolExecutor(options.jobs, mp_context=context) as pool:
        try:
            for played in _begun(pool, parts):
                yield from played.result()
        except BaseException:
            for child in active_children():  # they hold nothing, and a part may take them long
                child.terminate()
            raise


def _begun(pool: ProcessPoolExecutor, parts: Sequence[_Part]) -> list[Future[list[Result]]]:
    """Start the workers deaf to Ctrl-C from their first moment: one that dies of it while it starts breaks the pool."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return [pool.submit(_play_part, part) for part in parts]
    finally:
        signal.signal(signal.SIGINT, before)


def _once(_: int, __: FrameType | None) -> None:
    """Take one Ctrl-C or SIGTERM and be deaf from then on: a second, however soon, must not interrupt the ending."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _play_part(part: _Part) -> list[Result]:
    seeds, sabotage, without = part
    results = [play(replace(draw(seed), dropped=without), sabotage) for seed in seeds]
    _collect()
    return [result if not result.ok else replace(result, story=()) for result in results]


def _collect() -> None:
    """Collect the garbage of the seeds that were played, without looking at the code again each time.

    Frozen once: what a seed leaves alive for a while would be frozen with it each time, and never be collected.
    """
    gc.collect()
    if not gc.get_freeze_count():
        gc.freeze()


def _shrunk(failure: Result, tally: Tally) -> Result:
    """Leave out fault after fault as long as the same promise is broken: what is left is what it takes."""
    plan = replace(draw(failure.seed), dropped=tally.options.without)
    smallest = failure
    for number in range(len(plan.faults)):
        if number in plan.dropped:
            continue
        tried = replace(plan, dropped=plan.dropped | {number})
        result = play(tried, tally.options.sabotage)
        if result.invariant == failure.invariant:
            plan, smallest = tried, result
    tally.dropped[failure.seed] = plan.dropped
    return smallest


def _say_how_far(tally: Tally) -> None:
    total, elapsed_s = tally.options.seeds, max(tally.elapsed_s, 0.001)
    said = f"{tally.played} of {total} seeds, {len(tally.failures)} broken, {tally.played / elapsed_s:.1f} a second"
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{said}  ")
    elif tally.played == total or tally.played % max(1, total // 20) == 0:
        sys.stderr.write(said + "\n")
    sys.stderr.flush()


def _in_words(tally: Tally) -> Sequence[str]:
    lines: list[str] = []
    for failure in tally.failures[:TOLD_FAILURES]:
        lines += [f"seed {failure.seed} breaks: {failure.invariant}", f"  {failure.how}", *failure.story]
        lines += [f"play it again: {tally.replay(failure)}", ""]
    for failure in tally.failures[TOLD_FAILURES:]:
        lines.append(f"seed {failure.seed} breaks: {failure.invariant}: {failure.how}")
    said: Mapping[str, Any] = tally.as_json()
    lines.append(
        f"{tally.played} seeds from {tally.options.first} on: {len(tally.failures)} broken; "
        + ", ".join(f"{said[what]} {what}" for what in ("events", "writes", "crashes", "pauses", "forgeries", "faults"))
        + f" in {tally.virtual_s / 3600:.1f} h of virtual time, {said['elapsed_s']} s "
        f"({said['seeds_per_s']} seeds a second)"
    )
    return lines
