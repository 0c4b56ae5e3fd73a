"""How much of the senders' words the gateway holds at once, and when it says at once that they must come again.

A sender that is told 503 keeps its alerts and sends them again; what waits in the gateway's memory is safe nowhere.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final, TypeAlias

from services.gateway.answers import Problem
from shared.ports.clock import Clock

_ADVICE: Final = "send it again in a second; nothing of it is lost as long as you do"


Take: TypeAlias = Callable[[int], None]
"""Take room for so many bytes. Raises Problem (503) if there is none."""


class Intake:
    """The room for calls under way: `most_bytes` of bodies, and none while storage is stuck.

    A call has `timeout_s` to be stored. While one has waited for a third of that, new ones are refused without a try.
    """

    def __init__(self, clock: Clock, most_bytes: int, timeout_s: float) -> None:
        self._clock, self._free_bytes, self._timeout_s = clock, most_bytes, timeout_s
        self._numbers = itertools.count()
        self._storing: dict[int, float] = {}  # when each began, the oldest first

    @contextmanager
    def room(self) -> Iterator[Take]:
        """Yield what takes room for a body as it comes; the block's end gives it back.

        What is only promised holds none. Raises Problem (503) while storage is stuck, at the beginning and on the way.
        """
        self._check_storage()
        taken_bytes = 0

        def take(size_bytes: int) -> None:
            nonlocal taken_bytes
            self._check_storage()
            if size_bytes > self._free_bytes:
                raise Problem(503, "as many alerts are under way as this gateway takes at once", _ADVICE, reason="full")
            self._free_bytes -= size_bytes
            taken_bytes += size_bytes

        try:
            yield take
        finally:
            self._free_bytes += taken_bytes

    @asynccontextmanager
    async def storing(self) -> AsyncIterator[None]:
        """Store in the block. Raises Problem (503) if that takes too long."""
        number = next(self._numbers)
        self._storing[number] = self._clock.monotonic_s()
        try:
            async with asyncio.timeout(self._timeout_s):
                yield
        except TimeoutError as error:
            raise _slow(self._timeout_s) from error
        finally:
            del self._storing[number]

    def _check_storage(self) -> None:
        began_s = next(iter(self._storing.values()), None)
        if began_s is not None and (waited_s := self._clock.monotonic_s() - began_s) > self._timeout_s / 3:
            raise _slow(waited_s)


def _slow(waited_s: float) -> Problem:
    return Problem(503, f"storage has not answered for {waited_s:.1f} s", _ADVICE, reason="slow-storage")
