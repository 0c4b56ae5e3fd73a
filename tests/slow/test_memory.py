"""`primum bench memory` as a user runs it, with few incidents: it takes them to their end and says what it saw."""

from pathlib import Path

import pytest

from services.cli.supervisor import SERVICES
from shared.testing.command_line import CommandLine


@pytest.mark.timeout(120)
async def test_incidents_go_to_their_end_while_memory_is_watched(tmp_path: Path) -> None:
    """Every alert on record, every incident opened once and closed, some mended; figures of each service."""
    sized = ("--alerts", "90", "--incidents", "30", "--starts", "1", "--json")
    said = (await CommandLine(tmp_path)("bench", "memory", *sized, timeout_s=110)).json
    assert (said["joined"], said["opened"], said["ended"]) == (90, 30, 30)
    assert said["events"]["Kept"] > 0  # type: ignore[call-overload, index, operator]
    assert set(said["start_to_ready_s"]) == set(SERVICES)  # type: ignore[arg-type]
    for service in SERVICES:
        assert said["memory"][service]["end_mb"] > said["memory"][service]["start_mb"] / 2 > 0  # type: ignore[call-overload, index, operator]
