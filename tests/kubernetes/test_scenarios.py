"""One scenario through the whole path on a real cluster: real alerts, a real Primum, judged by its truth."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from eval.kubernetes import programs
from eval.monitoring.monitoring import PROGRAMS
from eval.monitoring.program import missing


@pytest.mark.usefixtures("ours")
@pytest.mark.timeout(600)
def test_a_wrong_image_is_rolled_back(tmp_path: Path) -> None:
    """Found, blamed on the right object, named, and mended: by services that are no administrators."""
    if said := missing(*PROGRAMS) or programs.missing():
        pytest.skip(said)
    ended = subprocess.run(
        (sys.executable, "-m", "services.cli", "eval", "run", "--on", "kubernetes", "--only", "wrong-image", "--json"),
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
