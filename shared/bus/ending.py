"""The end of tasks that talk to NATS."""

import asyncio
from collections.abc import Iterable
from typing import Any, Final

_AGAIN_S: Final = 0.5


async def cancelled(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks, as often as it takes, and return once all are done.

    Python 3.11's `wait_for`, in which nats-py waits for every answer, swallows a cancellation that comes in the same
    moment as the answer: the task goes on, and whoever cancels it once waits for ever.
    """
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=_AGAIN_S)
