"""What the neighbours of the ledger promise: inbox, heartbeats, activities."""

from shared.domain.events import Owner
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
    diagnoser, undo = ports.activities(Owner.DIAGNOSER), ports.activities(Owner.UNDO)
    await diagnoser.doing("triaging")
    await undo.doing("idle")
    await diagnoser.doing("idle")
    assert await undo.all() == {"diagnoser": "idle", "undo": "idle"}
