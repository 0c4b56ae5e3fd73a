"""The whole demo, and the demo with one organ switched off: minutes, not seconds, so `make slow` runs these."""

import json
import subprocess
import sys
from typing import Any

import pytest

SEED = "7"


def demo(*options: str) -> tuple[int, dict[str, Any]]:
    ran = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-m", "services.cli", "demo", "--seed", SEED, "--json", *options],
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    return ran.returncode, json.loads(ran.stdout)


def what_went_wrong(said: dict[str, Any]) -> list[str]:
    each = [f"{one['name']}: {problem}" for one in said["scenarios"] for problem in one["problems"]]
    return [*each, *said["problems"], *said["residue"]]


@pytest.mark.timeout(420)
def test_every_scenario_ends_as_it_must() -> None:
    """Seven faults, one after the other, in one shop: nothing lost, nothing orphaned, no residue."""
    status, said = demo()
    assert (status, what_went_wrong(said)) == (0, [])
    assert (said["lost_alerts"], said["orphaned_transactions"], len(said["scenarios"])) == (0, 0, 7)


@pytest.mark.timeout(420)
@pytest.mark.parametrize(
    ("organ", "scenario"),
    [
        ("judge", "misleading-rollout"),
        ("undo", "misleading-rollout"),
        ("writes", "wrong-image"),
        ("grouping", "alert-storm"),
        ("diagnosis", "wrong-selector"),
    ],
)
def test_a_demo_without_one_of_its_organs_fails(organ: str, scenario: str) -> None:
    """Were it otherwise, the demo would not show that the organ does anything."""
    status, said = demo("--sabotage", organ, "--only", scenario)
    assert (status, said["ok"]) == (1, False)
    assert what_went_wrong(said)
