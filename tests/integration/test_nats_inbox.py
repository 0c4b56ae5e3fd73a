"""Repeats of a moment ago, on a real nats-server: they are not sent, and get their success when the first one did."""

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from nats.aio.client import Client

from shared.adapters.nats_inbox import NatsInbox
from shared.adapters.nats_server import EmbeddedNats
from shared.adapters.nats_stream import NatsStream
from shared.adapters.nkey import OPERATOR
from shared.adapters.system import SystemClock
from shared.bus.streams import ensure
from shared.domain.errors import LedgerUnavailable
from shared.domain.events import Owner
from shared.testing.builders import an_alert
from shared.testing.keys import connect_as, seal_of
from shared.testing.running import until


@pytest.fixture
async def client(nats_server: EmbeddedNats, connection: Client) -> AsyncIterator[Client]:
    """The gateway's connection, beside the operator's."""
    assert connection.is_connected
    client = await connect_as(Owner.GATEWAY, nats_server.url, reconnect_time_wait=0.05)
    yield client
    await client.close()


def inbox(client: Client, **options: float) -> NatsInbox:
    return NatsInbox(client, seal_of(Owner.GATEWAY), **options)


async def stored(connection: Client) -> int:
    return len(await NatsStream(connection, "ALERTS", 5).after("primum.alert.>"))


def acknowledged(client: Client) -> int:
    """How many answers came, one for each message that was sent."""
    return client.stats["in_msgs"]


def stop(pid: int) -> None:
    """Freeze a child and return once it stands: it may run on for a moment after the signal."""
    os.kill(pid, signal.SIGSTOP)
    os.waitid(os.P_PID, pid, os.WSTOPPED)


async def test_a_repeat_is_not_sent(client: Client) -> None:
    """Not within a call, and not after it; what says more is."""
    it, alert = inbox(client), an_alert()
    await it.put(alert, alert.but())
    await it.put(alert)
    assert acknowledged(client) == 1
    await it.put(alert, an_alert(fingerprint="another"))
    assert acknowledged(client) == 2


async def test_after_a_while_the_stream_is_asked_again(client: Client, connection: Client) -> None:
    """It knows repeats for much longer."""
    it = inbox(client, remembered_s=1e-6)
    await it.put(an_alert())
    await it.put(an_alert())
    assert acknowledged(client) == 2
    assert await stored(connection) == 1


async def test_a_repeat_waits_for_the_first_one(nats_server: EmbeddedNats, client: Client) -> None:
    """Sent is not stored: while the server has not acknowledged the first one, nobody has his success."""
    it = inbox(client)
    await it.put(an_alert(fingerprint="before"))
    stop(nats_server.pid)
    try:
        puts = [asyncio.create_task(it.put(an_alert())) for _ in range(3)]
        _, waiting = await asyncio.wait(puts, timeout=0.1)
        assert len(waiting) == 3
    finally:
        os.kill(nats_server.pid, signal.SIGCONT)
    await asyncio.gather(*puts)
    assert acknowledged(client) == 2


async def test_a_repeat_of_what_was_not_acknowledged_has_no_success(nats_server: EmbeddedNats, client: Client) -> None:
    """Those that waited for it come again as its sender does, and then it is sent again."""
    it = inbox(client, timeout_s=0.1)
    await it.put(an_alert(fingerprint="before"))
    stop(nats_server.pid)
    try:
        outcomes = await asyncio.gather(*(it.put(an_alert()) for _ in range(3)), return_exceptions=True)
    finally:
        os.kill(nats_server.pid, signal.SIGCONT)
    assert [type(outcome) for outcome in outcomes[1:]] == [LedgerUnavailable] * 2
    assert isinstance(outcomes[0], LedgerUnavailable)
    await inbox(client).put(an_alert(fingerprint="after"))
    before = acknowledged(client)
    await it.put(an_alert())
    assert acknowledged(client) == before + 1


async def test_over_another_connection_everything_is_sent_again(
    nats_server: EmbeddedNats, client: Client, tmp_path: Path
) -> None:
    """A server that lost what it had acknowledged gets it from whoever repeats it."""
    it = inbox(client)
    await it.put(an_alert())
    await nats_server.stop()
    with pytest.raises(LedgerUnavailable):
        await it.put(an_alert())
    shutil.rmtree(tmp_path / "nats" / "store")
    await nats_server.start()
    operator = await connect_as(OPERATOR, nats_server.url)
    await ensure(operator.jetstream())
    await until(lambda: connected_again(client), SystemClock())
    await it.put(an_alert())
    assert await stored(operator) == 1
    await operator.close()


async def connected_again(client: Client) -> bool:
    return client.is_connected and client.stats["reconnects"] == 1
