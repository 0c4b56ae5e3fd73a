"""`primum eval replicas`: the rows, one after the other; a table, or JSON."""

import json
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from eval import naming, stopping
from eval.crash.sabotage import SABOTAGES
from eval.replicas.cases import CASES, QUICK_CASES, RACE, Case
from eval.replicas.race import race
from eval.replicas.row import COUNTS, Row, play

WITHIN_S: Final = 100.0
_QUICK_REPLICAS: Final = 2


@dataclass(frozen=True)
class Options:
    """What `primum eval replicas` was asked for."""

    seed: int | None = None
    only: tuple[str, ...] = ()
    quick: bool = False
    within_s: float = WITHIN_S
    sabotage: str = ""
    as_json: bool = False


def main(options: Options) -> int:
    """Play the rows; 0 if every count is zero, 1 if not, 130 after Ctrl-C. Raises PrimumError."""
    cases = _chosen(options)
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1, 100_000)
    try:
        rows = stopping.run(_play(cases, seed, options))
    except KeyboardInterrupt:
        sys.stderr.write("stopped\n")
        return 130
    counted = summary(rows)
    if options.as_json:
        whole = {"seed": seed, "sabotage": options.sabotage, "rows": [row.as_json() for row in rows]}
        sys.stdout.write(json.dumps({**whole, "summary": counted}, indent=2) + "\n")
    else:
        sys.stdout.write(table(rows) + "\n")
    return 0 if counted["ok"] else 1


def _chosen(options: Options) -> Sequence[Case]:
    known = [case.name for case in CASES]
    naming.check("case", options.only, known)
    if options.sabotage:
        naming.check("sabotage", [options.sabotage], SABOTAGES)
    wanted = options.only or (QUICK_CASES if options.quick else known)
    chosen = [case for case in CASES if case.name in wanted]
    if options.quick:
        chosen = [case if case.name == RACE else replace(case, replicas=_QUICK_REPLICAS) for case in chosen]
    return chosen


async def _play(cases: Sequence[Case], seed: int, options: Options) -> Sequence[Row]:
    _say(f"seed {seed}: {len(cases)} rows")
    rows = list[Row]()
    for number, case in enumerate(cases, start=1):
        how = race if case.name == RACE else play
        row = await how(case, seed, options.within_s, options.sabotage, _say)
        rows.append(row)
        _say(f"{number}/{len(cases)} {case.name}: {_word(row)} ({', '.join(row.trouble)}; {row.elapsed_s:g} s)")
    return rows


def summary(rows: Sequence[Row]) -> dict[str, Any]:
    """The rows in one line."""
    return {
        "ok": bool(rows) and all(row.ok for row in rows),
        "rows": len(rows),
        "red": sum(not row.ok for row in rows),
        "incidents": sum(row.incidents for row in rows),
        "alerts": sum(row.alerts for row in rows),
        **{name: sum(len(getattr(row, name)) for row in rows) for name in COUNTS},
        "untried": sum(row.untried for row in rows),
        "elapsed_s": round(sum(row.elapsed_s for row in rows), 1),
    }


def table(rows: Sequence[Row]) -> str:
    """The rows for people."""
    names = ("case", "replicas", "servers", "incidents", "alerts", *COUNTS)
    lines = [f"| {' | '.join(name.replace('_', ' ') for name in names)} | all well |", "|---" * (len(names) + 1) + "|"]
    for row in rows:
        found = row.as_json()
        lines.append(f"| {' | '.join(str(found[name]) for name in names)} | {_word(row)} |")
    return "\n".join(lines)


def _word(row: Row) -> str:
    if row.ok:
        return "yes"
    return f"no: {(row.as_json()['problems'] or ['what was to happen did not'])[0]}"


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
