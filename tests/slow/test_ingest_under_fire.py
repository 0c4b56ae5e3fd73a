"""The bench with NATS killed, and with a promise of the gateway broken: the one must be clean, the other must not."""

import json
import subprocess
import sys
from typing import Any

import pytest


def bench(*options: str) -> tuple[int, dict[str, Any]]:
    ran = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-m", "services.cli", "bench", "ingest", "--json", "--rounds", "1", *options],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    return ran.returncode, json.loads(ran.stdout)


@pytest.mark.timeout(110)
def test_nats_killed_in_the_middle_of_a_burst_loses_and_doubles_nothing() -> None:
    """The senders are told to come again, and do."""
    status, found = bench("--alerts", "4000", "--kill")
    assert (status, found["lost"], found["doubled"]) == (0, 0, 0), found
    assert found["nats_killed"] == 1
    assert found["answers"]["503"] > 0


@pytest.mark.timeout(110)
@pytest.mark.parametrize(("broken", "shows_as"), [("ack-before-append", "lost"), ("no-dedup", "doubled")])
def test_a_broken_promise_is_found(broken: str, shows_as: str) -> None:
    """Were it otherwise, the zeros would say nothing."""
    status, found = bench("--alerts", "4000", "--sabotage", broken)
    assert (status, found["ok"]) == (1, False)
    assert found[shows_as] > 0
