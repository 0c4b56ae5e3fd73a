"""One service as a process that is started again when it dies, later and later if it dies at once."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import Process
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Final, NamedTuple

from structlog.typing import FilteringBoundLogger

from shared.ports.clock import Clock

_FIRST_WAIT_S: Final = 0.2
_LONGEST_WAIT_S: Final = 10.0
_STEADY_AFTER_S: Final = 30.0
"""Having run that long, it did not die of how it was started: the next restart comes at once again."""
_LARGEST_LOG_BYTES: Final = 16 * 1024 * 1024
REFUSED: Final = 2
"""The exit status of a service whose settings can never work."""


class Program(NamedTuple):
    """What to run."""

    name: str
    module: str
    environment: Mapping[str, str]


class Child:
    """A module run by this Python, its output in a file of its own."""

    def __init__(
        self,
        program: Program,
        *,
        log_dir: Path,
        clock: Clock,
        log: FilteringBoundLogger,
        on_start: Callable[[], None],
    ) -> None:
        self.name, self.restarts, self.refused = program.name, 0, False
        self._program, self._log_file = program, log_dir / f"{program.name}.log"
        self._clock, self._log, self._on_start = clock, log, on_start
        self._process: Process | None = None
        self._stopping = asyncio.Event()

    @property
    def pid(self) -> int | None:
        running = self._process is not None and self._process.returncode is None
        return self._process.pid if self._process and running else None

    @property
    def last_words(self) -> str:
        """The last line that it wrote; of a line of its log, the reason and what to do."""
        lines = self._log_file.read_text(errors="replace").strip().splitlines() if self._log_file.exists() else []
        return _reason(lines[-1])[-500:] if lines else "it said nothing"

    async def run(self) -> None:
        """Keep it running until `stop`; what refuses at its very first start is left to whoever asked for it."""
        wait_s = _FIRST_WAIT_S
        while not self._stopping.is_set():
            began_s = self._clock.monotonic_s()
            status = await self._live()
            if self._stopping.is_set():
                return
            self.refused = status == REFUSED
            if self.refused and not self.restarts:
                return
            wait_s = _FIRST_WAIT_S if self._clock.monotonic_s() - began_s >= _STEADY_AFTER_S else wait_s
            self.restarts += 1
            self._log.warning(
                "a service died and is started again",
                service=self.name,
                status=status,
                restarts=self.restarts,
                wait_s=wait_s,
            )
            await self._wait(wait_s)
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)

    async def _live(self) -> int | str:
        """Start it and wait for its end; return the exit status, or why it could not be started."""
        try:
            self._process = await self._spawn()
        except OSError as error:  # a full disk, too many processes: both pass
            return str(error)
        self._on_start()
        if self._stopping.is_set():  # it was asked to stop while it was being started
            self._process.terminate()
        return await self._process.wait()

    async def stop(self, within_s: float) -> None:
        """Ask it to stop, and end it if it has not within that time."""
        self._stopping.set()
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), within_s)
        except TimeoutError:
            self._log.warning("a service did not stop in time and was killed", service=self.name, within_s=within_s)
            process.kill()
            await process.wait()

    async def _wait(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return

    async def _spawn(self) -> Process:
        with self._open_log() as log:
            # A group of its own: Ctrl-C in the terminal is for the supervisor, which stops them in order.
            return await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                self._program.module,
                env={**os.environ, **self._program.environment},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,
            )

    def _open_log(self) -> IO[bytes]:
        self._log_file.parent.mkdir(parents=True, exist_ok=True)
        if self._log_file.exists() and self._log_file.stat().st_size > _LARGEST_LOG_BYTES:
            self._log_file.replace(self._log_file.with_suffix(".log.1"))
        return self._log_file.open("ab")


def _reason(line: str) -> str:
    try:
        said = json.loads(line)
    except ValueError:  # a traceback's end, or a library's own words
        return line
    if not isinstance(said, dict):
        return line
    words = [str(said.get("reason") or said.get("event") or line), str(said.get("advice") or "")]
    return ": ".join(filter(None, words))
