"""What all tests share; a real nats-server of its own for each that asks, which takes about 30 ms to start."""

import asyncio
import gc
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from nats.aio.client import Client

from shared.adapters.nats_server import EmbeddedNats
from shared.adapters.nkey import OPERATOR
from shared.bus.streams import ensure
from shared.domain.ids import ClusterName
from shared.testing.keys import connect_as, users

if TYPE_CHECKING:
    from eval.lab.lab import Lab
    from shared.adapters.kubernetes_api import KubernetesCluster

# pytest-asyncio 1.5 asks for the current loop before it makes its own; Python 3.11 then makes one that nobody closes.
asyncio.set_event_loop(None)


def pytest_configure(config: pytest.Config) -> None:
    """Refuse a cluster that is named by half; read no authorities where nobody's server is spoken to.

    Each client that reads those that vouch for the servers of this world takes 25 ms of CPU for it: the one here is one
    whose key was thrown away. Beside a real cluster Go may have modules to fetch.
    """
    if os.environ.get("PRIMUM_TEST_CONTEXT") and not os.environ.get("KUBECONFIG"):
        raise pytest.UsageError("PRIMUM_TEST_CONTEXT names a context of no kubeconfig: set KUBECONFIG, too")
    if config.getoption("--on") == "lab":
        os.environ["SSL_CERT_FILE"] = str(Path(__file__).parent / "data" / "authority.pem")


def pytest_collection_finish() -> None:
    """Let the garbage collector leave alone what stays for good: all modules, all tests. It took a twentieth."""
    gc.collect()
    gc.freeze()


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--on kubernetes` plays the contract of the port Cluster on the real cluster that PRIMUM_TEST_CONTEXT names."""
    parser.addoption("--on", choices=("lab", "kubernetes"), default="lab", help="where the port Cluster is tried")


@pytest.fixture
async def nats_server(tmp_path: Path) -> AsyncIterator[EmbeddedNats]:
    """A real nats-server with an empty store, which knows the services and the operator by their keys."""
    async with EmbeddedNats(tmp_path / "nats", more=users()) as server:
        yield server


@pytest.fixture
async def connection(nats_server: EmbeddedNats) -> AsyncIterator[Client]:
    """The operator's connection to a server on which all streams are there."""
    client = await connect_as(OPERATOR, nats_server.url)
    await ensure(client.jetstream())
    yield client
    await client.close()


@pytest.fixture
async def lab() -> "AsyncIterator[Lab]":
    """A lab of the test's own, over HTTP in its event loop, with every Deployment rolled out."""
    from eval.lab.lab import Lab, LabSettings  # noqa: PLC0415 - a second of imports that unit tests need not pay

    made = Lab(LabSettings(seed=1, pace=60))
    made.roll_out()
    async with made as running:
        yield running


@pytest.fixture
async def cluster(lab: "Lab", tmp_path: Path) -> "AsyncIterator[KubernetesCluster]":
    """The port Cluster on that lab, through a kubeconfig."""
    from shared.adapters.kubernetes_api import connect  # noqa: PLC0415 - as above

    async with connect(lab.kubeconfig(tmp_path / "kubeconfig"), None, ClusterName("lab"), timeout_s=5) as connected:
        yield connected
