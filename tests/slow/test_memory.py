"""`primum bench memory` as a user runs it, with few incidents: it takes them to their end and says what it saw."""

import asyncio
import json
import os
import signal
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


@pytest.mark.timeout(120)
async def test_ctrl_c_prints_what_was_measured_so_far(tmp_path: Path) -> None:
    """And ends everything: 130, one JSON document that says it is not whole, and no process of its group left."""
    sized = ("--alerts", "90", "--incidents", "90", "--starts", "1", "--json")
    async with CommandLine(tmp_path).running("bench", "memory", *sized) as process, asyncio.timeout(110):
        assert process.stderr is not None
        while b"under way" not in await process.stderr.readline():
            pass
        os.killpg(process.pid, signal.SIGINT)
        out, _ = await process.communicate()
    said = json.loads(out)
    assert (process.returncode, said["ended_by"], said["whole"], said["ok"]) == (130, "stopped", False, False)
    assert set(said["memory"]) == {*SERVICES, "nats"}
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
