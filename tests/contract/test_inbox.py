"""What the neighbours of the ledger promise: inbox, heartbeats, claims, activities."""

import asyncio

from shared.testing.builders import an_alert
from shared.testing.ports import Ports


async def test_an_exact_repeat_is_fine(ports: Ports) -> None:
    """The two senders of an HA pair both get their success."""
    await ports.inbox().put(an_alert())
    await ports.inbox().put(an_alert())


async def test_many_are_put_at_once(ports: Ports) -> None:
    """More than are ever on their way together, with repeats among them; and none at all is fine, too."""
    inbox = ports.inbox()
    await inbox.put(*(an_alert(fingerprint=f"f{number % 900}") for number in range(1000)))
    await inbox.put()


async def test_a_holder_lives_while_it_beats(ports: Ports) -> None:
    """A heartbeat says of one holder that it lives, and nothing of any other."""
    heartbeats = ports.heartbeats()
    await heartbeats.beat("mitigator-1")
    assert await heartbeats.alive("mitigator-1")
    assert not await heartbeats.alive("mitigator-2")


async def test_the_last_activity_of_each_agent_is_seen(ports: Ports) -> None:
    """Everybody sees what every agent said last."""
    diagnoser, undo = ports.activities("diagnoser-1"), ports.activities("undo-1")
    await diagnoser.doing("triaging")
    await undo.doing("idle")
    await diagnoser.doing("idle")
    assert await undo.all() == {"diagnoser-1": "idle", "undo-1": "idle"}


async def test_of_several_claimants_one_gets_it(ports: Ports) -> None:
    """They ask at the same time, and again later."""
    claims = [ports.claims() for _ in range(5)]
    assert sorted(await asyncio.gather(*(each.take("page-1") for each in claims))) == [False] * 4 + [True]
    assert not await claims[0].take("page-1")
    assert await claims[0].take("page-2")


async def test_what_was_let_go_can_be_claimed(ports: Ports) -> None:
    """It was not done: somebody else may try."""
    one, other = ports.claims(), ports.claims()
    assert await one.take("page-1")
    await one.let_go("page-1")
    assert await other.take("page-1")
    assert not await one.take("page-1")
