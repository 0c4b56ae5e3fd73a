"""Wake-ups and heartbeats on a real nats-server, whose clock they run on."""

from collections.abc import Sequence
from pathlib import Path

from nats.aio.client import Client

from shared.adapters.nats_kv import NatsActivities, NatsHeartbeats
from shared.adapters.nats_server import EmbeddedNats
from shared.adapters.nats_timers import NatsTimers
from shared.adapters.nkey import OPERATOR
from shared.adapters.system import SystemClock
from shared.bus.streams import Keeping, ensure
from shared.domain.events import Owner
from shared.domain.ids import IncidentId
from shared.testing.keys import connect_as, seal_of
from shared.testing.running import until

A, B = IncidentId("inc-a"), IncidentId("inc-b")
CLOCK = SystemClock()


async def _fired(client: Client, count: int, *, within_s: float = 10) -> Sequence[str]:
    """Wait until no schedule is left and so many fired, and return on which subjects."""
    js = client.jetstream()

    async def all_fired() -> bool:
        found = (await js.stream_info("TIMERS", subjects_filter=">")).state.subjects or {}
        return not any(name.startswith("primum.timer.") for name in found) and len(found) >= count

    await until(all_fired, CLOCK, within_s)
    state = (await js.stream_info("TIMERS", subjects_filter=">")).state
    assert state.messages == count
    return sorted(state.subjects or {})


async def test_a_timer_fires_for_its_service_alone(connection: Client) -> None:
    """One message, on the subject of the service that set it."""
    await NatsTimers(connection, Owner.MITIGATOR, CLOCK).wake(A, 0.1)
    await NatsTimers(connection, Owner.UNDO, CLOCK).wake(A, 0.1)
    assert await _fired(connection, 2) == ["primum.fired.mitigator.inc-a", "primum.fired.undo.inc-a"]


async def test_a_new_time_replaces_the_old_one(connection: Client) -> None:
    """Setting a timer again resets it: it fires once, at the last time said."""
    timers = NatsTimers(connection, Owner.MITIGATOR, CLOCK)
    await timers.wake(A, 3600)
    await timers.wake(A, 0.1)
    assert await _fired(connection, 1) == ["primum.fired.mitigator.inc-a"]


async def test_a_time_that_has_passed_fires_at_once(connection: Client) -> None:
    """Zero seconds, or less, is now."""
    timers = NatsTimers(connection, Owner.MITIGATOR, CLOCK)
    await timers.wake(A, 0)
    await timers.wake(B, -5)
    assert len(await _fired(connection, 2, within_s=5)) == 2


async def test_timers_outlive_the_server(tmp_path: Path) -> None:
    """Stopped before they are due and started on the same folder after: each fires, once."""
    server = EmbeddedNats(tmp_path / "nats")
    await server.start()
    client = await connect_as(OPERATOR, server.url)
    await ensure(client.jetstream())
    timers = NatsTimers(client, Owner.MITIGATOR, CLOCK)
    for number in range(20):
        await timers.wake(IncidentId(f"inc-{number}"), 0.4)
    await client.close()
    await server.stop()
    async with server:
        client = await connect_as(OPERATOR, server.url)
        assert len(await _fired(client, 20)) == 20
        await client.close()


async def test_a_heartbeat_is_forgotten(nats_server: EmbeddedNats) -> None:
    """A holder that stopped beating is dead after the bucket's TTL; what it was doing is forgotten too."""
    client = await connect_as(OPERATOR, nats_server.url)
    await ensure(client.jetstream(), Keeping(heartbeat_ttl_s=1, activity_ttl_s=1))
    heartbeats = NatsHeartbeats(client, seal_of(Owner.MITIGATOR))
    activities = NatsActivities(client, Owner.UNDO, "undo-1")
    await heartbeats.beat("undo-1")
    await activities.doing("restoring")
    assert await heartbeats.alive("undo-1")

    async def forgotten() -> bool:
        return not await heartbeats.alive("undo-1") and not await activities.all()

    await until(forgotten, CLOCK, 5)
    await client.close()
