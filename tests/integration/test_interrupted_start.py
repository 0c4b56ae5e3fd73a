"""Ctrl-C while Primum starts: at whichever moment it comes, no process stays behind."""

import asyncio
import os
import signal
from pathlib import Path
from typing import cast

import pytest

from eval.ground import Settings, Site
from eval.stage import Organs, Stage
from eval.stopping import together
from services.cli.supervisor import SERVICES
from shared.adapters.nats_server import EmbeddedNats
from shared.adapters.system import SystemClock
from shared.testing.processes import naming
from shared.testing.running import until


class NeverAtRest:
    """As much of a ground as a start sees: its shop never comes to rest, so that the start never is over."""

    async def settings(self, _: Path) -> Settings:
        return Settings({})

    async def at_rest(self) -> bool:
        return False

    async def until(self, *_: object) -> None:
        await asyncio.Event().wait()


@pytest.mark.parametrize(
    "moment",
    ["primum.lock", "nats/nats.log", "nats/*.ports", "runtime/processes.json", "logs/gateway.log"],
)
def test_a_start_that_is_cancelled_leaves_no_process(tmp_path: Path, moment: str) -> None:
    """A nats-server stayed: the ground gave up at once, and what Primum was still ending was cancelled once more."""
    data = tmp_path / "data"

    async def starts() -> None:
        stage = Stage(cast("Site", NeverAtRest()), Organs(disabled=set(SERVICES) - {"gateway"}), data)
        starting = asyncio.create_task(stage.__aenter__())

        async def is_so_far() -> bool:
            return starting.done() or any(data.glob(moment))

        await until(is_so_far, SystemClock())
        assert naming(data) or moment in {"primum.lock", "nats/nats.log"}
        starting.cancel()
        await starting

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(starts())  # which cancels whatever task is left
    stayed = naming(data)
    for pid in stayed:
        os.kill(pid, signal.SIGKILL)
    assert stayed == []


async def test_one_failure_ends_the_others_before_it_is_told() -> None:
    """What another one was ending is ended, by itself, and cancelled only once."""
    ended = 0

    async def ends_slowly() -> None:
        nonlocal ended
        try:
            await asyncio.Event().wait()
        finally:
            await SystemClock().sleep(0.01)
            ended += 1

    async def fails() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await together([ends_slowly(), fails(), ends_slowly()])
    assert ended == 2


async def test_a_stop_that_was_interrupted_can_be_gone_on_with(tmp_path: Path) -> None:
    """The server hears nothing just then: it was forgotten, and the second stop ended nothing."""
    server = EmbeddedNats(tmp_path)
    await server.start()
    pid = server.pid
    os.kill(pid, signal.SIGSTOP)
    stopping = asyncio.create_task(server.stop())
    await SystemClock().sleep(0)
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping
    assert server.pid == pid
    await server.stop(timeout_s=0.05)
    assert server.exited
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
