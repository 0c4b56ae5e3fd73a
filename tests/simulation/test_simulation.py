"""The simulation itself: it is the same every time, it holds, and it finds what is put in on purpose."""

import asyncio
import itertools
import os
import subprocess
import sys

import pytest

from eval.simulation.bound import EndlessError, bounded
from eval.simulation.command import play
from eval.simulation.loop import VirtualLoop, run
from eval.simulation.plan import draw
from eval.simulation.process import Process, ProcessKilledError
from eval.simulation.story import Story
from shared.domain.events import Owner

FEW = range(100, 104)


@pytest.mark.parametrize("seed", FEW)
def test_no_promise_is_broken_whatever_a_seed_draws(seed: int) -> None:
    """Faults, crashes, pauses and people of a seed: every invariant holds after every event, and at the end."""
    result = play(draw(seed))
    assert result.ok, f"seed {seed}: {result.invariant}: {result.how}\n" + "\n".join(result.story)


@pytest.mark.timeout(10)  # it span for ever, and no timer of the loop could end that
def test_a_process_that_is_killed_while_it_is_frozen_ends() -> None:
    """Its tasks clean up as they are cancelled; a call from there must not wait for a thaw that never comes."""
    loop = VirtualLoop()
    process = Process(Owner.UNDO, "undo-1", loop, Story(loop.time))

    async def cleans_up() -> None:
        try:
            await process.gate()
        finally:
            await process.gate()

    async def main() -> BaseException | None:
        process.freeze(60, "on purpose")
        task = process.spawn(cleans_up(), "work")
        await loop.sleep(1)
        process.kill("on purpose")
        await asyncio.wait({task}, timeout=1)
        return task.exception()

    assert isinstance(run(loop, main()), ProcessKilledError)


def test_what_computes_for_ever_is_stopped() -> None:
    """Where no virtual time passes only the computing itself can be bounded."""
    told: list[str] = []
    with pytest.raises(EndlessError), bounded(0.05, told.append):
        all(True for _ in itertools.repeat(0))
    assert told == ["it computes for more than 0.05 s"]


def test_a_seed_is_the_same_in_another_process_with_other_hashes() -> None:
    """Byte for byte: what fails can be played again, by anybody."""
    code = (
        "from eval.simulation.command import play; from eval.simulation.plan import draw; print(play(draw(3)).digest)"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "4711"}
    other = subprocess.run(  # noqa: S603 - this very interpreter, with the line above
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert other.stdout.strip() == play(draw(3)).digest
