"""Ctrl-C twice: what the first one began to end is ended."""

import os
import signal
import subprocess
import sys

import pytest

STARTS_SOMETHING = """
import asyncio, signal, sys
from eval.stopping import run

signal.signal(signal.SIGINT, signal.default_int_handler)  # who runs this in the background has it ignored

async def main():
    try:
        print("up", flush=True)
        await asyncio.Event().wait()
    finally:
        print("ending", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        print("ended", flush=True)

try:
    run(main())
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_stop_does_not_interrupt_the_first(number: signal.Signals) -> None:
    """However impatient somebody is, no process is left behind."""
    with subprocess.Popen(  # noqa: S603 - this Python, and a program of our own
        [sys.executable, "-c", STARTS_SOMETHING],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            for expected in ("up\n", "ending\n"):
                assert process.stdout.readline() == expected
                os.kill(process.pid, number)
            assert process.stderr.readline().startswith("stopping")
            out, err = process.communicate("\n", timeout=10)
        finally:
            process.kill()
    assert (out, err, process.returncode) == ("ended\n", "", 130)
