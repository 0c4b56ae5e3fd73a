"""`primum eval crash`: the rows, several at a time, each in a process of its own; a table, or JSON."""

import asyncio
import contextlib
import json
import random
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from eval import naming, stopping
from eval.crash.matrix import Case, cases
from eval.crash.outside import FullDisk, why_no_small_disk
from eval.crash.row import ENDS_WITHIN_S, Row, play
from eval.crash.sabotage import SABOTAGES
from shared.adapters.system import SystemClock
from shared.domain.errors import PrimumError

STARTS_AND_STOPS_WITHIN_S: Final = 120.0
TRIES: Final = 3
"""How often a row is played whose trouble never came, each time with another seed."""
_STOPS_WITHIN_S: Final = 40.0
_COUNTS: Final = ("lost", "doubled", "orphaned", "residue")
QUICK_ROWS: Final = (
    "gateway:before and after put",
    "detector:after Opened",
    "mitigator:after Intended",
    "nats:before StepApplied of mitigator",
)


@dataclass(frozen=True)
class Options:
    """What `primum eval crash` was asked for."""

    scope: str = "pipeline"
    seed: int | None = None
    only: tuple[str, ...] = ()
    rounds: int = 1
    quick: bool = False
    jobs: int = 2
    fail_fast: bool = False
    within_s: float = ENDS_WITHIN_S
    sabotage: str = ""
    as_json: bool = False


def main(options: Options) -> int:
    """Run the matrix; 0 if every row is all zeros, 1 if not, 130 after Ctrl-C. Raises PrimumError."""
    _check(options)
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1, 100_000)
    clock = SystemClock()
    began_s = clock.monotonic_s()
    try:
        rows = stopping.run(_Matrix(options, seed).run())
    except KeyboardInterrupt:
        sys.stderr.write("stopped\n")
        return 130
    counted = summary(rows)
    if options.as_json:
        run = {"scope": options.scope, "seed": seed, "jobs": options.jobs}
        whole = {**run, "elapsed_s": round(clock.monotonic_s() - began_s, 1), "rows": rows, "summary": counted}
        sys.stdout.write(json.dumps(whole, indent=2) + "\n")
    else:
        sys.stdout.write(table(rows) + "\n")
    return 0 if counted["ok"] else 1


def listed(options: Options) -> int:
    """Say which rows are asked for, and play none; 0. Raises PrimumError."""
    _check(options)
    names = [*dict.fromkeys(case.name for case in chosen(options))]
    sys.stdout.write((json.dumps(names, indent=2) if options.as_json else "\n".join(names)) + "\n")
    return 0


def _check(options: Options) -> None:
    if options.scope != "pipeline":
        raise PrimumError(f"there is no scope {options.scope!r}", advice="choose pipeline")
    if options.sabotage:
        naming.check("sabotage", [options.sabotage], SABOTAGES)
    if not chosen(options):
        victims = sorted({case.victim for case in cases(1)})
        advice = f"victims are {', '.join(victims)}; `primum eval crash --list` says all their moments"
        raise PrimumError(f"no row is {', '.join(options.only)}", advice=advice)


def chosen(options: Options) -> list[Case]:
    """The rows that are asked for: `victim`, or `victim:moment`, or the beginning of a moment."""
    wanted = options.only or (QUICK_ROWS if options.quick else ())
    return [case for case in cases(options.rounds) if not wanted or any(_is(case, name) for name in wanted)]


def _is(case: Case, wanted: str) -> bool:
    victim, _, moment = wanted.partition(":")
    return case.victim == victim and case.moment.startswith(moment)


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The rows in one line."""
    played = [row for row in rows if not row["skipped"]]
    return {
        "ok": bool(played) and all(row["ok"] and not row["missed"] for row in played),
        "rows": len(rows),
        "red": sum(not row["ok"] for row in played),
        "missed": sum(row["missed"] for row in played),
        "skipped": len(rows) - len(played),
        "incidents": sum(row["incidents"] for row in played),
        **{name: sum(row[name] for row in played) for name in _COUNTS},
        "untried": sum(row["untried"] for row in played),
        "told_again": sum(row["told_again"] for row in played),
    }


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows for people: what docs/reliability.md shows."""
    lines = ["| victim | moment | incidents | lost | doubled | orphaned | residue | ended as without |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    for row in rows:
        counts = " | ".join(str(row[name]) for name in ("incidents", *_COUNTS))
        lines.append(f"| {row['victim']} | {row['moment']} | {counts} | {_word(row)} |")
    return "\n".join(lines)


def _word(row: dict[str, Any]) -> str:
    if row["skipped"]:
        return f"skipped: {row['skipped']}"
    if row["missed"]:
        return "missed"
    return "yes" if row["ok"] else f"no: {row['problems'][0]}"


class _Matrix:
    """The rows under way."""

    def __init__(self, options: Options, seed: int) -> None:
        self._options, self._seed, self._clock = options, seed, SystemClock()
        self._cases = chosen(options)
        self._done = 0
        self._red = asyncio.Event()

    async def run(self) -> list[dict[str, Any]]:
        """Play all of them; in the order of the matrix."""
        began_s, gate = self._clock.monotonic_s(), asyncio.Semaphore(self._options.jobs)
        _say(f"seed {self._seed}: {len(self._cases)} rows, {self._options.jobs} at a time")
        played = await stopping.together(self._row(number, case, gate) for number, case in enumerate(self._cases))
        rows = [row for row in played if row is not None]
        _say(f"{len(rows)} rows in {self._clock.monotonic_s() - began_s:.0f} s")
        return rows

    async def _row(self, number: int, case: Case, gate: asyncio.Semaphore) -> dict[str, Any] | None:
        async with gate:
            if self._options.fail_fast and self._red.is_set():
                return None
            row = await self._played(number, case)
        self._done += 1
        if not row["ok"]:
            self._red.set()
        place, took = f"{self._done:3}/{len(self._cases)}", f"(seed {row['seed']}, {row['elapsed_s']:g} s)"
        _say(f"{place} {case.name}: {_word(row)} {took}")
        return row

    async def _played(self, number: int, case: Case) -> dict[str, Any]:
        if isinstance(case.outside, FullDisk) and (why := why_no_small_disk()):
            return Row(case.victim, case.moment, 0, (), skipped=why).as_json()
        row: dict[str, Any] = {}
        for attempt in range(TRIES):
            seed = self._seed + number + 1000 * attempt
            row = await self._in_a_process(number, case, seed)
            if not (row["missed"] and row["ok"]):  # what is red already says something
                break
        return row

    async def _in_a_process(self, number: int, case: Case, seed: int) -> dict[str, Any]:
        """A process of its own: its lab has a whole core, and nothing of one row is left in the next."""
        limit_s = self._options.within_s + STARTS_AND_STOPS_WITHIN_S
        told = json.dumps({"number": number, "seed": seed, "options": asdict(self._options)})
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "eval.crash.run", told),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            process_group=0,
        )
        try:
            out, _ = await asyncio.wait_for(process.communicate(), limit_s)
        except TimeoutError:
            problem = f"the row did not end within {limit_s:g} s"
            return Row(case.victim, case.moment, seed, (), problems=[problem]).as_json()
        finally:
            await _end(process)
        if process.returncode:
            problem = f"the row's process ended with {process.returncode}"
            return Row(case.victim, case.moment, seed, (), problems=[problem]).as_json()
        row: dict[str, Any] = json.loads(out)
        return row


async def _end(process: asyncio.subprocess.Process) -> None:
    """Let a row that is cut short end what it started."""
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGINT)
    try:
        await asyncio.wait_for(process.communicate(), _STOPS_WITHIN_S)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def one_row(told: str) -> int:
    """What the process of a row does."""
    asked = json.loads(told)
    options = Options(**{**asked["options"], "only": tuple(asked["options"]["only"])})
    case = chosen(options)[asked["number"]]
    try:
        row = stopping.run(play(case, asked["seed"], options.within_s, options.sabotage))
    except KeyboardInterrupt:
        return 130
    sys.stdout.write(json.dumps(row.as_json()))
    return 0


if __name__ == "__main__":
    sys.exit(one_row(sys.argv[1]))
