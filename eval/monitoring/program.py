"""One program as a child of this process: on loopback, its log in a file, gone when its block ends."""

import asyncio
import shutil
from asyncio.subprocess import Process
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

import httpx

from shared.adapters.system import SystemClock
from shared.domain.errors import PrimumError

READY_WITHIN_S: Final = 30.0
_LOOK_EVERY_S: Final = 0.05


class ProgramDidNotStart(PrimumError):  # noqa: N818 - the fact, as the other errors are named
    """A program is missing, or did not come up."""


def missing(*names: str) -> str:
    """Say which of these programs are not on PATH, and how to get them; empty if all are."""
    absent = [name for name in names if shutil.which(name) is None]
    return f"{' and '.join(absent)} not found: apt-get install prometheus prometheus-alertmanager" if absent else ""


class Program:
    """`async with Program(name, arguments, url, folder)` holds it from ready (`url` + `/-/ready` answers) to ended."""

    def __init__(self, name: str, arguments: Sequence[str], url: str, folder: Path) -> None:
        self.name, self.url = name, url
        self._arguments, self._log = tuple(arguments), folder / f"{name}.log"
        self._process: Process | None = None
        self._clock = SystemClock()

    @property
    def pid(self) -> int:
        """Of the child. Raises ProgramDidNotStart if there is none."""
        if self._process is None:
            raise ProgramDidNotStart(f"{self.name} does not run")
        return self._process.pid

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()

    async def start(self) -> None:
        """Start it and return once it is ready. Raises ProgramDidNotStart, and then nothing runs."""
        self._log.parent.mkdir(parents=True, exist_ok=True)
        try:
            with self._log.open("ab") as log:
                self._process = await asyncio.create_subprocess_exec(
                    *self._arguments, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, process_group=0
                )
        except OSError as error:
            raise ProgramDidNotStart(f"{self._arguments[0]} cannot be started ({error.strerror})") from error
        try:
            await self._until_ready(self._process)
        except BaseException:
            await self.kill()
            raise

    async def kill(self) -> None:
        """End it as `kill -9` does: nobody needs its data, and an Alertmanager takes seconds to take its leave."""
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            process.kill()
            await process.wait()

    async def _until_ready(self, process: Process) -> None:
        deadline_s = self._clock.monotonic_s() + READY_WITHIN_S
        async with httpx.AsyncClient(base_url=self.url, trust_env=False, timeout=2) as http:
            while self._clock.monotonic_s() < deadline_s:
                if process.returncode is not None:
                    raise ProgramDidNotStart(f"{self.name} stopped at once: {self._last_words()}")
                if await _answers(http):
                    return
                await self._clock.sleep(_LOOK_EVERY_S)
        raise ProgramDidNotStart(f"{self.name} was not ready within {READY_WITHIN_S:g} s: {self._last_words()}")

    def _last_words(self) -> str:
        return (self._log.read_text(errors="replace").strip().splitlines() or ["it said nothing"])[-1]


async def _answers(http: httpx.AsyncClient) -> bool:
    try:
        return (await http.get("/-/ready")).is_success
    except httpx.TransportError:
        return False
