"""What kubelets set for the whole machine, as it was before the first cluster and is again after the last one."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

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
_SYS: Final = Path("/proc/sys")


def keep(states: Path = places.STATES, sys: Path = _SYS) -> None:
    """Write down how they are, unless a cluster that is here has changed them by now."""
    with alone(states):
        if _read(kept := _kept(states)) is None:
            (fresh := kept.with_suffix(".new")).write_text(
                json.dumps({name: (sys / name).read_text() for name in _SETTINGS if (sys / name).exists()})
            )
            fresh.rename(kept)


def put_back(states: Path = places.STATES, sys: Path = _SYS) -> None:
    """Have them as they were, if no cluster has its state here any more. Raises OSError if that is forbidden."""
    if not states.is_dir():
        return
    with alone(states):
        before = _read(kept := _kept(states))
        if before is not None and not places.states(states):
            for name, value in before.items():
                if (sys / name).read_text() != value:  # where it cannot be written, no kubelet wrote it either
                    (sys / name).write_text(value)
            kept.unlink()


def _read(kept: Path) -> Mapping[str, str] | None:
    try:
        before: Mapping[str, str] = json.loads(kept.read_text())
    except (OSError, ValueError):  # none, or one that was cut off as the machine went down
        return None
    return before


def _kept(states: Path) -> Path:
    return states / ".kernel.json"
