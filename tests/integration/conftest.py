"""Services under test on a real nats-server."""

import functools
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import pytest_asyncio
from nats.aio.client import Client

from shared.adapters.loopback import PLAIN
from shared.adapters.nats_ledger import NatsLedger, Writer
from shared.adapters.nats_server import EmbeddedNats
from shared.adapters.system import RandomIdentity, SystemClock
from shared.bus.service import Bus, Duties
from shared.bus.settings import ServiceSettings
from shared.domain.events import Owner
from shared.domain.ids import ClusterName
from shared.testing.keys import seal_of, settings_of, write_keys
from shared.testing.running import RunningService

if TYPE_CHECKING:
    from eval.lab.lab import Lab
    from shared.adapters.kubernetes_api import KubernetesCluster
    from tests.integration.the_core import Core

Start = Callable[..., RunningService]


@pytest.fixture
async def start(nats_server: EmbeddedNats, tmp_path: Path) -> AsyncIterator[Start]:
    """Start a service in this loop: `start(owner, duties, **settings)`; it is stopped at the test's end."""
    async with AsyncExitStack() as stack:
        number = 0

        def begin(owner: Owner, duties: Callable[[Bus], Duties], **settings: Any) -> RunningService:
            nonlocal number
            number += 1
            keys = settings_of(owner, write_keys(tmp_path / "keys"))
            given = {"sweep_every_s": 3600, "grace_s": 2, "nats_url": nats_server.url, **keys, **settings}
            service = RunningService(owner, ServiceSettings(runtime_dir=tmp_path / f"run-{number}", **given), duties)
            stack.push_async_callback(service.stop)
            return service

        yield begin


@pytest.fixture
async def start_gateway(
    nats_server: EmbeddedNats, tmp_path: Path
) -> AsyncIterator[Callable[..., Awaitable[httpx.AsyncClient]]]:
    """Call it with settings to start a gateway; it gives a client that bears the token."""
    from services.gateway.app import duties  # noqa: PLC0415 - only some of these tests need the service
    from services.gateway.settings import GatewaySettings  # noqa: PLC0415 - as above

    async with AsyncExitStack() as stack:
        number = 0

        async def begin(*, ready: bool = True, **settings: Any) -> httpx.AsyncClient:
            nonlocal number
            number += 1
            folder = tmp_path / f"run-gateway-{number}"
            given = {
                "nats_url": nats_server.url,
                "token": "open-sesame",
                "sweep_every_s": 3600,
                "grace_s": 1,
                **settings_of(Owner.GATEWAY, write_keys(tmp_path / "keys")),
                **settings,
            }
            chosen = GatewaySettings(runtime_dir=folder, **given)
            service = RunningService(Owner.GATEWAY, chosen, functools.partial(duties, chosen))
            stack.push_async_callback(service.stop)
            await (service.ready() if ready else service.listening())
            url = json.loads((folder / "service-gateway.json").read_text())["url"]
            bearer = {"Authorization": f"Bearer {chosen.token.get_secret_value()}"}
            http = httpx.AsyncClient(base_url=url, headers=bearer, timeout=10, trust_env=False, verify=PLAIN)
            return await stack.enter_async_context(http)

        yield begin


@pytest.fixture
async def gateway(start_gateway: Callable[..., Awaitable[httpx.AsyncClient]], connection: Client) -> httpx.AsyncClient:
    """A client of a gateway that is ready, on a server where all streams are there."""
    assert connection.is_connected
    return await start_gateway()


@pytest.fixture
def ledger(connection: Client) -> Callable[[Owner], NatsLedger]:
    """The ledger as a service of that name sees it."""
    return lambda owner: NatsLedger(connection, Writer(seal_of(owner), SystemClock(), RandomIdentity()))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def standing(tmp_path_factory: pytest.TempPathFactory) -> "AsyncIterator[tuple[Lab, KubernetesCluster]]":
    """A lab that the tests of one module share, with its client: standing one up costs more than most of them."""
    from eval.lab.lab import Lab, LabSettings  # noqa: PLC0415 - only some of these tests need a lab
    from shared.adapters.kubernetes_api import connect  # noqa: PLC0415 - as above
    from tests.integration.the_core import PACE  # noqa: PLC0415 - as above

    kubeconfig = tmp_path_factory.mktemp("lab") / "kubeconfig"
    made = Lab(LabSettings(seed=1, pace=PACE))
    made.roll_out()
    async with made as lab, connect(lab.kubeconfig(kubeconfig), None, ClusterName("lab"), timeout_s=15) as cluster:
        yield lab, cluster


@pytest_asyncio.fixture(loop_scope="module")
async def core(standing: "tuple[Lab, KubernetesCluster]") -> "AsyncIterator[Core]":
    """The core's services, driven by hand; what the test did to the lab is put right after it."""
    from tests.integration.the_core import Core  # noqa: PLC0415 - only some of these tests need the services

    driven = Core(*standing)
    yield driven
    await driven.put_the_lab_right()
