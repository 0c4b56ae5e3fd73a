"""A real cluster: the one that was named for these tests, and in it a namespace of each test's own."""

import os
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
import yaml

from eval.kubernetes import pki
from eval.kubernetes.choice import CONTEXT, WITHOUT
from eval.operator import Operator, operating
from shared.adapters.system import SystemClock
from shared.testing.running import until

_OF_A_TEST: Final = "test-"
_QUIET_WITHIN_S: Final = 120.0


@pytest.fixture(scope="session", autouse=True)
def named() -> None:
    """Skip, with the reason, where no cluster was named for the tests."""
    if not os.environ.get(CONTEXT):
        pytest.skip(os.environ.get(WITHOUT) or f"run it as `make test-kubernetes`, or name a cluster by {CONTEXT}")


@pytest.fixture(scope="session")
def ours(named: None) -> None:
    """Skip where the cluster is another than one that was built here."""
    del named
    kubeconfig = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text())
    if {each["cluster"]["server"] for each in kubeconfig["clusters"]} != {pki.SERVER}:
        pytest.skip("the shop's registry is on the node's own loopback: only a cluster that was built here has that")


@pytest.fixture
async def operator() -> AsyncIterator[Operator]:
    """The cluster's administrator."""
    async with operating(Path(os.environ["KUBECONFIG"]), os.environ[CONTEXT]) as working:
        yield working


@pytest.fixture
async def namespace(operator: Operator) -> AsyncIterator[str]:
    """Of the test's own; it goes with it."""
    name = f"{_OF_A_TEST}{secrets.token_hex(4)}"
    await operator.create("Namespace", {"metadata": {"name": name}})
    yield name
    await operator.delete("Namespace", "", name)


@pytest.fixture
async def quiet(operator: Operator) -> None:
    """Nothing is left of the tests before: their containers come and go until the last of their pods has ended."""

    async def is_quiet() -> bool:
        return not any(each["metadata"]["name"].startswith(_OF_A_TEST) for each in await operator.list("Namespace"))

    await until(is_quiet, SystemClock(), within_s=_QUIET_WITHIN_S)
