"""The simulation at length, and that it finds what is put in on purpose; what tests/simulation is too short for."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from eval.simulation.command import Options, Tally, play
from eval.simulation.plan import draw
from eval.stopping import STOPPED
from shared.adapters.system import SystemClock
from shared.testing.command_line import CommandLine
from shared.testing.running import until

MANY = 80
FOUND_WITHIN = 40


@pytest.mark.timeout(600)
def test_no_promise_is_broken_by_many_seeds() -> None:
    """A few hours of virtual time, with dozens of crashes."""
    tally = Tally(Options())
    for seed in range(1, MANY + 1):
        tally.add(play(draw(seed)))
    assert not tally.failures, "\n".join(f"{one.seed}: {one.invariant}: {one.how}" for one in tally.failures)
    assert tally.counts["kill"] > MANY / 4


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("sabotage", "invariant"),
    [
        ("no-compare-and-swap", "legal walk"),
        ("ack-before-append", "no alert is lost"),
        ("ignores-the-epoch", "no late writes"),
        ("undo-skips-the-unconfirmed", "nothing is left behind"),
        ("believes-anybody", "legal walk"),
    ],
)
def test_a_defect_put_in_on_purpose_is_found(sabotage: str, invariant: str) -> None:
    """Within a modest number of seeds, and named for what it breaks."""
    found = set()
    for seed in range(1, FOUND_WITHIN + 1):
        result = play(draw(seed), sabotage)
        found.add(result.invariant)
        if invariant in found:
            return
    raise AssertionError(f"not found in {FOUND_WITHIN} seeds; found {found}")


@pytest.mark.timeout(120)
async def test_an_impatient_stop_ends_it_at_once(tmp_path: Path) -> None:
    """Ctrl-C twice, which a terminal sends to all of its processes: no traceback, and no part is played to its end."""
    async with CommandLine(tmp_path).running("eval", "simulate", "--seeds", "400", "--jobs", "2") as process:
        assert process.stderr is not None
        assert b"of 400 seeds" in await process.stderr.readline()
        os.killpg(process.pid, signal.SIGINT)
        os.killpg(process.pid, signal.SIGINT)
        async with asyncio.timeout(20):
            _, err = await process.communicate()
    assert process.returncode == STOPPED
    assert b"Traceback" not in err


@pytest.mark.timeout(120)
async def test_a_sigterm_leaves_no_worker_behind(tmp_path: Path) -> None:
    """Nobody sends it to the workers, so whoever began them ends them."""
    async with CommandLine(tmp_path).running("eval", "simulate", "--seeds", "400", "--jobs", "2") as process:
        assert process.stderr is not None
        assert b"of 400 seeds" in await process.stderr.readline()
        process.terminate()
        async with asyncio.timeout(20):
            await process.communicate()
    assert process.returncode == STOPPED

    async def nobody_is_left() -> bool:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return True
        return False

    await until(nobody_is_left, SystemClock(), 10)
