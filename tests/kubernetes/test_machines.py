"""Machines and their network, broken and mended: what befalls them shows, and leaves nothing behind."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import httpx
import pytest

from eval.kubernetes import programs
from eval.kubernetes.ground import Own, owned
from eval.kubernetes.machines import ours
from eval.kubernetes.registry import Registry
from eval.kubernetes.shop import REGISTRY
from eval.kubernetes.wounds import wounds
from eval.lab.kinds import Obj
from eval.lab.shop import PORT, variable
from eval.operator import Operator
from shared.adapters.system import SystemClock
from shared.testing.running import until

SHOWS_WITHIN_S: Final = 60.0
IMAGE: Final = f"{REGISTRY}/test/app:1"
CLOCK: Final = SystemClock()


@pytest.fixture
async def own(operator: Operator) -> AsyncIterator[Own]:
    """The cluster's machines, and nothing wrong with them before and after."""
    if ours() is None:
        pytest.skip("its machines are not ours to break")
    async with owned(operator) as found:
        yield found
        await until(whole(operator, found), CLOCK, within_s=SHOWS_WITHIN_S)


def whole(operator: Operator, own: Own) -> Callable[[], Awaitable[bool]]:
    """Whether all is as it was."""

    async def is_whole() -> bool:
        return not await wounds(operator, own.machines, own.before)

    return is_whole


def says(operator: Operator, own: Own, *words: str) -> Callable[[], Awaitable[bool]]:
    """Whether some wound is in these words."""

    async def is_said() -> bool:
        found = await wounds(operator, own.machines, own.before)
        return all(any(word in line for line in found) for word in words)

    return is_said


@pytest.fixture
async def pods(operator: Operator, namespace: str, tmp_path: Path) -> AsyncIterator[dict[str, str]]:
    """A pod on each node by the node's name, each of which asks one on the first node before it answers."""
    if said := programs.missing():
        pytest.skip(said)

    async def pods_can_be_made() -> bool:
        return await operator.find("ServiceAccount", namespace, "default") is not None

    await until(pods_can_be_made, CLOCK, within_s=SHOWS_WITHIN_S)
    nodes = sorted(node["metadata"]["name"] for node in await operator.list("Node"))
    asked = {
        "metadata": {"name": "asked", "namespace": namespace},
        "spec": {"selector": {"app": "asked"}, "ports": [{"port": PORT}]},
    }
    async with programs.built(print) as binaries, Registry(binaries, tmp_path) as registry:
        await registry.push({IMAGE: {}})
        await operator.create("Service", asked)
        await operator.create("Pod", a_pod(namespace, "asked", nodes[0]))
        for node in nodes:
            await operator.create("Pod", a_pod(namespace, f"asks-{node}", node, asks="asked"))
        found: dict[str, str] = {}

        async def all_answer() -> bool:
            for node in nodes:
                found[node] = (await operator.get("Pod", namespace, f"asks-{node}"))["status"].get("podIP", "")
            return all([await answers(address) for address in found.values()])

        await until(all_answer, CLOCK, within_s=SHOWS_WITHIN_S)
        yield found


def a_pod(namespace: str, name: str, node: str, asks: str = "") -> Obj:
    """The shop's program on that node; whoever asks it, it asks another Service by its name before it answers."""
    needs = {variable(asks): f"http://{asks}.{namespace}:{PORT}", f"{asks.upper()}_RATIO": "1"} if asks else {}
    container = {
        "name": "app",
        "image": IMAGE,
        "env": [{"name": key, "value": value} for key, value in needs.items()],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": PORT}, "periodSeconds": 1},
    }
    meta = {"name": name, "namespace": namespace, "labels": {"app": name}}
    return {"metadata": meta, "spec": {"nodeName": node, "containers": [container]}}


async def answers(address: str) -> bool:
    """Whether a pod answers well, which it does if the one that it asks does."""
    if not address:
        return False
    with suppress(httpx.TransportError):
        async with httpx.AsyncClient(trust_env=False, timeout=2) as http:
            return (await http.get(f"http://{address}:{PORT}/")).status_code == httpx.codes.OK
    return False


async def test_pods_on_every_node_reach_one_by_name_until_its_node_drops_their_packets(
    operator: Operator, own: Own, pods: dict[str, str]
) -> None:
    """Nobody reaches what is on it, it goes on saying Ready, and once mended everybody does."""
    first, *others = own.machines.names
    assert others
    await own.machines.drop_packets(first)
    assert not any([await answers(address) for address in pods.values()])
    assert await says(operator, own, "table of nftables")()
    assert not await says(operator, own, f"Node {first}")()
    await own.machines.mend(first)

    async def all_answer() -> bool:
        return all([await answers(address) for address in pods.values()])

    await until(all_answer, CLOCK, within_s=SHOWS_WITHIN_S)


async def test_a_network_policy_is_enforced_as_long_as_it_is_there(
    operator: Operator, own: Own, namespace: str, pods: dict[str, str]
) -> None:
    """Whom it names is let in, another is not; what comes from the node itself always is."""
    own.packets.namespace = namespace
    allowed, refused = own.machines.names[:2]
    peer = {"podSelector": {"matchLabels": {"app": f"asks-{allowed}"}}}
    spec = {"podSelector": {"matchLabels": {"app": "asked"}}, "ingress": [{"from": [peer], "ports": [{"port": PORT}]}]}
    await operator.create("NetworkPolicy", {"metadata": {"name": "few", "namespace": namespace}, "spec": spec})
    asked = (await operator.get("Pod", namespace, "asked"))["status"]["podIP"]

    async def holds() -> bool:
        return await answers(pods[allowed]) and not await answers(pods[refused])

    await until(holds, CLOCK, within_s=SHOWS_WITHIN_S)
    assert await answers(asked)
    await operator.delete("NetworkPolicy", namespace, "few")

    async def is_over() -> bool:
        return await answers(pods[refused])

    await until(is_over, CLOCK, within_s=SHOWS_WITHIN_S)


async def test_a_frozen_kubelet_makes_its_node_not_ready_until_it_is_let_go_on(operator: Operator, own: Own) -> None:
    """The other nodes stay well."""
    name = own.machines.names[-1]
    await own.machines.freeze(name)
    await until(says(operator, own, "stands still", f"Node {name} says Ready"), CLOCK, within_s=SHOWS_WITHIN_S)
    await own.machines.mend(name)
    await until(whole(operator, own), CLOCK, within_s=SHOWS_WITHIN_S)


async def test_a_node_short_of_memory_says_so_and_no_other(operator: Operator, own: Own) -> None:
    """Only what its pods may have was taken from it."""
    name, other = own.machines.names[-1], own.machines.names[0]
    await own.machines.shrink(name)
    await until(says(operator, own, f"Node {name} says MemoryPressure"), CLOCK, within_s=SHOWS_WITHIN_S)
    assert not await says(operator, own, f"Node {other} says")()
    await own.machines.mend(name)
    await until(whole(operator, own), CLOCK, within_s=SHOWS_WITHIN_S)


async def test_dns_stands_on_every_node(operator: Operator) -> None:
    """So that no one node takes it along."""
    nodes = sorted(node["metadata"]["name"] for node in await operator.list("Node"))
    pods = await operator.list("Pod", "kube-system", labels="k8s-app=kube-dns")
    assert sorted(pod["spec"]["nodeName"] for pod in pods) == nodes
