"""The cgroup below which a cluster's pods run: made before the kubelet wants it, emptied and removed in the end."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

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
        if top.is_dir():
            yield from sorted((path for path in top.rglob("*") if path.is_dir()), key=lambda path: -len(path.parts))
            yield top
