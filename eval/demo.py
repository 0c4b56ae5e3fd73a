"""`primum demo`: seven faults, real alerts, a real Primum; exit status 1 if anything ended otherwise than it should."""

import asyncio
import json
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from eval import naming, stopping
from eval.ground import GroundName, Site
from eval.grounds import named, opening
from eval.lab_ground import LabGround
from eval.logbook import read_logbook
from eval.play import Play, Result
from eval.sabotage import ORGANS, WRITES
from eval.scenarios.alert_storm import AlertStorm
from eval.scenarios.gray_node import GrayNode
from eval.scenarios.healed_before import HealedBefore
from eval.scenarios.memory_limit import MemoryLimit
from eval.scenarios.misleading_rollout import MisleadingRollout
from eval.scenarios.scenario import Scenario
from eval.scenarios.wrong_image import WrongImage
from eval.scenarios.wrong_selector import WrongSelector
from eval.screen import Screen
from eval.stage import Stage
from shared.adapters.system import SystemClock
from shared.domain.errors import PrimumError

SCENARIOS: Final[Sequence[type[Scenario]]] = (
    WrongImage,
    MemoryLimit,
    WrongSelector,
    MisleadingRollout,
    GrayNode,
    HealedBefore,
    AlertStorm,
)
CLOSES_WITHIN_S: Final = 20.0


@dataclass(frozen=True)
class Options:
    """What `primum demo` was asked for."""

    on: str = "lab"
    seed: int | None = None
    seeds: int = 1
    only: tuple[str, ...] = ()
    as_json: bool = False
    keep: bool = False
    fail_fast: bool = False
    sabotage: str | None = None


@dataclass
class Run:
    """One seed's demo."""

    seed: int
    results: list[Result] = field(default_factory=list)
    lost_alerts: int = 0
    orphaned_transactions: int = 0
    problems: list[str] = field(default_factory=list)
    elapsed_s: float = 0.0

    @property
    def residue(self) -> list[str]:
        return [line for result in self.results for line in result.residue]

    @property
    def ok(self) -> bool:
        clean = not (self.lost_alerts or self.orphaned_transactions or self.problems)
        return clean and bool(self.results) and all(result.ok for result in self.results)

    def as_json(self) -> dict[str, Any]:
        return {
            "ok": self.ok,
            "seed": self.seed,
            "scenarios": [result.as_json() for result in self.results],
            "lost_alerts": self.lost_alerts,
            "orphaned_transactions": self.orphaned_transactions,
            "residue": self.residue,
            "problems": self.problems,
            "elapsed_s": self.elapsed_s,
        }


def cast(seed: int, only: Sequence[str] = (), on: GroundName = "lab") -> list[Scenario]:
    """Draw the order of the scenarios and whom each hits; no service is hit twice as long as there are others."""
    wanted = [kind for kind in SCENARIOS if (not only or kind.name in only) and on not in kind.not_on]
    return draw(random.Random(seed), wanted)


def draw(rng: random.Random, kinds: Sequence[type[Scenario]]) -> list[Scenario]:
    """Draw order and targets of these."""
    free: set[str] = {role for kind in SCENARIOS for role in kind.roles}
    drawn: list[Scenario] = []
    for kind in sorted(kinds, key=lambda kind: len(kind.roles)):  # the choosy ones first
        role = _draw(rng, kind.roles, free)
        other = _draw(rng, kind.others, free) if kind.others else ""
        drawn.append(kind(role, random.Random(rng.getrandbits(64)), other))
    rng.shuffle(drawn)
    return drawn


def _draw(rng: random.Random, roles: Sequence[str], free: set[str]) -> str:
    role = rng.choice([role for role in roles if role in free] or list(roles))
    free.discard(role)
    return role


def main(options: Options) -> int:
    """Run it; 0 if everything ended as it must, 1 if not, 130 after Ctrl-C."""
    if options.sabotage:
        naming.check("organ", [options.sabotage], ORGANS)
    naming.check("scenario", options.only, [kind.name for kind in SCENARIOS])
    on = named(options.on)
    if on != "lab" and options.sabotage == WRITES:
        raise PrimumError("only the lab can drop writes", advice="leave --on out, or choose another organ")
    if options.only and not cast(1, options.only, on):
        raise PrimumError(f"none of these can be played on {on}", advice="leave --on out")
    opening(on)
    try:
        runs = stopping.run(_runs(options))
    except KeyboardInterrupt:
        sys.stderr.write("stopped\n")
        return 130
    if options.as_json:
        whole = runs[0].as_json() if len(runs) == 1 else _several(runs)
        sys.stdout.write(json.dumps(whole, indent=2) + "\n")
    return 0 if all(run.ok for run in runs) else 1


def _several(runs: Sequence[Run]) -> dict[str, Any]:
    return {
        "ok": all(run.ok for run in runs),
        "seeds": [run.seed for run in runs],
        "passed": sum(run.ok for run in runs),
        "runs": [run.as_json() for run in runs],
    }


async def _runs(options: Options) -> list[Run]:
    first = options.seed if options.seed is not None else random.SystemRandom().randrange(1, 10_000)
    runs: list[Run] = []
    for seed in range(first, first + options.seeds):
        runs.append(await _run(seed, options))
        if options.seeds > 1:
            sys.stderr.write(_in_a_line(runs[-1]) + "\n")
        if options.fail_fast and not runs[-1].ok:
            break
    return runs


def _in_a_line(run: Run) -> str:
    failed = [f"{one.name}: {'; '.join([*one.problems, *one.residue])}" for one in run.results if not one.ok]
    said = "ok" if run.ok else " | ".join([*failed, *run.problems])
    return f"seed {run.seed}: {said} ({run.elapsed_s:g} s)"


async def _run(seed: int, options: Options) -> Run:
    clock, run = SystemClock(), Run(seed)
    began_s = clock.monotonic_s()
    organs = ORGANS[options.sabotage] if options.sabotage else None
    on = named(options.on)
    scenarios = cast(seed, options.only, on)
    with Screen(seed, scenarios, on, quiet=options.as_json) as screen:
        async with opening(on)(seed) as ground, Stage(ground, organs) as stage:
            if options.sabotage == WRITES and isinstance(ground, LabGround):
                ground.lab.faults.drop_writes()
            screen.on_stage(stage)
            for scenario in scenarios:
                if lacking := scenario.lacking(ground):
                    run.problems.append(f"{scenario.name} cannot be played: {lacking}")
                    continue
                play = Play(scenario, stage, clock)
                run.results.append(play.result)
                async for result in play.run():
                    screen.show(result)
                if options.fail_fast and not play.result.ok:
                    break
            await _all_closed(stage, run, clock)
            for result in run.results:  # as they ended, watch windows and all
                result.incidents = [await stage.incident(known["incident"]["id"]) for known in result.incidents]
            if options.keep:
                screen.keeps(stage)
                await asyncio.Event().wait()
            await stage.stop_primum()
            await _read_the_log(stage, run)
        run.elapsed_s = round(clock.monotonic_s() - began_s, 1)
        screen.ends(run.ok, run.problems, run.residue, run.elapsed_s)
    return run


async def _all_closed(stage: Stage[Site], run: Run, clock: SystemClock) -> None:
    """Every watch window must end quietly."""
    deadline_s = clock.monotonic_s() + CLOSES_WITHIN_S
    while left := [one for one in await stage.incidents() if one["state"] != "closed"]:
        if clock.monotonic_s() > deadline_s:
            run.problems += [f"{one['id']} is {one['state']}, not closed: {one['reason']}" for one in left]
            return
        await clock.sleep(0.2)


async def _read_the_log(stage: Stage[Site], run: Run) -> None:
    logbook = await read_logbook(stage.data)
    told = {(one.fingerprint, one.status, one.starts_at) for one in stage.ground.deliveries}
    lost, orphaned = logbook.lost(told), logbook.orphaned()
    run.lost_alerts, run.orphaned_transactions = len(lost), len(orphaned)
    run.problems += [f"lost: {alert}" for alert in lost[:5]] + [f"orphaned: {one}" for one in orphaned[:5]]
    if not told:
        run.problems.append("no alert was ever delivered")
