"""Many of each in short, and what is said of a Primum with a defect on purpose; `primum eval replicas` is the whole."""

import json
import subprocess
import sys
from typing import Any

import pytest

COUNTS = ("lost", "doubled", "orphaned", "illegal", "effects_twice", "residue")


def replicas(*options: str) -> tuple[int, dict[str, Any]]:
    ran = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-m", "services.cli", "eval", "replicas", "--seed", "7", "--json", *options],
        stdout=subprocess.PIPE,
        text=True,
        timeout=280,
        check=False,
    )
    return ran.returncode, json.loads(ran.stdout)


@pytest.mark.timeout(300)
def test_two_of_each_and_ledgers_that_race_are_in_nobodys_way() -> None:
    """On a bus of three servers that loses its leader, too: no count is above zero."""
    status, said = replicas("--quick")
    assert [row["problems"] for row in said["rows"]] == [[]] * len(said["rows"])
    assert (status, {name: said["summary"][name] for name in COUNTS}) == (0, dict.fromkeys(COUNTS, 0))


@pytest.mark.timeout(300)
def test_ledgers_that_append_unchecked_are_seen() -> None:
    """Were it otherwise, the zeros would not show anything."""
    status, said = replicas("--only", "race", "--sabotage", "no-compare-and-swap", "--within", "40")
    assert (status, said["summary"]["ok"]) == (1, False)
    assert said["summary"]["illegal"] > 0
