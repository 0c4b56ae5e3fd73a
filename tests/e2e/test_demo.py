"""`primum demo` as somebody runs it: real processes, a real NATS, the lab over HTTP."""

import json
import subprocess
import sys
from typing import Any

import pytest


def demo(*options: str) -> tuple[int, str, str]:
    ran = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-m", "services.cli", "demo", "--seed", "11", *options],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    return ran.returncode, ran.stdout, ran.stderr


@pytest.mark.timeout(120)
def test_a_fault_goes_the_whole_way_from_a_real_alert_to_a_kept_repair() -> None:
    """One scenario of the seven; all of them are the demo's own suite."""
    status, out, err = demo("--json", "--only", "wrong-selector")
    said: dict[str, Any] = json.loads(out)
    assert (status, said["ok"]) == (0, True), (said, err)
    (scenario,) = said["scenarios"]
    assert " ".join(scenario["states"]) == "detected diagnosing planning mitigating validating resolved closed"
    assert [(one["runbook"], one["undone"]) for one in scenario["actions"]] == [("fix-service-selector", False)]
    assert (said["lost_alerts"], said["orphaned_transactions"], said["residue"]) == (0, 0, [])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--sabotage", "heart"), "there is no organ 'heart': choose among judge, undo, writes, grouping, diagnosis"),
        (("--only", "earthquake"), "there is no scenario 'earthquake': choose among"),
        (
            ("--only", "gray-node,wrong-imag"),
            "there is no scenario 'wrong-imag': did you mean wrong-image? choose among",
        ),
    ],
)
def test_what_cannot_be_played_is_said_in_a_line(options: tuple[str, ...], said: str) -> None:
    """Exit status 2, and no stack trace."""
    status, _, err = demo(*options)
    assert status == 2
    assert said in err
    assert "Traceback" not in err
