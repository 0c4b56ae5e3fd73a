"""An event loop whose time is only a number: when nobody is ready it leaps to the next timer. No clock, no socket."""

import asyncio
import selectors
from collections.abc import Coroutine
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from eval.lab.rehearsal import BEGINNING

T = TypeVar("T")
DIGITS: Final = 9
"""Time is kept in whole nanoseconds: else two worlds that were told to tick at 198 s tick a hair apart, and a container
that is due then starts a whole tick later in one of them."""


class NothingLeftError(Exception):
    """Everybody waits and nothing will ever wake them: a deadlock."""


class _Leap(selectors.SelectSelector):
    """A selector that never waits for the outside: there is none. Waiting so long means that so long has passed."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise NothingLeftError("everybody waits for somebody else")
        self.now_s = round(self.now_s + max(0.0, timeout), DIGITS)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Runs callbacks in the order of their times and, at one time, in the order in which they were asked for."""

    def __init__(self) -> None:
        self._leap = _Leap()
        super().__init__(self._leap)

    def time(self) -> float:
        return self._leap.now_s

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
