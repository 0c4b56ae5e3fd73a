"""Trouble that the runner itself makes on a stage: signals at random moments, wrong clocks, a full disk."""

import asyncio
import contextlib
import errno
import json
import os
import random
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from eval.crash.edges import CLOCK
from eval.crash.trouble import NATS, Act, Blow
from eval.lab_ground import LabGround
from eval.stage import Stage
from shared.ports.clock import Clock

LOOK_EVERY_S: Final = 0.02
RUNS_WITHIN_S: Final = 20.0
DISK_MIB: Final = 96


class Outside(Protocol):
    """Something that befalls a run, once."""

    async def befall(self, stage: Stage[LabGround], rng: random.Random, clock: Clock) -> str:
        """Do it, in the seconds after the faults were made; say what was done."""


@dataclass(frozen=True)
class AtRandom:
    """The same happens to all victims at one moment of an incident's life."""

    victims: tuple[str, ...]
    within_s: float
    act: Act = Act.KILL
    for_s: float = 0.0
    """How long they are frozen."""

    async def befall(self, stage: Stage[LabGround], rng: random.Random, clock: Clock) -> str:
        """Wait for the moment, and strike those of the victims that run then; wait for all of them to run."""
        after_s = rng.uniform(0.0, self.within_s)
        await clock.sleep(after_s)
        pids = [await _pid(stage, victim, clock) for victim in self.victims]
        for pid in pids:
            _signal(pid, signal.SIGSTOP if self.act is Act.FREEZE else signal.SIGKILL)
        if self.act is Act.FREEZE:
            await clock.sleep(self.for_s)
            for pid in pids:
                _signal(pid, signal.SIGCONT)
        return f"{self.act} of {' and '.join(self.victims)} after {after_s:.2f} s"


@dataclass(frozen=True)
class ClockJumps:
    """A service's wall clock is set, again and again, by so many seconds off the truth."""

    service: str
    off_s: tuple[float, ...]
    every_s: float

    async def befall(self, stage: Stage[LabGround], rng: random.Random, clock: Clock) -> str:
        """Set it at moments of an incident's life; it stays at the last one."""
        await clock.sleep(rng.uniform(0.0, self.every_s))
        for number, off_s in enumerate(self.off_s):
            if number:
                await clock.sleep(self.every_s)
            (stage.data / f"{CLOCK}-{self.service}").write_text(str(off_s))
        return f"the clock of {self.service} off by {', '.join(f'{off_s:+g} s' for off_s in self.off_s)}"


@dataclass(frozen=True)
class FullDisk:
    """NATS has no space left, for a while. Its data, and all of Primum's, is on a `small_disk`."""

    within_s: float
    for_s: float

    async def befall(self, stage: Stage[LabGround], rng: random.Random, clock: Clock) -> str:
        """Fill it at a moment of an incident's life, keep it full, and free it."""
        after_s, ballast = rng.uniform(0.0, self.within_s), stage.data / "ballast"
        await clock.sleep(after_s)
        with contextlib.ExitStack() as stack:
            stack.callback(ballast.unlink, missing_ok=True)
            until_s = clock.monotonic_s() + self.for_s
            while clock.monotonic_s() < until_s:  # what NATS gives up is filled, too
                _fill(ballast)
                await clock.sleep(LOOK_EVERY_S)
        return f"no space for {self.for_s:g} s after {after_s:.2f} s"


def _fill(ballast: Path) -> None:
    with ballast.open("ab", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise


async def _pid(stage: Stage[LabGround], victim: str, clock: Clock) -> int:
    """Return who it is now. Raises TimeoutError if it does not run."""
    async with asyncio.timeout(RUNS_WITHIN_S):
        while True:
            known = stage.supervisor.nats_pid if victim == NATS else stage.supervisor.children[victim].pid
            if known is not None:
                return known
            await clock.sleep(LOOK_EVERY_S)


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):  # it ended by itself
        os.kill(pid, number)


async def thaw(folder: Path, blow: Blow, for_s: float, clock: Clock) -> None:
    """Wake what a blow froze, long after it."""
    mark = folder / blow.mark
    while not (mark.exists() and mark.read_text()):
        await clock.sleep(LOOK_EVERY_S)
    try:
        await clock.sleep(for_s)
    finally:  # a frozen process could not even be asked to stop
        for pid in json.loads(mark.read_text()):
            _signal(pid, signal.SIGCONT)


def why_no_small_disk() -> str:
    """Why `small_disk` cannot work here; empty if it can."""
    return "" if hasattr(os, "geteuid") and os.geteuid() == 0 else "only root may mount a small disk"


@asynccontextmanager
async def small_disk(folder: Path, size_mib: int = DISK_MIB) -> AsyncIterator[None]:
    """Mount a disk of that size at the folder, which must be there. Raises OSError where that is not allowed."""
    await _run("mount", "-t", "tmpfs", "-o", f"size={size_mib}m", "primum-crash", str(folder))
    try:
        yield
    finally:
        await _run("umount", str(folder))


async def _run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    _, said = await process.communicate()
    if process.returncode:
        raise OSError(f"{command[0]}: {said.decode().strip()}")
