"""What clusters change on the whole machine: as it was before the first one, it is again after the last one."""

import json
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from eval.kubernetes import places
from eval.kubernetes.alone import alone

_SETTINGS: Final = (
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
)
"""Those that a kubelet wants to have its way (its `protectKernelDefaults` refuses to start where they differ)."""
_FOLDERS: Final = (
    "run/netns",
    "run/containerd/runc/k8s.io",
    "run/containerd/runc",
    "run/containerd/s",
    "run/containerd",
    "var/lib/cni/results",
    "var/lib/cni",
    "var/log/containers",
)
"""Where a runtime, a kubelet and `ip netns` leave things whatever they are told, what lies in others first."""


def keep(states: Path = places.STATES, root: Path = Path("/")) -> None:
    """Write down how it is, unless a cluster that is here has changed it by now."""
    with alone(states):
        if _read(kept := _kept(states)) is None:
            before = {
                "settings": {
                    name: _setting(root, name).read_text() for name in _SETTINGS if _setting(root, name).exists()
                },
                "absent": [name for name in _FOLDERS if not (root / name).exists()],
            }
            (fresh := kept.with_suffix(".new")).write_text(json.dumps(before))
            fresh.rename(kept)


def put_back(states: Path = places.STATES, root: Path = Path("/")) -> None:
    """Have it as it was, if no cluster has its state here any more. Raises OSError if that is forbidden."""
    if not states.is_dir():
        return
    with alone(states):
        before = _read(kept := _kept(states))
        if before is not None and not places.states(states):
            for name, value in before["settings"].items():
                if (setting := _setting(root, name)).read_text() != value:  # a kubelet could not write what we cannot
                    setting.write_text(value)
            for name in before["absent"]:
                _remove_if_empty(root / name)
            kept.unlink()


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):  # it is not there
        if not any(folder.iterdir()):
            # `ip netns` mounts its folder onto itself, which `is_mount` does not see. Elsewhere it says "no mount".
            subprocess.run(("umount", "--lazy", str(folder)), capture_output=True, check=False)
            folder.rmdir()


def _setting(root: Path, name: str) -> Path:
    return root / "proc" / "sys" / name


def _read(kept: Path) -> Mapping[str, Any] | None:
    try:
        before: Mapping[str, Any] = json.loads(kept.read_text())
    except (OSError, ValueError):  # none, or one that was cut off as the machine went down
        return None
    return before if {*before} == {"settings", "absent"} else None  # else an earlier version kept it


def _kept(states: Path) -> Path:
    return states / ".host.json"
