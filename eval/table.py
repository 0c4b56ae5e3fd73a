"""The rows of an evaluation for people: Markdown for a file, a drawing for a terminal, a line for one alone."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from eval import score
from services.cli.said import printable

Row = Mapping[str, Any]
COLUMNS: Final = ("scenario", "variant", *score.RATES, "residue", "actions", "undos", *score.TIMES)
_HEADS: Final = {
    "detected": "detec-\nted",
    "localized": "local-\nized",
    "named": "named",
    "named_at_once": "at\nonce",
    "mitigated": "miti-\ngated",
    "t_alert_s": "s to\nalert",
    "t_detect_s": "detect",
    "t_diagnose_s": "diag-\nnose",
    "t_mitigate_s": "mend",
}
"""What a terminal of 80 columns has room for."""
_MARKS: Final = {None: Text("-", style="dim"), True: Text("✔", style="green"), False: Text("✘", style="red")}


def in_words(row: Row) -> str:
    """A row in a line."""
    if row["skipped"]:
        return _on_a_line(f"not played: {row['skipped']}")
    if row["error"]:
        return _on_a_line(f"broke off: {row['error']}")
    if row["ok"]:
        return f"as it must be, in {row['elapsed_s']:g} s"
    missing = [name for name in ("detected", "localized", "named", "mitigated") if row[name] is False]
    return _on_a_line("; ".join([f"not {', '.join(missing)}", *row["problems"][:2]]))


def _on_a_line(said: str) -> str:
    return " ".join(printable(said).split())


def markdown(result: Mapping[str, Any]) -> str:
    """The rows, and what they come to."""
    lines = ["| " + " | ".join((*COLUMNS, "")) + " |", "|" + "---|" * (len(COLUMNS) + 1)]
    for row in result["rows"]:
        cells = [_cell(row[name]) for name in COLUMNS]
        why = "" if row["ok"] else in_words(row).replace("|", "\\|")
        lines.append("| " + " | ".join([*cells, why]) + " |")
    return "\n".join([*lines, "", _end(result)])


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


def drawn(result: Mapping[str, Any]) -> Iterator[RenderableType]:
    """The same for a terminal, line by line; beneath a row that is red stands why."""
    rows = result["rows"]
    names = [row["scenario"] if result["variants"] == 1 else f"{row['scenario']}#{row['variant']}" for row in rows]
    width = max(map(len, ("scenario", *names)))
    yield _line(width, Text("scenario"), [Text(head) for head in _HEADS.values()], style="dim")
    for name, row in zip(names, rows, strict=True):
        if row["skipped"]:
            yield Text(f"{name}: {in_words(row)}", style="dim")
            continue
        marks, times = [_MARKS[row[rate]] for rate in score.RATES], [_seconds(row[time]) for time in score.TIMES]
        yield _line(width, Text(name, style="" if row["ok"] else "bold red"), [*marks, *times])
        if not row["ok"]:
            yield Padding(Text(in_words(row), style="red"), (0, 0, 0, 2), expand=False)
    yield ""
    yield Text(_end(result), style="bold green" if result["summary"]["ok"] else "bold red")


def _line(width: int, name: Text, cells: Sequence[Text], style: str = "") -> Table:
    """A grid for each line, all alike: what stands beneath a row goes over all its columns."""
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(width=width)
    for key, head in _HEADS.items():
        wide = max(map(len, head.split("\n")))
        grid.add_column(width=wide, justify="right" if key in score.TIMES else "center", vertical="bottom")
    grid.add_row(name, *cells, style=style)
    return grid


def _seconds(value: float | None) -> Text:
    """Three digits: hundredths count in the lab, and on a real cluster they do not."""
    digits = 0 if value is None else sum(value < limit for limit in (10, 100))
    return Text("" if value is None else f"{value:.{digits}f}")


def _end(result: Mapping[str, Any]) -> str:
    found = result["summary"]
    return f"{found['passed']} of {found['played']} ended as they must; seed {result['seed']}"
