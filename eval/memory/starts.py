"""How long a start takes: of a service from its exec to its first `/ready`, of `primum --help` to its end."""

import asyncio
import os
import signal
import statistics
import sys
import time
from typing import Final

import httpx

from eval.memory.process import started_s
from services.cli.supervisor import SERVICES, Supervisor
from shared.adapters.system import SystemClock
from shared.domain.errors import PrimumError

READY_LIMIT_S: Final = 1.0
HELP_LIMIT_S: Final = 0.3
_LOOK_EVERY_S: Final = 0.005
_WITHIN_S: Final = 30.0


async def starts_to_ready(supervisor: Supervisor, times: int) -> dict[str, float]:
    """Kill each service so often, let the supervisor start it again, and return the medians by name, in seconds."""
    found: dict[str, float] = {}
    async with httpx.AsyncClient(timeout=2, trust_env=False) as http:
        for name in SERVICES:
            found[name] = round(statistics.median([await _start(supervisor, name, http) for _ in range(times)]), 3)
    return found


async def _start(supervisor: Supervisor, name: str, http: httpx.AsyncClient) -> float:
    clock, child = SystemClock(), supervisor.children[name]
    old = child.pid
    if old is None:
        raise PrimumError(f"{name} does not run")
    os.kill(old, signal.SIGKILL)
    deadline_s = clock.monotonic_s() + _WITHIN_S
    while clock.monotonic_s() < deadline_s:
        await clock.sleep(_LOOK_EVERY_S)
        pid = child.pid
        if pid is None or pid == old:
            continue
        url = supervisor.url_of(name)
        if url and await _is_ready(http, url):
            return time.clock_gettime(time.CLOCK_BOOTTIME) - started_s(pid)
    raise PrimumError(f"{name} was not ready again within {_WITHIN_S:g} s: {child.last_words}")


async def _is_ready(http: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await http.get(f"{url}/ready")).is_success
    except httpx.HTTPError:
        return False


async def help_s(times: int) -> float:
    """Return the median of `primum --help`, in seconds."""
    took: list[float] = []
    for _ in range(times):
        began_s = SystemClock().monotonic_s()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "services.cli", "--help"), stdout=asyncio.subprocess.DEVNULL
        )
        if await process.wait() != 0:
            raise PrimumError("primum --help failed")
        took.append(SystemClock().monotonic_s() - began_s)
    return round(statistics.median(took), 3)
