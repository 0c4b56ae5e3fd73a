"""What a real pair of Alertmanagers sends is taken in once, whatever it meets on the way."""

from shared.adapters.system import SystemClock
from shared.testing.running import until
from tests.monitoring.conftest import Inbound

CLOCK = SystemClock()
MANY = [f"thing-{number:03}" for number in range(120)]
FEW = MANY[:5]


async def all_stored(inbound: Inbound, things: list[str], status: str = "firing") -> None:
    """Wait until each of them is in the stream, and both senders have been told so."""

    async def there() -> bool:
        return len(set(await inbound.things_stored(status))) >= len(things) and min(await inbound.sent("s_total")) > 0

    await until(there, CLOCK, within_s=25)


async def both_failed(inbound: Inbound) -> None:
    """Wait until each sender has met a refusal."""

    async def failed() -> bool:
        return min(await inbound.sent("_requests_failed_total")) > 0

    await until(failed, CLOCK, within_s=25)


async def test_alerts_of_one_group_come_in_one_call_and_both_senders_count_once(inbound: Inbound) -> None:
    """120 alerts, one call by each of the pair, 120 messages."""
    inbound.things.wanted = MANY
    await all_stored(inbound, MANY)

    assert await inbound.sent("_requests_total") == (1.0, 1.0)
    assert await inbound.things_stored() == MANY


async def test_a_resolved_notice_arrives_with_its_end(inbound: Inbound) -> None:
    """`send_resolved`: the same fingerprint and beginning, and now an end; from both senders, stored once."""
    inbound.things.wanted = FEW
    await all_stored(inbound, FEW)
    inbound.things.wanted = []
    await all_stored(inbound, FEW, "resolved")

    stored = await inbound.stored()
    resolved = [each for each in stored if each["status"] == "resolved"]
    begun = {(each["fingerprint"], each["starts_at"]) for each in stored if each["status"] == "firing"}
    assert {(each["fingerprint"], each["starts_at"]) for each in resolved} == begun
    assert all(each["ends_at"] > each["starts_at"] for each in resolved)
    assert await inbound.things_stored("resolved") == FEW


async def test_alerts_wait_at_their_senders_while_nats_is_down(inbound: Inbound) -> None:
    """The gateway answers 503, Alertmanager tries again until it is taken: nothing lost, nothing twice."""
    await inbound.nats.stop()
    inbound.things.wanted = FEW
    await both_failed(inbound)
    await inbound.nats.start()
    await all_stored(inbound, FEW)

    assert await inbound.things_stored() == FEW
    assert await inbound.sent("s_failed_total") == (0.0, 0.0)


async def test_alerts_wait_at_their_senders_while_the_gateway_is_down(inbound: Inbound) -> None:
    """Nobody listens; it comes back, and what fired meanwhile is there, once."""
    await inbound.close_gateway()
    inbound.things.wanted = FEW
    await both_failed(inbound)
    await inbound.open_gateway()
    await all_stored(inbound, FEW)

    assert await inbound.things_stored() == FEW
