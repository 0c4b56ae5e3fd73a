"""The gateway's room for calls under way, on virtual time."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from services.gateway.answers import Problem
from services.gateway.intake import Intake, Take
from shared.testing.virtual_clock import VirtualClock


def an_intake(clock: VirtualClock | None = None, *, most_bytes: int = 100, timeout_s: float = 3) -> Intake:
    return Intake(clock or VirtualClock(), most_bytes, timeout_s)


def test_what_finds_no_room_is_told_to_come_again() -> None:
    """503, and the reason for the metric."""
    intake = an_intake()
    with intake.room() as one, intake.room() as another:
        one(60)
        another(40)
        with pytest.raises(Problem) as said:
            one(1)
    assert (said.value.status, said.value.reason) == (503, "full")


def test_room_is_given_back() -> None:
    """Also by a call that failed."""
    intake = an_intake()
    with pytest.raises(Problem), intake.room() as take:
        _twice(take)
    with intake.room() as take:
        take(100)


def _twice(take: Take) -> None:
    take(60)
    take(60)


async def test_while_a_call_waits_long_others_are_refused_at_once() -> None:
    """Storage is stuck: they would only wait in our memory. After it they are welcome."""
    clock = VirtualClock()
    intake = an_intake(clock)
    async with AsyncExitStack() as stack, intake.storing():
        clock.advance(0.9)
        under_way = stack.enter_context(intake.room())
        clock.advance(0.2)
        with pytest.raises(Problem, match=r"has not answered for 1\.1 s") as said, intake.room():
            pass
        with pytest.raises(Problem, match=r"has not answered for 1\.1 s"):
            under_way(1)
    assert (said.value.status, said.value.reason) == (503, "slow-storage")
    with intake.room():
        pass


async def test_a_call_that_is_not_stored_in_time_is_told_to_come_again() -> None:
    """It does not wait for ever."""
    intake = an_intake(timeout_s=0.01)
    with pytest.raises(Problem, match=r"has not answered for 0\.0 s") as said:
        async with intake.storing():
            await never()
    assert said.value.status == 503
    with intake.room():
        pass


async def never() -> None:
    """Wait for what does not happen."""
    await asyncio.get_running_loop().create_future()
