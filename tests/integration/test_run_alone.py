"""A command that has a cluster for itself: what ends its runner ends it first."""

import signal
import subprocess
import sys
from pathlib import Path

from eval.kubernetes.choice import carried_out

CHILD = """
import signal, sys, pathlib, threading
told = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: told.set())
print("begun", flush=True)
told.wait(30)
pathlib.Path(sys.argv[1]).touch()
sys.exit(7)
"""
RUNNER = "import sys; from eval.kubernetes.choice import carried_out; sys.exit(carried_out(sys.argv[1:]))"


def test_whoever_ends_the_runner_ends_its_command_and_waits_for_it(tmp_path: Path) -> None:
    """A cluster is taken down after its command, which has cleaned up by then; it was left running."""
    cleaned = tmp_path / "cleaned"
    arguments = (sys.executable, "-c", RUNNER, sys.executable, "-c", CHILD, str(cleaned))
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as runner:  # noqa: S603 - our own
        assert runner.stdout is not None
        assert runner.stdout.readline() == "begun\n"
        runner.send_signal(signal.SIGTERM)
        status = runner.wait(timeout=20)

    assert (status, cleaned.exists()) == (7, True)


def test_a_command_that_was_killed_says_by_what() -> None:
    """As a shell does."""
    assert carried_out((sys.executable, "-c", "import os; os.kill(os.getpid(), 9)")) == 128 + signal.SIGKILL
