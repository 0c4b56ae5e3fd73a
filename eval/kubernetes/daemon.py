"""Programs that outlive the command that started them: known by pid and by when they began, so that no other is hit."""

import json
import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple, Self

from shared.adapters.system import SystemClock
from shared.domain.errors import PrimumError

_LOOK_EVERY_S: Final = 0.1
_CLOCK: Final = SystemClock()


class DidNotStart(PrimumError):  # noqa: N818 - the fact, as the other errors are named
    """A part of the cluster did not come up."""


class Daemon(NamedTuple):
    """A process that was started here. A pid alone would be anybody's after a while."""

    name: str
    pid: int
    began: int
    """When, in clock ticks since the machine started."""

    @classmethod
    def start(cls, name: str, command: Sequence[str], log: Path, into: Path) -> Self:
        """Start it in a session of its own, its words in a file, and write down in the folder `into` who it is.

        Raises DidNotStart.
        """
        try:
            with log.open("ab") as words:
                process = subprocess.Popen(  # it is ended by its pid, by another command
                    command, stdin=subprocess.DEVNULL, stdout=words, stderr=words, start_new_session=True, cwd=into
                )
        except OSError as error:
            raise DidNotStart(f"{name} does not start: {error}", advice="remove it; what is missing is made") from error
        daemon = cls.of(name, process.pid)
        try:
            (fresh := into / f".{name}.new").write_text(json.dumps(daemon._asdict()))
            fresh.rename(into / f"{name}.json")
        except OSError as error:
            process.kill()  # nobody would find it again
            process.wait()
            raise DidNotStart(f"{name} cannot be written down: {error}", advice="make room there") from error
        return daemon

    @classmethod
    def of(cls, name: str, pid: int) -> Self:
        """The process that has this pid now."""
        return cls(name, pid, _began(pid) or 0)

    def runs(self) -> bool:
        return _began(self.pid) == self.began

    def stands_still(self) -> bool:
        """Whether a signal has stopped it, and none has let it go on."""
        return self.runs() and is_stopped(self.pid)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it is still that process."""
        if self.runs():
            os.kill(self.pid, number)


def within_network(network: Path) -> list[Daemon]:
    """All processes that live in a network namespace: whatever started them, they were started for it."""
    if not network.exists():
        return []
    inode, found = network.stat().st_ino, list[Daemon]()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            if (folder / "ns/net").stat().st_ino == inode:
                pid = int(folder.name)
                found.append(Daemon.of((folder / "comm").read_text().strip(), pid))
    return [each for each in found if each.pid != os.getpid()]


def known(folder: Path) -> list[Daemon]:
    """The processes written down in a folder; one that was cut off, as the machine went down, says of none."""
    found = list[Daemon]()
    for each in sorted(folder.glob("*.json")):
        with suppress(ValueError, TypeError):
            found.append(Daemon(**json.loads(each.read_text())))
    return found


async def end(daemons: Sequence[Daemon], grace_s: float) -> None:
    """End them, with SIGKILL those that have not gone after a grace."""
    for daemon in daemons:
        daemon.signal(signal.SIGTERM)
    if not await within(grace_s, lambda: not any(daemon.runs() for daemon in daemons)):
        for daemon in daemons:
            daemon.signal(signal.SIGKILL)
        await within(grace_s, lambda: not any(daemon.runs() for daemon in daemons))


async def within(seconds: float, holds: Callable[[], bool]) -> bool:
    """Wait until a condition holds, and return whether it did in time."""
    deadline_s = _CLOCK.monotonic_s() + seconds
    while not holds():
        if _CLOCK.monotonic_s() > deadline_s:
            return False
        await _CLOCK.sleep(_LOOK_EVERY_S)
    return True


def is_stopped(pid: int) -> bool:
    """Whether a process stands still on a SIGSTOP."""
    fields = _stat(pid)
    return bool(fields) and fields[0] == "T"


def _began(pid: int) -> int | None:
    """When a process began (proc(5), field 22 of stat); None if there is none, or only its corpse."""
    fields = _stat(pid)
    return int(fields[19]) if fields and fields[0] not in "ZX" else None


def _stat(pid: int) -> Sequence[str]:
    """What proc(5) has in stat after the name, from the state on; nothing if there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ()
