"""One run of one service: it can be killed at any moment or frozen for long, and it takes its memory with it."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from eval.simulation.loop import VirtualLoop
from eval.simulation.story import Story
from eval.simulation.ways import Way
from shared.domain.errors import PrimumError
from shared.domain.events import Owner
from shared.domain.ids import HolderId

T = TypeVar("T")
MOMENTS: Final = 40
"""A blow that is aimed at a moment falls within so many calls of the process."""


class ProcessKilledError(BaseException):
    """What `kill -9` looks like from inside: nothing after it happens."""


@dataclass
class Blow:
    """What hits a process at one of its next moments: before a call leaves it, or after the answer came."""

    calls: int
    before: bool
    freeze_s: float | None
    """None kills it."""
    on: str = ""
    """Only calls whose name begins so are counted."""


class Process:
    """A service's tasks, and the gate that all that goes out or comes in passes."""

    def __init__(self, owner: Owner, name: str, loop: VirtualLoop, story: Story) -> None:
        self.owner, self.name, self.loop, self.story = owner, name, loop, story
        self.holder = HolderId(name)
        self.alive = True
        self.skew_s = 0.0
        self.ends: list[Callable[[], None]] = []
        """Called when it is killed."""
        self.broken: Callable[[BaseException], None] = lambda _: None
        """Called when one of its loops ends by itself."""
        self._tasks: dict[asyncio.Task[Any], None] = {}
        self._thaw: asyncio.Event | None = None
        self._blows: list[Blow] = []

    # --- its tasks

    def spawn(self, coroutine: Coroutine[Any, Any, T], name: str) -> "asyncio.Task[T]":
        task = self.loop.create_task(coroutine, name=f"{self.name} {name}")
        self._tasks[task] = None
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.pop(task, None)
        if task.cancelled():
            return
        error = task.exception()
        if self.alive and error is not None:
            self.broken(error)

    # --- what becomes of it

    def kill(self, why: str, told_as: str = "kill") -> None:
        """End it at once: its tasks never run on, its requests that are on their way land all the same."""
        if not self.alive:
            return
        self.alive = False
        self.story.tell(told_as, self.name, why)
        for task in list(self._tasks):
            task.cancel()
        if self._thaw is not None:  # what waits for the thaw wakes up to find itself dead
            self._thaw.set()
            self._thaw = None
        for end in self.ends:
            end()

    def freeze(self, seconds: float, why: str) -> None:
        """Stop it as SIGSTOP does, and let it go on later as if nothing had been."""
        if not self.alive or self._thaw is not None:
            return
        self._thaw = asyncio.Event()
        self.story.tell("freeze", self.name, f"for {seconds:.0f} s, {why}")
        self.loop.call_later(seconds, self._goes_on)

    def _goes_on(self) -> None:
        if self._thaw is not None and self.alive:
            self.story.tell("thaw", self.name, "goes on")
            self._thaw.set()
            self._thaw = None

    def aim(self, blow: Blow) -> None:
        self._blows.append(blow)

    def spare(self) -> None:
        """Nothing more is aimed at it."""
        self._blows.clear()

    async def gate(self) -> None:
        """Pass only while it lives and is not frozen."""
        while self._thaw is not None:
            await self._thaw.wait()
        if not self.alive:
            raise ProcessKilledError(self.name)

    # --- its calls

    async def call(self, way: Way, asked: str, effect: Callable[[], T]) -> T:
        """Do something out there; it may be hit before it asks, and after it was answered."""
        self._hit(asked, before=True)
        await self.gate()
        try:
            return await way.call(str(self.owner), asked, effect)
        finally:
            self._hit(asked, before=False)
            await self.gate()

    def _hit(self, asked: str, *, before: bool) -> None:
        if not self._blows:
            return
        for blow in [blow for blow in self._blows if blow.before is before and asked.startswith(blow.on)]:
            blow.calls -= 1
            if blow.calls > 0:
                continue
            self._blows.remove(blow)
            where = f"{'before' if before else 'after'} {asked}"
            if blow.freeze_s is None:
                self.kill(where)
                raise ProcessKilledError(self.name)
            self.freeze(blow.freeze_s, where)

    async def sleep(self, seconds: float) -> None:
        await self.loop.sleep(seconds)
        await self.gate()

    async def every(
        self, seconds: float, do: Callable[[], Awaitable[None]], on_outage: tuple[type[PrimumError], ...]
    ) -> None:
        """Do it for ever, with a pause between; an outage is no end."""
        while True:
            try:
                await do()
            except on_outage as error:
                self.story.tell("outage", self.name, str(error).split(":")[0])
            await self.sleep(seconds)


class ProcessClock:
    """The port Clock, as one machine tells the time: its wall clock may be wrong, and jump."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def now(self) -> datetime:
        return self._process.loop.wall() + timedelta(seconds=self._process.skew_s)

    def monotonic_s(self) -> float:
        return self._process.loop.time()

    async def sleep(self, seconds: float) -> None:
        await self._process.sleep(seconds)


def draw_blow(rng: random.Random, freeze_s: float | None, on: str = "") -> Blow:
    """Aim somewhere among the next calls."""
    calls = rng.randrange(1, 3 if on else MOMENTS)
    return Blow(calls=calls, before=rng.random() < 0.5, freeze_s=freeze_s, on=on)
