"""An event loop whose time is only a number: when nobody is ready it leaps to the next timer. No clock, no socket."""

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar, TypeVarTuple

from eval.lab.rehearsal import BEGINNING

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
DIGITS: Final = 9
"""Time is kept in whole nanoseconds: else two worlds that were told to tick at 198 s tick a hair apart, and a container
that is due then starts a whole tick later in one of them."""


class NothingLeftError(Exception):
    """Everybody waits and nothing will ever wake them: a deadlock."""


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs callbacks in the order of their times and, at one time, in the order in which they were asked for."""

    def __init__(self) -> None:
        self._now_s = 0.0
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._asked = itertools.count()
        super().__init__()

    def time(self) -> float:
        return self._now_s

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(round(when, DIGITS), callback, args, self, context)
        heapq.heappush(self._timers, (timer.when(), next(self._asked), timer))
        return timer

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Nothing: it is passed over when its time comes."""

    def _run_once(self) -> None:
        """Run what is ready; if nothing is, leap to the next timer. The base class would ask a selector and a clock."""
        ready: deque[asyncio.Handle] = self._ready  # type: ignore[attr-defined]  # of the base class, as `call_soon` fills it
        if not ready:
            self._leap()
        while self._timers and self._timers[0][0] <= self._now_s:
            ready.append(heapq.heappop(self._timers)[2])
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle.cancelled():
                handle._run()  # noqa: SLF001 - what the base class does here

    def _leap(self) -> None:
        while self._timers and self._timers[0][2].cancelled():
            heapq.heappop(self._timers)
        if not self._timers:
            raise NothingLeftError("everybody waits for somebody else")
        self._now_s = max(self._now_s, self._timers[0][0])

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds of virtual time."""
        woken: asyncio.Future[None] = self.create_future()
        timer = self.call_later(max(0.0, seconds), _wake, woken)
        try:
            await woken
        finally:
            timer.cancel()

    def wall(self) -> datetime:
        """The true time of this world, in UTC; what a process takes for the time may differ."""
        return BEGINNING + timedelta(seconds=self.time())


def _wake(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


def run(loop: VirtualLoop, main: Coroutine[Any, Any, T]) -> T:
    """Run to the end of `main`, then end what is left of the others and close the loop."""
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(main)
    finally:
        try:
            _end_all(loop)
        finally:
            asyncio.set_event_loop(None)
            loop.close()


def _end_all(loop: VirtualLoop) -> None:
    left = sorted(asyncio.all_tasks(loop), key=lambda task: task.get_name())
    for task in left:
        task.cancel()
    if left:
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))


def at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run to its end a coroutine that waits for nothing: what a store does with a request is one moment."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    coroutine.close()
    raise RuntimeError("it waited, and was said not to")
