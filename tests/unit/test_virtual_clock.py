"""Time and names that a test holds in its hand."""

import asyncio

from shared.testing.virtual_clock import SeededIdentity, VirtualClock


async def test_sleepers_wake_when_their_time_came() -> None:
    """Nothing passes by itself; `advance` wakes in the order of waking."""
    clock, woken = VirtualClock(), list[str]()

    async def sleep(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append(name)

    tasks = [asyncio.create_task(sleep("long", 10)), asyncio.create_task(sleep("short", 1))]
    await asyncio.wait(tasks, timeout=0)
    clock.advance(1)
    await tasks[1]
    assert woken == ["short"]
    clock.advance(9)
    await tasks[0]
    assert woken == ["short", "long"]
    assert clock.monotonic_s() == 10


def test_a_seed_gives_the_same_names_again() -> None:
    """Two runs of one seed are one story."""
    one, again = SeededIdentity(7), SeededIdentity(7)
    assert [one.new("inc") for _ in range(3)] == [again.new("inc") for _ in range(3)]
