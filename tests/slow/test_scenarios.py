"""Scenarios on the lab: each fault shows, and a run of them finishes unattended, or goes on where it was stopped."""

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from eval.lab.alertmanager import Notification
from eval.lab.rehearsal import Rehearsal
from eval.lab_ground import WorldGround, inside
from eval.oracles import residue, written_objects
from eval.scenarios.registry import SCENARIOS
from eval.scenarios.scenario import Scenario


class Heard(Rehearsal):
    """A world whose every notification is taken."""

    def send(self, notification: Notification) -> None:
        self.alertmanager.delivered(notification, self.now_s, self.wall())


@pytest.mark.parametrize(
    "kind", [kind for kind in SCENARIOS if "lab" not in kind.not_on and kind.truth], ids=lambda kind: kind.name
)
async def test_a_fault_is_made_on_the_lab_and_shows(kind: type[Scenario]) -> None:
    """It fires an alert, without anybody who mends it; that is what then keeps the shop from being at rest."""
    world = Heard(seed=3, step_s=2.0)
    world.until(world.settled)
    ground = WorldGround(world, inside(world))
    scenario = kind(kind.roles[0], random.Random(3), kind.others[0] if kind.others else "")  # noqa: S311 - seeded
    await scenario.prepare(ground)
    await ground.until(ground.at_rest, timeout_s=300)
    assert await ground.unrest() == []
    before = await written_objects(ground.operator)

    async def told() -> bool:
        return bool(await ground.alerts())

    await scenario.inject(ground)
    await ground.until(told, timeout_s=300)
    assert any(line.endswith(" firing") for line in await ground.unrest())
    if kind.name not in ("gray-node", "misleading-rollout", "load-spike", "pods-killed"):
        assert residue(before, await written_objects(ground.operator)) != []
    await scenario.recover(ground)


def evaluation(data: Path, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-m", "services.cli", "eval", "run", "--json", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PRIMUM_DATA_DIR": str(data)},
    )


@pytest.mark.timeout(1200)
def test_every_scenario_of_the_lab_ends_as_it_must(tmp_path: Path) -> None:
    """The whole evaluation, unattended: each named, and mended or left to a person as its truth says."""
    out, err = evaluation(tmp_path, "--seed", "1").communicate()
    found: dict[str, Any] = json.loads(out)
    wrong = {row["scenario"]: row for row in found["rows"] if not (row["ok"] or row["skipped"])}
    assert wrong == {}, err
    assert {row["scenario"] for row in found["rows"] if row["ok"]} == {
        kind.name for kind in SCENARIOS if "lab" not in kind.not_on
    }


@pytest.mark.timeout(170)
def test_a_run_that_was_stopped_goes_on_and_ends_as_it_must(tmp_path: Path) -> None:
    """Ctrl-C after the first row: exit status 130; then only what was left is played, and the page is written."""
    chosen = ("--only", "wrong-selector", "--only", "config-map-missing", "--seed", "3")
    first = evaluation(tmp_path, *chosen)
    assert first.stderr is not None
    said = [next(first.stderr)]
    while "as it must be" not in said[-1]:
        said.append(next(first.stderr))
    first.send_signal(signal.SIGINT)
    out, err = first.communicate(timeout=60)
    assert (first.returncode, out) == (130, ""), (said, err)
    assert "primum eval run --on lab --resume" in err

    page = tmp_path / "page.html"
    second = evaluation(tmp_path, "--resume", "--report", str(page))
    out, err = second.communicate(timeout=120)
    found: dict[str, Any] = json.loads(out)
    assert (second.returncode, found["seed"]) == (0, 3), err
    assert [(row["scenario"], row["ok"]) for row in found["rows"]] == [
        ("wrong-selector", True),
        ("config-map-missing", True),
    ]
    assert "wrong-selector#0" not in err
    assert "2 of 2 scenarios ended as they must" in page.read_text()
