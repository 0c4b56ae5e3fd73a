"""Which processes there are, as /proc has them: what a test started must be gone after it."""

import contextlib
from collections.abc import Sequence
from pathlib import Path


def naming(folder: Path) -> Sequence[int]:
    """Return the ids of the processes whose command or environment names the folder."""
    found = list[int]()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it went meanwhile
            said = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
            if str(folder).encode() in said:
                found.append(int(process.name))
    return found
