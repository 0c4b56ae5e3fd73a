"""The cgroup below which a cluster's pods run: made before the kubelet wants it, emptied and removed in the end."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from eval.kubernetes.daemon import is_stopped
from eval.kubernetes.places import Places

_MOUNTED: Final = Path("/sys/fs/cgroup")
_UNIFIED: Final = _MOUNTED / "cgroup.controllers"


def make(places: Places, nodes: int) -> None:
    """Make one for each node, in every hierarchy there is."""
    for controller in _controllers():
        for name in (places.cgroup, *(f"{places.cgroup}/{number}" for number in range(nodes))):
            _make_one(controller / name)


def forbidden(probe: str) -> str:
    """Try to make one of that name in every hierarchy, and say why it cannot be; empty if it can."""
    for controller in _controllers():
        try:
            (controller / probe).mkdir()
            (controller / probe).rmdir()
        except OSError as error:
            return f"this root may not make a cgroup: {error}"
    return ""


def of_node(places: Places, number: int) -> str:
    """What the kubelet is told: its `cgroupRoot`."""
    return f"/{places.cgroup}/{number}"


def pods_memory(places: Places, number: int) -> "Memory":
    """What all pods of a node may have, and have."""
    return Memory(_v1("memory") / places.cgroup / str(number) / "kubepods")


def _v1(controller: str) -> Path:
    return _MOUNTED if _UNIFIED.exists() else _MOUNTED / controller


class Memory:
    """The memory of a cgroup, in bytes."""

    def __init__(self, group: Path) -> None:
        unified = _UNIFIED.exists()
        self._limit = group / ("memory.max" if unified else "memory.limit_in_bytes")
        self._usage = group / ("memory.current" if unified else "memory.usage_in_bytes")
        self._stat = group / "memory.stat"
        self._inactive = "inactive_file" if unified else "total_inactive_file"

    @property
    def limit(self) -> str:
        """As the kernel writes it: a number, or `max`."""
        return self._limit.read_text().strip()

    @limit.setter
    def limit(self, value: str) -> None:
        self._limit.write_text(value)

    @property
    def working_set_bytes(self) -> int:
        """What is used and cannot be had back just by asking, as the kubelet reckons it."""
        stat = dict(line.split() for line in self._stat.read_text().splitlines())
        return int(self._usage.read_text()) - int(stat[self._inactive])


def stopped(places: Places) -> list[int]:
    """The processes of its pods that stand still on a SIGSTOP."""
    found: set[int] = set()
    for group in _groups(places):
        with suppress(OSError):
            found |= {int(pid) for pid in (group / "cgroup.procs").read_text().split()}
    return sorted(pid for pid in found if is_stopped(pid))


def end_all(places: Places) -> None:
    """Kill whatever still runs in it: only what the cluster started can."""
    for group in _groups(places):
        with suppress(OSError):
            for pid in (group / "cgroup.procs").read_text().split():
                with suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)


def remove(places: Places) -> bool:
    """Remove them, and return whether none is left: a process that is still ending holds its own."""
    for group in _groups(places):
        with suppress(OSError):
            group.rmdir()
    return not any(_groups(places))


def _make_one(group: Path) -> None:
    group.mkdir(exist_ok=True)
    for value in ("cpuset.cpus", "cpuset.mems"):  # v1: a new cpuset is empty, and nothing may run in it
        here, above = group / value, group.parent / value
        if here.exists() and not _UNIFIED.exists():
            here.write_text(above.read_text())


def _controllers() -> list[Path]:
    if _UNIFIED.exists():
        return [_MOUNTED]
    # `unified`, too, where there is one: runc makes its groups there as well.
    return [each for each in _MOUNTED.iterdir() if each.is_dir() and not each.is_symlink() and os.path.ismount(each)]


def _groups(places: Places) -> Iterator[Path]:
    """All of them, the deepest first."""
    for controller in _controllers():
        top = controller / places.cgroup
        below = [Path(folder) for folder, _, _ in os.walk(top)]  # which takes no offence at groups that go meanwhile
        yield from sorted(below, key=lambda path: -len(path.parts))
