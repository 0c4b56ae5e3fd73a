"""Where things lie: what is built once and kept, and what one running cluster needs and leaves behind nowhere else."""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

DEFAULT: Final = "primum"
"""The name of the cluster that `make cluster` starts; every cluster has a network namespace of this name."""
FOR_A_RUN: Final = "run-"
"""How the names of clusters begin that go with a run; its pid follows."""
_PREFIX: Final = f"{DEFAULT}-"
STATES: Final = Path("/var/lib/primum-test-cluster")
_NETWORKS: Final = Path("/run/netns")


def cache_dir() -> Path:
    """Where builds are kept between runs, outside the tree. It may be deleted at any time; it costs a build."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "primum"


def prune(newest: Path, in_use: Callable[[Path], bool]) -> None:
    """Let only one other build of this kind lie beside the newest: the one that was used last, and those in use."""
    others = [each for each in newest.parent.iterdir() if each.is_dir() and each != newest]
    for old in sorted(others, key=lambda each: each.stat().st_mtime)[:-1]:
        if not in_use(old):
            shutil.rmtree(old, ignore_errors=True)  # another process may be at it, too


class Places(NamedTuple):
    """All folders and files of one running cluster. Nothing of it lies elsewhere, but its cgroups."""

    name: str

    @property
    def state(self) -> Path:
        return STATES / self.name

    @property
    def pki(self) -> Path:
        return self.state / "pki"

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    @property
    def daemons(self) -> Path:
        return self.state / "daemons"

    @property
    def scratch(self) -> Path:
        """The TMPDIR of what runs on the cluster: whatever ends that, its files end with the cluster."""
        return self.state / "tmp"

    @property
    def admin(self) -> Path:
        """The kubeconfig of an administrator, who may do anything: for tests and operators, never for Primum."""
        return self.state / "admin.kubeconfig"

    @property
    def network(self) -> Path:
        """The network namespace. It can be entered while the cluster is up."""
        return _NETWORKS / self.cgroup

    @property
    def cgroup(self) -> str:
        """The name of the cgroup below which its pods run, and of its network namespace."""
        return f"{_PREFIX}{self.name}" if self.name != DEFAULT else DEFAULT

    def node(self, number: int) -> Path:
        return self.state / f"node{number}"


def running() -> list[str]:
    """The names of the clusters that have a state or a network here: they run, or were not taken down."""
    networks = {each.name for each in _NETWORKS.iterdir()} if _NETWORKS.is_dir() else set[str]()
    # Without a state, only what nobody else would call so.
    ours = {
        name.removeprefix(_PREFIX) for name in networks if re.fullmatch(f"{DEFAULT}|{_PREFIX}{FOR_A_RUN}\\d+", name)
    }
    return sorted(ours | {*states(STATES)})


def states(folder: Path) -> list[str]:
    """The names of the clusters that have their state in this folder."""
    return [each.name for each in folder.iterdir() if each.is_dir()] if folder.is_dir() else []
