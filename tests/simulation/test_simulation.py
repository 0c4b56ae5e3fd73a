"""The simulation itself: it is the same every time, it holds, and it finds what is put in on purpose."""

import os
import subprocess
import sys

import pytest

from eval.simulation.command import play
from eval.simulation.plan import draw

FEW = range(100, 104)


@pytest.mark.parametrize("seed", FEW)
def test_no_promise_is_broken_whatever_a_seed_draws(seed: int) -> None:
    """Faults, crashes, pauses and people of a seed: every invariant holds after every event, and at the end."""
    result = play(draw(seed))
    assert result.ok, f"seed {seed}: {result.invariant}: {result.how}\n" + "\n".join(result.story)


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
