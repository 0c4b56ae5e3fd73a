"""The command line as a user has it: a process of its own, with nothing of the test's environment."""

import asyncio
import json
import multiprocessing
import os
import runpy
import signal
import sys
import tempfile
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple

from shared.domain.frozen import JsonObject

_FORKS: Final = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload([f"services.cli.{name}" for name in ("dead", "diagnose", "looking", "ordering", "up")])


class Ran(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> JsonObject:
        said: JsonObject = json.loads(self.out)
        return said

    @property
    def error(self) -> str:
        """The one line that every error is: with status 2, on stderr, and nothing on stdout."""
        if (self.status, self.out, len(self.err.splitlines()), self.err[:7]) != (2, "", 1, "error: "):
            raise AssertionError(f"this is no error of the command line: {self}")
        return self.err.removeprefix("error: ").strip()


class CommandLine:
    """`primum` with arguments, for a user whose home is a folder of the test's own."""

    def __init__(self, home: Path) -> None:
        self._home = home

    async def __call__(self, *arguments: str | Path, timeout_s: float = 20, **environment: str) -> Ran:
        """Run a command to its end."""
        process = await self._start(arguments, environment)
        try:
            out, err = await asyncio.wait_for(process.communicate(), timeout_s)
        finally:
            await _end(process, signal.SIGKILL, within_s=5)
        return Ran(process.returncode or 0, out.decode(), err.decode())

    @asynccontextmanager
    async def running(self, *arguments: str | Path, **environment: str) -> AsyncIterator[Process]:
        """Start a command that runs until it is told to stop; it is stopped when this is left."""
        process = await self._start(arguments, environment)
        try:
            yield process
        finally:
            await _end(process, signal.SIGTERM, within_s=30)

    async def again(self, *arguments: str | Path, timeout_s: float = 20, **environment: str) -> Ran:
        """Run a command to its end in a process that has its imports already: of half a second, little is left.

        For what is run over and over; that it can be imported, and how it starts, is not seen so.
        """
        with tempfile.TemporaryDirectory() as folder:
            out, err = Path(folder) / "out", Path(folder) / "err"
            told = ([*map(str, arguments)], self._environment(environment), out, err)
            process = _FORKS.Process(target=_run, args=told)
            process.start()
            try:
                await asyncio.to_thread(process.join, timeout_s)
                if process.exitcode is None:
                    raise TimeoutError(f"{arguments} did not end within {timeout_s:g} s")
                return Ran(process.exitcode, out.read_text(), err.read_text())
            finally:
                process.kill()
                process.join()
                process.close()

    def _environment(self, more: Mapping[str, str]) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "SSL_CERT_FILE") if name in os.environ}
        return {**kept, "HOME": str(self._home), "USER": "ada", **more}

    async def _start(self, arguments: tuple[str | Path, ...], environment: dict[str, str]) -> Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "services.cli", *map(str, arguments)),
            env=self._environment(environment),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            process_group=0,  # so that a test can send to all of it what Ctrl-C sends
        )


def _run(arguments: Sequence[str], environment: Mapping[str, str], out: Path, err: Path) -> None:
    """Be `primum` from here on."""
    os.setpgid(0, 0)
    for number, path in enumerate((Path(os.devnull), out, err)):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), number)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["primum", *arguments]
    runpy.run_module("services.cli", run_name="__main__")


async def _end(process: Process, how: signal.Signals, within_s: float) -> None:
    if process.returncode is None:
        process.send_signal(how)
        try:
            await asyncio.wait_for(process.communicate(), within_s)
        except TimeoutError:
            process.kill()
            await process.wait()
