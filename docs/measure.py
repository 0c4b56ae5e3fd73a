"""Runs the commands behind the pages of figures, keeps what they printed, and writes the pages' tables from that.

`make figures` runs all of them, `make figures ONLY="ingest memory"` some; the machine should have nothing else to do.
What a command printed stands in docs/figures, so that every number on the page can be looked up.
"""

import json
import os
import platform
import re
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

PAGES: Final = tuple(Path(__file__).parent / name for name in ("reliability.md", "evaluation.md"))
FIGURES: Final = Path(__file__).parent / "figures"
_PART: Final = re.compile(r"(<!-- measured: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
_ONE_DECIMAL_FROM: Final = 100
COUNTS: Final = ("lost", "doubled", "orphaned", "illegal", "effects_twice", "residue", "wrong_merges", "splits")
"""What must be zero, by whatever command it is counted."""

Result = Mapping[str, Any]


class Recording(NamedTuple):
    """What a command printed, when, and on what."""

    command: str
    at: str
    commit: str
    machine: str
    status: int
    result: Result


class Measurement(NamedTuple):
    """A command that prints a JSON document, and how the page shows it; several commands are a row each."""

    commands: Sequence[str]
    """As they follow `primum`; `--json` is added."""
    draw: Callable[[Sequence[Recording]], str]
    status: int | None = 0
    """What each of its commands must exit with: 1 with a defect put in on purpose. None: it is reported as it is."""


# --- drawing


def table(rows: Sequence[Result], columns: Sequence[str]) -> str:
    """Draw rows as a table of these columns; what a row does not have stays empty."""
    lines = ["| " + " | ".join(name.replace("_", " ") for name in columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(_cell(row.get(name)) for name in columns) + " |" for row in rows]
    return "\n".join(lines)


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:,.0f}" if abs(value) >= _ONE_DECIMAL_FROM else f"{value:,.2f}"
        case int():
            return f"{value:,}"
        case list():
            return f"{len(value):,}"
        case _:
            return str(value).replace("|", "/")


def rows_of(*columns: str) -> Callable[[Sequence[Recording]], str]:
    """Draw the `rows` of a result."""
    return lambda kept: table(kept[0].result["rows"], columns)


def one_row(*columns: str) -> Callable[[Sequence[Recording]], str]:
    """Draw results that are themselves a row each."""
    return lambda kept: table([each.result for each in kept], columns)


def by_senders(kept: Sequence[Recording]) -> str:
    """Draw what was taken in, by who sent it; beneath it what one alert a call costs."""
    counted = ("offered", "acknowledged", "stored", "lost", "doubled", "rate_per_s", "raw_rate_per_s", "of_raw_ratio")
    drawn = table(
        [{"senders": _senders(each.result["settings"])} | dict(each.result) for each in kept],
        ("senders", *counted, "ack_p50_ms", "ack_p99_ms"),
    )
    alone = kept[0].result["one_alert_a_call"]
    costs = f"{alone['rate_per_s']:,} a second, {alone['of_raw_ratio']:.2f} of raw, p99 {alone['ack_p99_ms']:.0f} ms"
    return f"{drawn}\n\nOne alert a call, as no Alertmanager sends them in a storm: {costs}."


def _senders(settings: Mapping[str, Any]) -> str:
    who = "a pair" if settings["pair"] else "one"
    killed = ", NATS killed" if settings["kill"] else ""
    return f"{who}, {settings['duplicates']:.0%} of calls repeated{killed}"


def by_victim(kept: Sequence[Recording]) -> str:
    """Draw the kill matrix, its rows added up for each victim. Each row alone is in the kept figures."""
    rows = [
        {
            "moments": 1,
            "missed": int(row["missed"]),
            "skipped": int(bool(row["skipped"])),
            "red": int(not row["ok"] and not row["skipped"]),
            **{
                name: row[name] for name in ("victim", "incidents", "untried", "lost", "doubled", "orphaned", "residue")
            },
        }
        for row in kept[0].result["rows"]
    ]
    return table(
        added(rows, "victim"),
        (
            "victim",
            "moments",
            "incidents",
            "untried",
            "lost",
            "doubled",
            "orphaned",
            "residue",
            "red",
            "missed",
            "skipped",
        ),
    )


def by_causes(kept: Sequence[Recording]) -> str:
    """Draw storms, added up for each size and number of causes."""
    counted = ("incidents", "merged", "wrong_merges", "splits", "misplaced", "lost", "doubled")
    rows = [
        {
            "storms of": f"{row['alerts']:,} alerts, {row['causes']} {'cause' if row['causes'] == 1 else 'causes'}",
            "storms": 1,
            "red": int(not row["ok"]),
            **{name: row[name] for name in counted},
        }
        for row in kept[0].result["rows"]
    ]
    return table(added(rows, "storms of"), ("storms of", "storms", *counted, "red"))


def by_service(kept: Sequence[Recording]) -> str:
    """Draw memory in MB along the run, and how soon each is ready; beneath it what holds for all."""
    found = kept[0].result
    columns = ("start_mb", "third_mb", "two_thirds_mb", "end_mb", "slope_mb_per_1000")
    rows = [
        {"process": name, "start_to_ready_s": found["start_to_ready_s"].get(name)}
        | {each: said[each] for each in columns}
        for name, said in found["memory"].items()
    ]
    drawn = table(rows, ("process", *columns, "start_to_ready_s"))
    ends = f"{found['joined']:,} alerts joined, {found['opened']:,} incidents opened, {found['ended']:,} ended."
    return f"{drawn}\n\n{ends} Flat: {found['criterion']}. `primum --help` takes {found['help_s']:.2f} s."


def added(rows: Sequence[Result], by: str) -> Sequence[Result]:
    """Add up the rows that say the same in one column, in the order in which they come."""
    totals: dict[object, Counter[str]] = {}
    for row in rows:
        totals.setdefault(row[by], Counter()).update({name: count for name, count in row.items() if name != by})
    return [{by: value, **total} for value, total in totals.items()]


def found_out(kept: Sequence[Recording]) -> str:
    """Draw what each defect was told by: the exit status, which must be 1, and the counts that are not zero."""
    rows = [
        {"command": f"`primum {each.command}`", "exit_status": each.status, "it_counted": _said(each.result)}
        for each in kept
    ]
    return table(rows, ("command", "exit_status", "it_counted"))


def by_scenario(kept: Sequence[Recording]) -> str:
    """Draw the scenarios of each ground, the variants of one added up; beneath it what all of them came to."""
    return "\n\n".join(_ground(each.result) for each in kept)


def _ground(result: Result) -> str:
    judged = ("detected", "localized", "named", "named_at_once", "mitigated")
    rows = [
        {
            "scenario": name,
            "played": len(played),
            "as it must be": sum(row["ok"] for row in played),
            **{mark: _of([row[mark] for row in played]) for mark in judged},
            **{count: sum(row[count] for row in played) for count in ("residue", "actions", "undos")},
            **{time: _middle([row[time] for row in played]) for time in ("t_detect_s", "t_diagnose_s", "t_mitigate_s")},
        }
        for name, played in _by_name([row for row in result["rows"] if not row["skipped"]]).items()
    ]
    found = result["summary"]
    seconds = ("t_detect_s", "t_diagnose_s", "t_mitigate_s")
    counted = ("scenario", "played", "as it must be", *judged, "residue", "actions", "undos", *seconds)
    red = [f"- {row['scenario']}: {_why(row)}" for row in result["rows"] if not (row["ok"] or row["skipped"])]
    elsewhere = {f"- {row['scenario']}: {row['skipped']}" for row in result["rows"] if row["skipped"]}
    ended = f"{found['passed']} of {found['played']} ended as they must, with {found['tokens']} tokens."
    parts = [table(rows, counted), ended, _listed("Not as they must:", red)]
    return "\n\n".join(part for part in [*parts, _listed(f"Not played on {result['on']}:", sorted(elsewhere))] if part)


def _listed(head: str, lines: Sequence[str]) -> str:
    return "\n".join([head, "", *lines]) if lines else ""


def _by_name(rows: Sequence[Result]) -> Mapping[str, Sequence[Result]]:
    named: dict[str, list[Result]] = {}
    for row in rows:
        named.setdefault(row["scenario"], []).append(row)
    return named


def _of(found: Sequence[bool | None]) -> str:
    judged = [one for one in found if one is not None]
    return f"{sum(judged)}/{len(judged)}" if judged else ""


def _middle(found: Sequence[float | None]) -> float | None:
    known = [one for one in found if one is not None]
    return median(known) if known else None


def _why(row: Result) -> str:
    if row["error"]:
        return f"broke off: {row['error']}"
    wrong = (
        [f"it said {', '.join(row['said']) or 'nothing'}; to blame: {', '.join(row['truth'])}"]
        if not row["named"]
        else []
    )
    return "; ".join([*wrong, *(problem[:160] for problem in row["problems"][:2])]) or "not as it must be"


def _said(result: Result) -> str:
    told = Counter[str]()
    for row in (*result.get("rows", ()), result):
        told.update({name: row[name] for name in COUNTS if isinstance(row.get(name), int)})
    told.update({f"{broken['invariant']} broken": 1 for broken in result.get("failures", ()) if "invariant" in broken})
    return ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in told.items() if count)


MEASUREMENTS: Final[Mapping[str, Measurement]] = {
    "ingest": Measurement(
        ["bench ingest", "bench ingest --no-pair --duplicates 0", "bench ingest --kill"],
        by_senders,
    ),
    "crash": Measurement(["eval crash --scope pipeline --seed 1"], by_victim),
    "replicas": Measurement(
        ["eval replicas --seed 1"],
        rows_of("case", "replicas", "servers", "incidents", "alerts", *COUNTS[:6]),
    ),
    "storms": Measurement(["eval storm --alerts 5000 --seeds 50"], by_causes, status=None),
    "simulation": Measurement(
        ["eval simulate --seeds 2000 --jobs 2"],
        one_row(
            "seeds", "events", "alerts", "writes", "crashes", "pauses", "faults", "orders", "virtual_s", "failures"
        ),
    ),
    "memory": Measurement(["bench memory --alerts 20000 --incidents 2000"], by_service),
    "defects": Measurement(
        [
            "bench ingest --alerts 2000 --rounds 2 --sabotage ack-before-append",
            "bench ingest --alerts 2000 --rounds 2 --sabotage no-dedup",
            "eval crash --seed 1 --only 'detector:before Opened' --sabotage ack-before-append",
            "eval crash --seed 1 --only 'mitigator:frozen 6 s before StepApplied' --sabotage no-compare-and-swap",
            "eval replicas --seed 1 --only race --sabotage no-compare-and-swap",
            "eval storm --causes 3 --seed 1001 --alerts 100 --whole 0 --sabotage grouping",
            "eval simulate --seeds 100 --jobs 2 --no-shrink --fail-fast --sabotage ack-before-append",
            "eval simulate --seeds 100 --jobs 2 --no-shrink --fail-fast --sabotage no-compare-and-swap",
            "eval simulate --seeds 100 --jobs 2 --no-shrink --fail-fast --sabotage ignores-the-epoch",
            "eval simulate --seeds 100 --jobs 2 --no-shrink --fail-fast --sabotage undo-skips-the-unconfirmed",
        ],
        found_out,
        status=1,
    ),
    "scenarios": Measurement(["eval run --on lab --seed 1"], by_scenario, status=None),
    "scenarios-on-kubernetes": Measurement(["eval run --on kubernetes --seed 1"], by_scenario, status=None),
}


# --- measuring


def run(name: str) -> Sequence[Recording]:
    """Run the commands of one measurement to their end, whatever they say, and keep what they printed."""
    recordings = [_run(command) for command in MEASUREMENTS[name].commands]
    FIGURES.mkdir(exist_ok=True)
    _file(name).write_text(json.dumps([each._asdict() for each in recordings], indent=1) + "\n")
    return recordings


def _run(command: str) -> Recording:
    sys.stderr.write(f"--- primum {command}\n")
    program = [str(Path(sys.executable).with_name("primum")), *shlex.split(command), "--json"]
    done = subprocess.run(program, stdout=subprocess.PIPE, check=False, text=True)  # noqa: S603 - our own
    if not done.stdout.strip():
        sys.exit(
            f"primum {command} ended with status {done.returncode} and no result: what was measured before it stands"
        )
    return Recording(
        command=command,
        at=datetime.now(UTC).isoformat(timespec="minutes"),  # noqa: TID251 - a page says when it was written
        commit=_commit(),
        machine=f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}",
        status=done.returncode,
        result=json.loads(done.stdout),
    )


def _commit() -> str:
    """Of what was measured: that figures were written since makes it no other."""
    named = _git("describe", "--always")
    return f"{named}-dirty" if _git("status", "--porcelain", "--", ".", ":!docs") else named


def _git(*arguments: str) -> str:
    return subprocess.run(("git", *arguments), stdout=subprocess.PIPE, check=True, text=True).stdout.strip()  # noqa: S603, S607


def _file(name: str) -> Path:
    return FIGURES / f"{name}.json"


def kept(name: str) -> Sequence[Recording]:
    """Return what was kept of a measurement; nothing if it was never made."""
    if not _file(name).exists():
        return ()
    return [Recording(**each) for each in json.loads(_file(name).read_text())]


def ended_well(name: str, recording: Recording) -> bool:
    """Whether a command's exit status is the one that its measurement must have."""
    return MEASUREMENTS[name].status in (recording.status, None)


def drawn(page: str) -> str:
    """Return the page with every table as the kept figures have it. Raises KeyError for one that nobody measures."""
    return _PART.sub(lambda part: f"{part[1]}{_part(part[2])}\n{part[3]}", page)


def _part(name: str) -> str:
    if not (recordings := kept(name)):
        return "Not measured yet."
    last = recordings[-1]
    commands = ", ".join(f"`primum {each.command} --json`" for each in recordings)
    ended = ", ".join(str(status) for status in dict.fromkeys(each.status for each in recordings))
    said = f"{commands}: exit status {ended}; {last.at[:10]}, commit {last.commit}, {last.machine}."
    return f"{MEASUREMENTS[name].draw(recordings)}\n\n{said}"


def main(names: Sequence[str]) -> int:
    """Measure these, or all, and write the page; 1 if something did not end as it must."""
    wrong = [each for name in names or MEASUREMENTS for each in run(name) if not ended_well(name, each)]
    for each in wrong:
        sys.stderr.write(f"exit status {each.status}: primum {each.command}\n")
    for page in PAGES:
        page.write_text(drawn(page.read_text()))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
