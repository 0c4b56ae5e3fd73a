"""Tasks end when they are told to, also those that talk through nats-py."""

import asyncio

from shared.bus.ending import cancelled


async def test_a_task_that_swallows_a_cancellation_is_told_again() -> None:
    """As `wait_for` of Python 3.11 does when the answer comes in the same moment."""
    began, swallowed = asyncio.Event(), 0

    async def deaf_once() -> None:
        nonlocal swallowed
        began.set()
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if swallowed:
                    raise
                swallowed += 1

    task = asyncio.create_task(deaf_once())
    await began.wait()
    async with asyncio.timeout(5):
        await cancelled([task])
    assert (swallowed, task.cancelled()) == (1, True)


async def test_what_is_done_already_needs_no_telling() -> None:
    """Nor does nothing at all."""

    async def at_once() -> None: ...

    done = asyncio.create_task(at_once())
    await done
    await cancelled([done])
    await cancelled([])
    assert not done.cancelled()
