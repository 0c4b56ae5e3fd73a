"""The log of a run, read back: what is not Primum's own stops no count."""

import pytest
from nats.aio.client import Client

from eval.logbook import read_bus
from shared.adapters.nats_inbox import NatsInbox
from shared.adapters.nats_server import EmbeddedNats
from shared.domain.events import Owner
from shared.testing.builders import T0, an_alert
from shared.testing.keys import operator, seal_of

GARBAGE = (b"{}", b"{not json", b"", b'{"fingerprint":"f","status":"firing","starts_at":"yesterday"}')


@pytest.mark.parametrize("subject", ["primum.alert.lab.f", "primum.ledger.inc-a.Opened", "primum.fact.inc-a.noted"])
async def test_what_cannot_be_read_is_counted_and_the_rest_is_read(
    subject: str, connection: Client, nats_server: EmbeddedNats
) -> None:
    """Garbage beside an alert, in any stream: the alert is found, and what was not read is named with its place."""
    told = an_alert()
    await NatsInbox(connection, seal_of(Owner.GATEWAY)).put(told)
    for garbage in GARBAGE:
        await connection.jetstream().publish(subject, garbage)
    await connection.jetstream().publish("primum.lock.abc", b'{"held":true}')
    logbook = await read_bus(nats_server.url, operator())
    missing = ("another", "firing", T0.isoformat())
    assert logbook.lost({(told.fingerprint, "firing", told.starts_at.isoformat()), missing}) == [missing]
    assert logbook.orphaned() == []
    assert [said.split()[2] for said in logbook.unreadable if subject in said] == [f"({subject}):"] * len(GARBAGE)
    assert len(logbook.unreadable) == len(GARBAGE) + 1
