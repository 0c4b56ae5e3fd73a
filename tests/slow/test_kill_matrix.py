"""The kill matrix in short, and what it says of a Primum with a defect on purpose; `primum eval crash` is the whole."""

import json
import subprocess
import sys
from typing import Any

import pytest


def matrix(*options: str) -> tuple[int, dict[str, Any]]:
    ran = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-m", "services.cli", "eval", "crash", "--seed", "7", "--json", *options],
        stdout=subprocess.PIPE,
        text=True,
        timeout=400,
        check=False,
    )
    return ran.returncode, json.loads(ran.stdout)


@pytest.mark.timeout(420)
def test_whoever_is_killed_everything_ends_as_without() -> None:
    """A few rows that stand for all: nothing lost, doubled or orphaned, no residue."""
    status, said = matrix("--quick")
    assert [row["problems"] + row["story"] for row in said["rows"]] == [[]] * len(said["rows"])
    counts = {name: said["summary"][name] for name in ("lost", "doubled", "orphaned", "residue", "missed", "skipped")}
    assert (status, set(counts.values())) == (0, {0})


@pytest.mark.timeout(420)
@pytest.mark.parametrize(
    ("defect", "row", "count"),
    [
        ("ack-before-append", "detector:before Opened", "lost"),
        ("no-compare-and-swap", "mitigator:frozen 6 s before StepApplied", "orphaned"),
    ],
)
def test_a_defect_on_purpose_is_seen(defect: str, row: str, count: str) -> None:
    """Were it otherwise, the zeros would not show anything."""
    status, said = matrix("--sabotage", defect, "--only", row, "--within", "40")
    assert (status, said["summary"]["ok"]) == (1, False)
    assert said["summary"][count] > 0
