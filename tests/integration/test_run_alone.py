"""A command that has a cluster for itself: what ends its runner ends it first."""

import os
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
TIDIES = """
import pathlib, sys
print("begun", flush=True)
sys.stdin.read()
pathlib.Path(sys.argv[1]).touch()
"""
ENDING = """
import sys
from eval.kubernetes.choice import carried_out, undisturbed
with undisturbed():
    status = carried_out(sys.argv[1:])
sys.exit(status)
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


def test_what_ends_things_is_not_ended_itself(tmp_path: Path) -> None:
    """A second Ctrl-C reaches the taking down as all of the terminal's foreground; half a cluster was left."""
    ended = tmp_path / "ended"
    arguments = (sys.executable, "-c", ENDING, sys.executable, "-c", TIDIES, str(ended))
    with subprocess.Popen(  # noqa: S603 - our own
        arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, process_group=0
    ) as runner:
        assert runner.stdin is not None
        assert runner.stdout is not None
        assert runner.stdout.readline() == "begun\n"
        for each in (signal.SIGINT, signal.SIGTERM):
            os.killpg(runner.pid, each)
        runner.stdin.close()

    assert (runner.returncode, ended.exists()) == (0, True)


def test_a_command_that_was_killed_says_by_what() -> None:
    """As a shell does."""
    assert carried_out((sys.executable, "-c", "import os; os.kill(os.getpid(), 9)")) == 128 + signal.SIGKILL
