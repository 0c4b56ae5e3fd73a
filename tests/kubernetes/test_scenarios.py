"""One scenario through the whole path on a real cluster: real alerts, a real Primum, judged by its truth."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from eval.kubernetes import programs
from eval.kubernetes.machines import Machines, ours
from eval.kubernetes.packets import Packets
from eval.kubernetes.wounds import Machinery, wounds
from eval.monitoring.monitoring import PROGRAMS
from eval.monitoring.program import missing
from eval.operator import Operator
from shared.adapters.system import SystemClock
from shared.testing.running import until

PLAYED: Final = (sys.executable, "-m", "services.cli", "eval", "run", "--on", "kubernetes", "--json", "--only")
FROZEN_WITHIN_S: Final = 180.0


@pytest.mark.usefixtures("ours")
@pytest.mark.timeout(600)
def test_a_wrong_image_is_rolled_back(tmp_path: Path) -> None:
    """Found, blamed on the right object, named, and mended: by services that are no administrators."""
    if said := missing(*PROGRAMS) or programs.missing():
        pytest.skip(said)
    ended = subprocess.run(  # noqa: S603 - our own program
        (*PLAYED, "wrong-image"),
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        env={**os.environ, "PRIMUM_DATA_DIR": str(tmp_path)},
    )
    (row,) = json.loads(ended.stdout)["rows"]
    assert row["problems"] == []
    assert row["error"] == ""
    wanted = ("detected", "localized", "named", "mitigated")
    assert {name: row[name] for name in wanted} == dict.fromkeys(wanted, True)
    assert (row["residue"], ended.returncode) == (0, 0)


@pytest.mark.timeout(600)
async def test_what_is_stopped_in_the_middle_leaves_the_cluster_as_it_was(operator: Operator, tmp_path: Path) -> None:
    """A kubelet that was frozen goes on, its node is ready again, no shop is left: then the command ends, with 130."""
    if said := missing(*PROGRAMS) or programs.missing():
        pytest.skip(said)
    if (places := ours()) is None:
        pytest.skip("its machines are not ours to break")
    machines = Machines(places, Packets(operator))
    before, namespaces = await Machinery.of(machines), await names_of(operator)
    environment = {**os.environ, "PRIMUM_DATA_DIR": str(tmp_path)}
    with subprocess.Popen((*PLAYED, "kubelet-frozen"), stdout=subprocess.DEVNULL, env=environment) as played:  # noqa: S603, ASYNC220

        async def is_frozen() -> bool:
            assert played.poll() is None
            return any("stands still" in line for line in await wounds(operator, machines, before))

        await until(is_frozen, SystemClock(), within_s=FROZEN_WITHIN_S)
        played.send_signal(signal.SIGTERM)  # whoever is started in the background hears no SIGINT
        assert played.wait(timeout=FROZEN_WITHIN_S) == 130
    assert await wounds(operator, machines, before) == []
    assert await names_of(operator) == namespaces


async def names_of(operator: Operator) -> set[str]:
    """The namespaces there are, but for those that an evaluation keeps."""
    found = {item["metadata"]["name"] for item in await operator.list("Namespace")}
    return found - {"monitoring", "primum"}
