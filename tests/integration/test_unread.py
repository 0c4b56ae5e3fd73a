"""A ledger whose beginning counts for nothing: an earlier Primum did not sign it, or its keys were made anew."""

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
import structlog
from nats.aio.client import Client

from services.cli.supervisor import SERVICES, Supervisor, SupervisorSettings
from shared.adapters.nats_connection import User, connected
from shared.adapters.nats_ledger import NatsLedger
from shared.adapters.nats_unread import unread
from shared.adapters.nkey import OPERATOR, load_key, seed_file
from shared.domain.events import Owner
from shared.domain.ids import CorrelationKey, IncidentId
from shared.testing.builders import opened
from shared.testing.command_line import CommandLine
from shared.testing.keys import seal_of

Ledgers = Callable[[Owner], NatsLedger]


async def old(connection: Client, messages: int) -> None:
    """Leave so many messages of a Primum that did not sign."""
    body = opened().model_dump_json().encode()
    for number in range(messages):
        await connection.jetstream().publish(f"primum.ledger.inc-old{number}.Opened", body)


async def new(ledger: Ledgers, incidents: int) -> None:
    """Open incidents as today's detector does: two messages each."""
    for number in range(incidents):
        await ledger(Owner.DETECTOR).open(IncidentId(f"inc-{number}"), opened(CorrelationKey(f"key-{number}")))


@pytest.mark.parametrize(("messages", "incidents"), [(1, 1), (2, 0), (7, 9)])
async def test_how_much_is_not_read_is_counted(
    messages: int, incidents: int, connection: Client, ledger: Ledgers
) -> None:
    """Whatever was said since, with no more looks than it takes to find where signatures begin."""
    await old(connection, messages)
    await new(ledger, incidents)
    said = await unread(connection, seal_of(Owner.GATEWAY).signer)
    assert said is not None
    assert said.startswith(f"the first {messages} messages of the ledger are not signed")


async def test_a_ledger_that_is_read_needs_no_word(connection: Client, ledger: Ledgers) -> None:
    """Neither an empty one, nor one whose first message is signed, whatever an intruder puts behind it."""
    assert await unread(connection, seal_of(Owner.GATEWAY).signer) is None
    await new(ledger, 1)
    await old(connection, 3)
    assert await unread(connection, seal_of(Owner.GATEWAY).signer) is None


async def test_people_are_told_wherever_they_look(
    gateway: httpx.AsyncClient, connection: Client, tmp_path: Path
) -> None:
    """An empty list alone would say that there never was an incident."""
    assert (await gateway.get("/api/status")).json()["unread"] is None
    await old(connection, 3)
    for path in ("status", "incidents"):
        assert "the first 3 messages" in (await gateway.get(f"/api/{path}")).json()["unread"]
    url = str(gateway.base_url).rstrip("/")
    ran = await CommandLine(tmp_path).again("incidents", "--all", PRIMUM_GATEWAY_URL=url, PRIMUM_TOKEN="open-sesame")
    shown = " ".join(ran.out.split())
    assert shown.startswith("the first 3 messages of the ledger are not signed by any key of the keyring")
    assert "primum up --data ANOTHER-FOLDER" in shown


async def test_primum_up_says_it_as_it_starts(tmp_path: Path) -> None:
    """Before anybody misses an incident."""
    said, settings = structlog.testing.LogCapture(), SupervisorSettings(data_dir=tmp_path, port=0)
    log = structlog.wrap_logger(structlog.PrintLogger(), processors=[said])
    for _ in range(2):
        async with Supervisor(settings, disabled=SERVICES, log=log) as supervisor:
            operator = User(OPERATOR, load_key(seed_file(supervisor.keys_dir, OPERATOR)))
            async with connected(supervisor.nats_url, operator) as connection:
                await old(connection, 1)
    assert [entry["what"] for entry in said.entries if "not signed" in str(entry.get("what"))] != []
