"""The ports under contract: on NATS and on fakes in memory; the port Cluster on the lab or a real cluster."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from nats.aio.client import Client

from shared.adapters.nats_inbox import NatsInbox
from shared.adapters.nats_kv import NatsActivities, NatsClaims, NatsHeartbeats
from shared.adapters.nats_ledger import NatsLedger, Writer
from shared.adapters.system import RandomIdentity, SystemClock
from shared.domain.events import Owner
from shared.testing.keys import seal_of
from shared.testing.ports import Ports, in_memory
from tests.contract.place import Place, in_the_lab, on_kubernetes


def _on_nats(connection: Client) -> Ports:
    clock, identity = SystemClock(), RandomIdentity()
    return Ports(
        ledger=lambda owner: NatsLedger(connection, Writer(seal_of(owner), clock, identity)),
        inbox=lambda: NatsInbox(connection, seal_of(Owner.GATEWAY)),
        heartbeats=lambda: NatsHeartbeats(connection, seal_of(Owner.MITIGATOR)),
        claims=lambda: NatsClaims(connection, seal_of(Owner.GATEWAY)),
        activities=lambda agent: NatsActivities(connection, Owner(agent.partition("-")[0]), agent),
    )


@pytest.fixture(params=["nats", "memory"])
def ports(request: pytest.FixtureRequest) -> Ports:
    """All ports of one technology, on one empty store."""
    if request.param == "memory":
        return in_memory()
    connection: Client = request.getfixturevalue("connection")
    return _on_nats(connection)


@pytest.fixture
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    """A cluster for the port Cluster: a lab, or the real one that was named."""
    if request.config.getoption("--on") == "kubernetes":
        async with on_kubernetes() as made:
            yield made
    else:
        async with in_the_lab(tmp_path) as lab:
            yield lab.place
