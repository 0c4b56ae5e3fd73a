"""The bus's time is everybody's: a machine whose clock is wrong writes and decides by the right one."""

from datetime import UTC, datetime, timedelta

import pytest
from nats.aio.client import Client
from nats.js.api import ConsumerConfig

from shared.adapters.nats_clock import NatsClock
from shared.adapters.system import SystemClock
from shared.domain.errors import LedgerUnavailable

ANSWERS_WITHIN_S = 1.0


class WrongClock(SystemClock):
    """A machine that is off by so many seconds, and may be set again."""

    def __init__(self, ahead_s: float) -> None:
        self.ahead_s = ahead_s

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=self.ahead_s)


@pytest.fixture
async def durable(connection: Client) -> str:
    await connection.jetstream().add_consumer("TIMERS", ConsumerConfig(durable_name="undo"))
    return "undo"


def off_s(clock: NatsClock) -> float:
    return abs((clock.now() - datetime.now(UTC)).total_seconds())  # noqa: TID251 - the truth to compare with


@pytest.mark.parametrize("ahead_s", [3600.0, -3600.0])
async def test_a_wrong_clock_is_set_right_by_the_server(connection: Client, durable: str, ahead_s: float) -> None:
    """And whoever runs it is told by how much it is wrong."""
    clock = NatsClock(connection, WrongClock(ahead_s), "TIMERS", durable)
    assert off_s(clock) > 3000
    assert await clock.ask() == pytest.approx(ahead_s, abs=ANSWERS_WITHIN_S)
    assert off_s(clock) < ANSWERS_WITHIN_S


async def test_a_clock_that_jumps_between_two_questions_moves_nothing(connection: Client, durable: str) -> None:
    """From the first answer on only the monotonic clock is read."""
    local = WrongClock(0.0)
    clock = NatsClock(connection, local, "TIMERS", durable)
    await clock.ask()
    local.ahead_s = 3600.0
    assert off_s(clock) < ANSWERS_WITHIN_S


async def test_a_server_that_does_not_say_the_time_is_an_outage(connection: Client) -> None:
    """There is no such consumer: nothing is guessed."""
    with pytest.raises(LedgerUnavailable, match="no such consumer"):
        await NatsClock(connection, SystemClock(), "TIMERS", "nobody").ask()
