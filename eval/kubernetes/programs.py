"""The shop's own programs: Go, built from `apps/` once and kept by what they were built from, outside the tree."""

import asyncio
import fcntl
import hashlib
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from eval.kubernetes.alone import alone
from eval.kubernetes.places import cache_dir, prune
from shared.domain.errors import PrimumError

SOURCES: Final = Path(__file__).with_name("apps")
_USED: Final = ".used"
"""Who uses what lies beside it holds a share of its lock: whatever ends him, it is free again."""
NAMES: Final = ("shop", "load", "registry", "image", "state")


class NotBuilt(PrimumError):  # noqa: N818 - the fact, as the other errors are named
    """The shop's programs are not there, and could not be made."""


def folder() -> Path:
    """Where the programs lie that these sources make; whatever else lies beside it was made from others."""
    return cache_dir() / "shop" / _digest()


def missing() -> str:
    """Say what stands in the way of having them; empty if nothing does."""
    if shutil.which("go") is None and not _are_there(folder()):
        return "the shop's programs are not built here, and there is no `go` on PATH to build them with"
    return ""


def build(say: Callable[[str], None]) -> None:
    """Build them, where they can be and are not there yet: within a test cluster's network Go reaches no module.

    Raises NotBuilt.
    """
    if missing():
        return  # which whoever needs them is told

    async def just_built() -> None:
        async with built(say):
            pass

    asyncio.run(just_built())


@asynccontextmanager
async def built(say: Callable[[str], None]) -> AsyncIterator[Path]:
    """Have the folder with the programs until the block ends; the first time, that takes a minute or two.

    Of what other sources made only the last used stays, and what is in use. Raises NotBuilt.
    """
    place = folder()
    if said := missing():
        raise NotBuilt(said, advice="install Go 1.26 or newer, https://go.dev/dl")
    place.mkdir(parents=True, exist_ok=True)
    with (place / _USED).open("w") as used:
        fcntl.flock(used, fcntl.LOCK_SH)
        os.utime(place)
        with alone(place):
            if not _are_there(place):
                say(f"building the shop's programs into {place}: once, a minute or two")
                await _go_build(place)
                prune(place, is_used)
        yield place


def is_used(place: Path) -> bool:
    """Whether some process is within `built`, with the programs that lie there."""
    try:
        with (place / _USED).open() as used:
            fcntl.flock(used, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:  # of a time in which nobody said so
        return False
    except BlockingIOError:
        return True
    return False


def _digest() -> str:
    """Of all that the programs are made from, and of nothing else."""
    total = hashlib.sha256()
    for path in sorted(SOURCES.rglob("*")):
        if path.is_file() and not path.name.endswith("_test.go"):
            total.update(f"{path.relative_to(SOURCES)}\0".encode() + path.read_bytes() + b"\0")
    return total.hexdigest()[:12]


def _are_there(place: Path) -> bool:
    return all((place / name).is_file() for name in NAMES)


async def _go_build(place: Path) -> None:
    """Build beside the place, and move: what lies there is whole."""
    fresh = place / ".new"
    fresh.mkdir(exist_ok=True)
    process = await asyncio.create_subprocess_exec(
        *("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", f"{fresh}{os.sep}", "./..."),
        cwd=SOURCES,
        env={**os.environ, "CGO_ENABLED": "0"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    if process.returncode:
        last = "; ".join(said.decode(errors="replace").strip().splitlines()[-3:])
        raise NotBuilt(f"`go build` failed: {last}", advice=f"mend what it says, in {SOURCES}")
    for name in NAMES:
        (fresh / name).rename(place / name)
    shutil.rmtree(fresh)
