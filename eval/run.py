"""`primum eval run`: every scenario, played on a ground before a real Primum, and judged by its truth."""

import dataclasses
import json
import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from eval import report, score, stopping
from eval.finished import Finished
from eval.ground import GroundName, Site
from eval.grounds import named, opening
from eval.logbook import read_bus
from eval.play import Play
from eval.scenarios.noise import NOISES, bystander
from eval.scenarios.registry import SCENARIOS
from eval.scenarios.scenario import Scenario
from eval.score import Row, Wanted
from eval.stage import Stage
from services.cli import runtime
from shared.adapters.nats_connection import User
from shared.adapters.nkey import OPERATOR, load_key, seed_file
from shared.adapters.system import SystemClock
from shared.domain.errors import PrimumError


@dataclass(frozen=True)
class Options:
    """What `primum eval run` was asked for."""

    on: str = "lab"
    only: tuple[str, ...] = ()
    seed: int | None = None
    variants: int = 1
    as_json: bool = False
    report: Path | None = None
    resume: bool = False


@dataclass(frozen=True)
class Case:
    """One scenario to be played, once."""

    kind: type[Scenario]
    variant: int

    @property
    def name(self) -> str:
        return f"{self.kind.name}#{self.variant}"

    def cast(self, seed: int) -> tuple[Scenario, str, str]:
        """Draw whom it hits, what goes on beside, and who does that; each variant of a seed hits another role."""
        order = random.Random(f"{seed} {self.kind.name}")
        roles, others = list(self.kind.roles), list(self.kind.others)
        order.shuffle(roles)
        order.shuffle(others)
        rng = random.Random(f"{seed} {self.name}")
        other = others[self.variant % len(others)] if others else ""
        scenario = self.kind(roles[self.variant % len(roles)], rng, other)
        return scenario, list(NOISES)[self.variant % len(NOISES)], bystander(scenario, rng)


def main(options: Options) -> int:
    """Play them; 0 if each ended as its truth says, 1 if not, 130 after Ctrl-C. Raises PrimumError."""
    on = named(options.on)
    if unknown := [name for name in options.only if name not in {kind.name for kind in SCENARIOS}]:
        known = ", ".join(kind.name for kind in SCENARIOS)
        raise PrimumError(f"there is no scenario {unknown[0]!r}", advice=f"choose among {known}")
    if options.resume:
        with _finished(options, on):
            pass  # before a cluster is started for nothing
    opening(on)
    with _finished(options, on) as finished:
        return _run(options, on, finished)


def _run(options: Options, on: GroundName, finished: Finished) -> int:
    sys.stderr.write(f"seed {finished.seed}, on {on}\n")
    evaluation = Evaluation(finished, on)
    try:
        stopping.run(evaluation.run())
    except KeyboardInterrupt:
        sys.stderr.write(f"stopped; to go on: primum eval run --on {on} --resume\n")
        return stopping.STOPPED
    result: dict[str, Any] = {
        "on": on,
        "seed": finished.seed,
        "variants": finished.variants,
        "rows": evaluation.rows,
        "summary": score.summary(evaluation.rows),
    }
    sys.stdout.write(json.dumps(result, indent=2) + "\n" if options.as_json else table(result) + "\n")
    if options.report is not None:
        report.write(options.report, result)
        sys.stderr.write(f"the report is in {options.report}\n")
    return 0 if result["summary"]["ok"] else 1


def _finished(options: Options, on: GroundName) -> Finished:
    """The rows that are there already: of the run that is resumed, or none."""
    folder = runtime.data_dir() / "eval"
    if options.resume and (options.only or options.seed is not None or options.variants != 1):
        raise PrimumError("--resume goes on with what the last run was asked for", advice="leave other options out")
    if options.resume:
        return Finished.of_the_last(folder, on)
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1, 10_000)
    return Finished.new(folder, on, seed, options.variants, options.only)


class Evaluation:
    """A run under way: the rows in the order of the registry, those that were finished before among them."""

    def __init__(self, finished: Finished, on: GroundName) -> None:
        self._finished, self._on, self._clock = finished, on, SystemClock()
        kinds = [kind for kind in SCENARIOS if not finished.only or kind.name in finished.only]
        self._cases = [Case(kind, variant) for variant in range(finished.variants) for kind in kinds]
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
            disable=not sys.stderr.isatty(),
        )

    @property
    def rows(self) -> list[dict[str, Any]]:
        """All that are finished."""
        place = {(case.kind.name, case.variant): number for number, case in enumerate(self._cases)}
        known = [row for row in self._finished.rows if (row["scenario"], row["variant"]) in place]
        return sorted(known, key=lambda row: place[row["scenario"], row["variant"]])

    async def run(self) -> None:
        """Play what is not finished: each variant on a ground of its own, all its scenarios before one Primum.

        Raises PrimumError where nothing can be played at all.
        """
        with self._bar:
            task = self._bar.add_task("starts", total=len(self._cases))
            for variant in range(self._finished.variants):
                left = [case for case in self._cases if case.variant == variant]
                while left := [case for case in left if not self._is_finished(case)]:
                    await self._play(left, task)

    def _is_finished(self, case: Case) -> bool:
        return any((row["scenario"], row["variant"]) == (case.kind.name, case.variant) for row in self._finished.rows)

    async def _play(self, cases: Sequence[Case], task: TaskID) -> None:
        """Play of these what can be played on one ground; until one breaks off, for it leaves nothing to rely on."""
        for case in cases:
            if self._on in case.kind.not_on:
                self._finish(_skipped(case, case.kind.not_on[self._on]), task)
        playable = [case for case in cases if self._on not in case.kind.not_on]
        if not playable:
            return
        broken_off = False
        try:
            async with opening(self._on)(self._finished.seed + cases[0].variant) as ground, Stage(ground) as stage:
                self._finished.begin()
                broken_off = await self._play_on(stage, playable, task)
        except Exception as error:
            if broken_off:  # its row says so; what it broke cannot be ended in order, and the next ground is another
                self._bar.console.print(f"the ground it broke off on: {_in_a_line(error)}", highlight=False)
                return
            if isinstance(error, PrimumError):
                raise
            goes_on = f"what was played is kept: primum eval run --on {self._on} --resume"
            raise PrimumError(f"the ground broke: {_in_a_line(error)}", advice=goes_on) from error

    async def _play_on(self, stage: Stage[Site], cases: Sequence[Case], task: TaskID) -> bool:
        """Play those that this ground can be for, and return whether one of them broke off, which was the last then."""
        hit, ground = set[str](), stage.ground
        for case in cases:
            if lacking := case.kind.lacking(ground):
                self._finish(_skipped(case, lacking), task)
                continue
            scenario, _, _ = case.cast(self._finished.seed)
            whom = {scenario.role, scenario.other} - {""}
            if not ground.renews and hit & whom:
                continue  # Primum yields after some transactions of a workload: a scenario is to be its first one
            hit |= whom
            self._bar.update(task, description=case.name)
            row = await self._row(case, stage)
            self._finish(row, task)
            if row.error:
                return True
        return False

    def _finish(self, row: Row, task: TaskID) -> None:
        self._finished.add(dataclasses.asdict(row))
        self._bar.advance(task)
        self._bar.console.print(f"{row.scenario}#{row.variant}: {in_words(dataclasses.asdict(row))}", highlight=False)

    async def _row(self, case: Case, stage: Stage[Site]) -> Row:
        began_s = self._clock.monotonic_s()
        scenario, noise, beside = case.cast(self._finished.seed)
        row = Row(
            case.kind.name,
            case.variant,
            title=scenario.title,
            role=scenario.role,
            noise=noise,
            right_end=scenario.right_end,
        )
        try:
            await self._judged(row, scenario, stage, beside)
        except Exception as error:  # noqa: BLE001 - whatever breaks a scenario is its own failure, and not the run's
            row.ok, row.error = False, _in_a_line(error)
        row.elapsed_s = round(self._clock.monotonic_s() - began_s, 1)
        return row

    async def _judged(self, row: Row, scenario: Scenario, stage: Stage[Site], beside: str) -> None:
        ground, noise = stage.ground, NOISES[row.noise]
        operator = User(OPERATOR, load_key(seed_file(stage.supervisor.keys_dir, OPERATOR)))
        began = _last((await read_bus(stage.supervisor.nats_url, operator)).ledger)
        play = Play(scenario, stage, self._clock, exactly=False, noise=noise, beside=beside)
        async for _ in play.run():
            pass
        ledger = (await read_bus(stage.supervisor.nats_url, operator)).ledger
        incidents = [score.said(events) for events in score.incidents_after(ledger, began).values()]
        truth = [Wanted(blame.code, scenario.at_fault(blame, ground.shop)) for blame in scenario.truth]
        row.residue, row.problems = len(play.result.residue), [*play.result.problems, *play.result.residue]
        row.t_alert_s = play.result.fault_to_alert_s
        score.judge(row, truth, incidents, play.result.told_at)


def _in_a_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def _skipped(case: Case, why: str) -> Row:
    kind = case.kind
    return Row(kind.name, case.variant, title=kind.title, right_end=kind.right_end, skipped=why)


def _last(ledger: Sequence[Mapping[str, Any]]) -> int:
    return max((line["sequence"] for line in ledger), default=0)


def in_words(row: Mapping[str, Any]) -> str:
    """A row in a line."""
    if row["skipped"]:
        return f"not played: {row['skipped']}"
    if row["error"]:
        return f"broke off: {row['error']}"
    if row["ok"]:
        return f"as it must be, in {row['elapsed_s']:g} s"
    missing = [name for name in ("detected", "localized", "named", "mitigated") if row[name] is False]
    return "; ".join([f"not {', '.join(missing)}", *row["problems"][:2]])


COLUMNS: Final = ("scenario", "variant", *score.RATES, "residue", "actions", "undos", *score.TIMES)


def table(result: Mapping[str, Any]) -> str:
    """The rows for people, and what they come to."""
    lines = ["| " + " | ".join((*COLUMNS, "")) + " |", "|" + "---|" * (len(COLUMNS) + 1)]
    for row in result["rows"]:
        cells = [_cell(row[name]) for name in COLUMNS]
        lines.append("| " + " | ".join([*cells, "" if row["ok"] else in_words(row)]) + " |")
    found = result["summary"]
    lines.append(f"\n{found['passed']} of {found['played']} ended as they must; seed {result['seed']}")
    return "\n".join(lines)


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.2f}"
        case _:
            return str(value)
