"""What a supervisor that was killed left running: it is ended before its successor begins."""

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ValidationError

from services.cli import runtime
from shared.domain.errors import PrimumError
from shared.ports.clock import Clock

_PROC: Final = Path("/proc")
_TERMINATES_WITHIN_S: Final = 10.0
_LOOK_EVERY_S: Final = 0.05


class Processes(BaseModel):
    """The processes of a data folder, by name."""

    pids: dict[str, int]


def remember(folder: Path, pids: Mapping[str, int]) -> None:
    """Write down what runs now."""
    runtime.write(folder, "processes", Processes(pids=dict(pids)))


async def end(folder: Path, data_dir: Path, clock: Clock) -> list[str]:
    """End what an earlier supervisor of this data folder left; return the names. Raises PrimumError if it will not go.

    Only processes whose command or environment names the folder: a process id may have become somebody else's.
    """
    left = {name: pid for name, pid in _remembered(folder).items() if _is_ours(pid, data_dir)}
    for pid in left.values():
        _signal(pid, signal.SIGTERM)
    deadline_s = clock.monotonic_s() + _TERMINATES_WITHIN_S
    while any(_is_ours(pid, data_dir) for pid in left.values()):
        if clock.monotonic_s() > deadline_s:
            pids = ", ".join(f"{name} ({pid})" for name, pid in left.items())
            raise PrimumError(
                f"an earlier Primum left {pids} running, which do not stop", advice="end them with kill -9"
            )
        await clock.sleep(_LOOK_EVERY_S)
    return sorted(left)


def _remembered(folder: Path) -> dict[str, int]:
    try:
        return Processes.model_validate_json((folder / "processes.json").read_text(encoding="utf-8")).pids
    except (OSError, ValidationError):  # none, or not ours: there is nothing to end
        return {}


def _is_ours(pid: int, data_dir: Path) -> bool:
    """Where there is no /proc nothing is ended: the embedded NATS's own lock then says what is still there."""
    try:
        said = (_PROC / str(pid) / "cmdline").read_bytes() + b"\0" + (_PROC / str(pid) / "environ").read_bytes()
    except OSError:  # gone, or another user's
        return False
    return str(data_dir).encode() in said


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:  # it went by itself
        return
