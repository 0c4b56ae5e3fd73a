"""Time and chance that a test holds in its hand."""

import asyncio
import heapq
import itertools
import random
from datetime import datetime, timedelta

from shared.testing.manifests import T0


class VirtualClock:
    """The port Clock; time passes only when `advance` says so."""

    def __init__(self, start: datetime = T0) -> None:
        self._start, self._elapsed_s = start, 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._elapsed_s)

    def monotonic_s(self) -> float:
        return self._elapsed_s

    async def sleep(self, seconds: float) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._elapsed_s + seconds, next(self._order), woken))
        await woken

    def advance(self, seconds: float) -> None:
        """Let time pass, and wake everybody whose sleep is over, in the order of their waking."""
        self._elapsed_s += seconds
        while self._sleepers and self._sleepers[0][0] <= self._elapsed_s:
            _, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                woken.set_result(None)


class SeededIdentity:
    """The port Identity, the same names for the same seed."""

    def __init__(self, seed: int = 0) -> None:
        self._chance = random.Random(seed)  # noqa: S311 - names that can be drawn again are the point

    def new(self, prefix: str) -> str:
        return f"{prefix}-{self._chance.getrandbits(48):012x}"
