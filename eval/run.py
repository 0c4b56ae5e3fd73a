"""`primum eval run`: every scenario, played on a ground before a real Primum, and judged by its truth."""

import dataclasses
import json
import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, get_args

import httpx
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from eval import naming, report, score, stopping, table
from eval.finished import Finished
from eval.ground import GroundName, Site
from eval.grounds import named, opening
from eval.logbook import read_bus
from eval.play import Play, Result
from eval.scenarios.noise import NOISES, bystander
from eval.scenarios.registry import SCENARIOS
from eval.scenarios.scenario import Scenario
from eval.score import Row, Wanted
from eval.stage import Stage
from services.cli import runtime, screen
from services.cli.output import NotPrinted
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


_INSTEAD: Final[Mapping[GroundName, str]] = {
    "lab": "--on kubernetes can",
    "kubernetes": "without PRIMUM_TEST_CONTEXT it is played on a cluster of two nodes, started for it",
}
"""What to do about what a ground cannot play."""


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
    """Play them; 0 if each ended as its truth says, 1 if not, 130 after Ctrl-C.

    Raises PrimumError, also where nothing of it can be played.
    """
    on, kinds = named(options.on), chosen(options.only)
    if all(on in kind.not_on for kind in kinds):
        raise _nothing_played(on, kinds[0].name, kinds[0].not_on[on])
    if options.report is not None:
        report.check(options.report)
    with _finished(options, on) as finished:
        return _run(options, on, finished)


def listed(options: Options) -> int:
    """Print which scenarios there are, and where each can be played; 0. Raises PrimumError."""
    kinds = [(kind, [on for on in get_args(GroundName) if on not in kind.not_on]) for kind in chosen(options.only)]
    if options.as_json:
        known = [{"name": kind.name, "title": kind.title, "on": on, "not_on": {**kind.not_on}} for kind, on in kinds]
        sys.stdout.write(json.dumps(known, indent=2) + "\n")
        return 0
    shown = screen.columns("scenario", "played on", "what is wrong")
    for kind, on in kinds:
        shown.add_row(kind.name, ", ".join(on), kind.title)
    screen.console().print(shown)
    return 0


def chosen(names: Sequence[str]) -> Sequence[type[Scenario]]:
    """Return the scenarios of these names, all if there is none. Raises PrimumError for a name that none has."""
    advice = "`primum eval run --list` says which there are; several are separated by commas"
    naming.check("scenario", names, [kind.name for kind in SCENARIOS], advice)
    return [kind for kind in SCENARIOS if not names or kind.name in names]


def _nothing_played(on: GroundName, name: str, why: str) -> PrimumError:
    return PrimumError(f"nothing of this can be played on {on} ({name}: {why})", advice=_INSTEAD[on])


def _run(options: Options, on: GroundName, finished: Finished) -> int:
    evaluation = Evaluation(finished, on)
    if evaluation.left:
        opening(on)  # which may begin all this again in another network: what was asked wrongly is said before
    nothing_left = "" if evaluation.left else "; nothing was left to play, these are its rows"
    sys.stderr.write(f"seed {finished.seed}, on {on}{nothing_left}\n")
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
    _print(result, as_json=options.as_json)
    if options.report is not None:
        report.write(options.report, result)
        sys.stderr.write(f"the report is in {options.report}\n")
    skipped = [row for row in evaluation.rows if row["skipped"]]
    if not result["summary"]["played"]:
        if not skipped:
            raise PrimumError("nothing of the last run is there any more", advice="begin anew, without --resume")
        raise _nothing_played(on, skipped[0]["scenario"], skipped[0]["skipped"])
    if skipped:
        sys.stderr.write(f"{len(skipped)} of {len(evaluation.rows)} cannot be played on {on}: {_INSTEAD[on]}\n")
    return 0 if result["summary"]["ok"] else 1


def _print(result: Mapping[str, Any], *, as_json: bool) -> None:
    """Print it, on a terminal as a drawing. Raises PrimumError."""
    try:
        if as_json:
            sys.stdout.write(json.dumps(result, indent=2) + "\n")
        elif sys.stdout.isatty():
            console = screen.console()
            for line in table.drawn(result):
                console.print(line)
        else:
            sys.stdout.write(table.markdown(result) + "\n")
        sys.stdout.flush()
    except NotPrinted as error:
        again = f"{error.advice}: `primum eval run --on {result['on']} --resume` prints it again"
        raise NotPrinted(error.args[0], advice=again) from error


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
            console=screen.console(to_stderr=True),
            transient=True,
            disable=not sys.stderr.isatty(),
        )

    @property
    def left(self) -> Sequence[Case]:
        """What is not finished."""
        return [case for case in self._cases if not self._is_finished(case)]

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
            done = len(self._cases) - len(self.left)
            task = self._bar.add_task("starts", total=len(self._cases), completed=done)
            for variant in range(self._finished.variants):
                while left := [case for case in self.left if case.variant == variant]:
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
                self._bar.console.print(f"the ground it broke off on: {in_a_line(error)}", soft_wrap=True)
                return
            if isinstance(error, PrimumError):
                raise
            goes_on = f"what was played is kept: primum eval run --on {self._on} --resume"
            raise PrimumError(f"the ground broke: {in_a_line(error)}", advice=goes_on) from error

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
            self._bar.update(task, description=f"{case.name}: its shop comes to rest")
            if self._bar.disable:
                number = self._cases.index(case) + 1
                self._bar.console.print(f"{case.name} begins, {number} of {len(self._cases)}", highlight=False)
            row = await self._row(case, stage, task)
            self._finish(row, task)
            if row.error:
                return True
        return False

    def _finish(self, row: Row, task: TaskID) -> None:
        self._finished.add(dataclasses.asdict(row))
        self._bar.advance(task)
        self._bar.console.print(
            f"{row.scenario}#{row.variant}: {table.in_words(dataclasses.asdict(row))}", soft_wrap=True
        )

    async def _row(self, case: Case, stage: Stage[Site], task: TaskID) -> Row:
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
            play = Play(scenario, stage, self._clock, exactly=False, noise=NOISES[noise], beside=beside)
            async for result in play.run():
                self._bar.update(task, description=f"{case.name}: {_stands(result)}")
            await self._judged(row, play, stage)
        except Exception as error:  # noqa: BLE001 - whatever breaks a scenario is its own failure, and not the run's
            row.ok, row.error = False, in_a_line(error)
        row.elapsed_s = round(self._clock.monotonic_s() - began_s, 1)
        return row

    async def _judged(self, row: Row, play: Play, stage: Stage[Site]) -> None:
        scenario, shop = play.scenario, stage.ground.shop
        operator = User(OPERATOR, load_key(seed_file(stage.supervisor.keys_dir, OPERATOR)))
        ledger = (await read_bus(stage.supervisor.nats_url, operator)).ledger
        incidents = [score.said(events) for events in score.incidents_since(ledger, play.before).values()]
        truth = [Wanted(blame.code, scenario.at_fault(blame, shop)) for blame in scenario.truth]
        row.residue, row.problems = len(play.result.residue), [*play.result.problems, *play.result.residue]
        row.t_alert_s = play.result.fault_to_alert_s
        score.judge(row, truth, incidents, play.result.told_at)


def _stands(result: Result) -> str:
    """How it stands, in a word or two: it takes minutes on a real cluster."""
    states = [str(detail["incident"]["state"]).replace("_", " ") for detail in result.incidents]
    if result.elapsed_s:
        return "is put back as it was"
    return ", ".join(states) or ("an alert came" if result.distinct_alerts else "no alert yet")


def in_a_line(error: Exception) -> str:
    """Say what an error is; of a request that was not answered also which, for its error may say nothing at all."""
    asked = f"{error.request.method} {error.request.url}" if isinstance(error, httpx.RequestError) else ""
    return " ".join(f"{type(error).__name__}: {asked} {error}".split())


def _skipped(case: Case, why: str) -> Row:
    kind = case.kind
    return Row(kind.name, case.variant, title=kind.title, right_end=kind.right_end, skipped=why)
