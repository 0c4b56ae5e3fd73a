"""Ctrl-C at several moments of a start, as a terminal sends it: nothing runs afterwards."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from eval.kubeconfig import write_kubeconfig
from shared.adapters.system import SystemClock
from shared.testing.command_line import CommandLine
from shared.testing.processes import naming
from shared.testing.running import until

MOMENTS = [
    "primum.lock",
    "nats/nats.log",
    "nats/*.ports",
    "runtime/processes.json",
    "logs/gateway.log",
    "runtime/service-*.json",
    "runtime/gateway.json",
]


@pytest.mark.timeout(180)
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize(
    ("command", "status"),
    [(("demo", "--seed", "7", "--only", "wrong-selector", "--json"), 130), (("up", "--port", "0"), 0)],
    ids=["demo", "up"],
)
async def test_ctrl_c_while_it_starts_leaves_nothing(
    tmp_path: Path, command: tuple[str, ...], status: int, moment: str
) -> None:
    """Whatever it had begun by then it ends; the demo's folders go, too."""
    primum, temporary, data = CommandLine(tmp_path), tmp_path / "temporary", tmp_path / "data"
    temporary.mkdir()
    nobody = write_kubeconfig(tmp_path / "kubeconfig", "http://127.0.0.1:9", {"token": "any"})
    environment = {"TMPDIR": str(temporary), "PRIMUM_DATA_DIR": str(data), "PRIMUM_KUBECONFIG": str(nobody)}
    async with primum.running(*command, **environment) as process:

        async def is_so_far() -> bool:
            return any(data.glob(moment)) or any(temporary.glob(f"primum-demo-*/{moment}"))

        await until(is_so_far, SystemClock(), within_s=90)
        os.killpg(process.pid, signal.SIGINT)
        async with asyncio.timeout(60):
            assert await process.wait() == status
    assert naming(tmp_path) == []
    assert list(temporary.iterdir()) == []
