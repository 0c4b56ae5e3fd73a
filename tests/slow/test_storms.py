"""A storm with a known truth, as `primum eval storm` plays it; and that it would notice what it is for."""

from pathlib import Path
from typing import Any

import pytest

from shared.testing.command_line import CommandLine

STORM = ("eval", "storm", "--causes", "3", "--seed", "1001", "--whole", "0", "--json")


async def storm(home: Path, *options: str) -> tuple[int, dict[str, Any]]:
    ran = await CommandLine(home)(*STORM, *options, timeout_s=110)
    said: dict[str, Any] = dict(ran.json)
    (row,) = said["rows"]
    return ran.status, row


@pytest.mark.timeout(120)
async def test_a_storm_of_three_causes_is_three_incidents(tmp_path: Path) -> None:
    """Nothing is lost, doubled, merged or split wrongly."""
    status, row = await storm(tmp_path, "--alerts", "600")
    counts = (row["incidents"], row["splits"], row["wrong_merges"], row["lost"], row["doubled"])
    assert (status, counts) == (0, (3, 0, 0, 0, 0))


@pytest.mark.timeout(120)
async def test_a_detector_without_its_grouping_is_noticed(tmp_path: Path) -> None:
    """Status 1: the same storm splits."""
    status, row = await storm(tmp_path, "--alerts", "100", "--sabotage", "grouping")
    assert (status, row["splits"] > 0) == (1, True)
