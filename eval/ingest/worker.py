"""A process that offers load: started, told to go, heard out, and gone when the block ends."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from shared.domain.errors import PrimumError

_LONGEST_LINE_BYTES: Final = 256 * 1024 * 1024
_READY_WITHIN_S: Final = 60.0
_DONE_WITHIN_S: Final = 600.0


class Worker:
    """One such process, which is ready and waits for `go`."""

    def __init__(self, process: Process, module: str) -> None:
        self._process, self._module = process, module

    async def go(self, at_half: Callable[[], None] | None = None) -> Mapping[str, Any]:
        """Let it run; return what it found. `at_half` is called when half of it is over. Raises PrimumError."""
        await self.tell("go")
        async with asyncio.timeout(_DONE_WITHIN_S):
            while (word := await self.hear())["say"] != "done":
                if at_half is not None:
                    at_half()
        return word

    async def tell(self, line: str) -> None:
        if self._process.stdin is not None:
            self._process.stdin.write(f"{line}\n".encode())
            await self._process.stdin.drain()

    async def hear(self) -> dict[str, Any]:
        """Return the next thing that it says. Raises PrimumError if it ended instead."""
        line = await self._process.stdout.readline() if self._process.stdout else b""
        if not line:
            words = (await self._process.stderr.read()).decode(errors="replace") if self._process.stderr else ""
            last = words.strip().splitlines()[-1:] or ["it said nothing"]
            raise PrimumError(f"{self._module} ended before its time: {last[0]}")
        said: dict[str, Any] = json.loads(line)
        return said


@asynccontextmanager
async def working(module: str, task: Mapping[str, Any]) -> AsyncIterator[Worker]:
    """Start a module with its task and yield it once it is ready; it does not outlive the block."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", module),
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        limit=_LONGEST_LINE_BYTES,
        process_group=0,  # Ctrl-C in the terminal is for the bench, which ends this one
    )
    try:
        worker = Worker(process, module)
        await worker.tell(json.dumps(task))
        async with asyncio.timeout(_READY_WITHIN_S):
            await worker.hear()
        yield worker
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
