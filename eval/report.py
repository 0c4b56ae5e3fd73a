"""A run of the evaluation as a page: what each scenario came to, and how long Primum took, drawn."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log10
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from eval.score import RATES, WORDS
from shared.domain.errors import PrimumError

Row = Mapping[str, Any]
MARKS: Final = (
    ("t_detect_s", "detected", "#3b6fb6"),
    ("t_diagnose_s", "diagnosed", "#8a5bb0"),
    ("t_mitigate_s", "mended", "#2f8f4e"),
    ("t_told_s", "a person was told", "#c2741b"),
)
"""What is drawn on a row's line, by which colour."""
FIRST_S: Final = 0.01
LAST_S: Final = 1000.0
WIDTH: Final = 620.0
"""Of the drawing of times, whose scale is logarithmic."""


@dataclass(frozen=True)
class Mark:
    """A dot on a line of time."""

    x: float
    name: str
    colour: str
    seconds: float


def page(result: Mapping[str, Any]) -> str:
    """Return the page. `result` is what `primum eval run --json` prints."""
    surroundings = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return surroundings.get_template("report.html").render(
        result=result,
        summary=result["summary"],
        rows=[{**row, "marks": marks(row)} for row in result["rows"]],
        rates={name: result["summary"][f"{name}_ratio"] for name in RATES},
        words=WORDS,
        legend=MARKS,
        ticks=[(tick, at(tick)) for tick in ticks()],
        width=WIDTH,
    )


def check(file: Path) -> None:
    """See, before hours of playing, whether a page can be written there. Raises PrimumError."""
    if file.is_dir() or not file.parent.is_dir() or not os.access(file if file.exists() else file.parent, os.W_OK):
        raise PrimumError(f"no report can be written to {file}", advice="name a file in a folder that you may write to")


def write(file: Path, result: Mapping[str, Any]) -> None:
    """Write the page. Raises PrimumError."""
    try:
        file.write_text(page(result), encoding="utf-8")
    except OSError as error:
        why = f"the report cannot be written to {file}: {error.strerror}"
        raise PrimumError(why, advice="go on with --resume and another --report: nothing is played twice") from error


def marks(row: Row) -> Sequence[Mark]:
    """Return what is known of a row's times, the earliest first."""
    known = [Mark(at(row[key]), name, colour, row[key]) for key, name, colour in MARKS if row[key] is not None]
    return sorted(known, key=lambda mark: mark.x)


def at(seconds: float) -> float:
    """Where so many seconds are on the scale; what is before its beginning is at it."""
    whole = log10(LAST_S / FIRST_S)
    return round(WIDTH * log10(min(max(seconds, FIRST_S), LAST_S) / FIRST_S) / whole, 1)


def ticks() -> Sequence[float]:
    """Return every power of ten on the scale, in seconds."""
    return [10.0**power for power in range(round(log10(FIRST_S)), round(log10(LAST_S)) + 1)]
