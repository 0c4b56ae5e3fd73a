"""Several nodes: what runs on one reaches what runs on another, by name; DNS stands on each."""

from pathlib import Path
from typing import Final

import httpx
import pytest

from eval.kubernetes import programs
from eval.kubernetes.registry import Registry
from eval.kubernetes.shop import REGISTRY
from eval.lab.kinds import Obj
from eval.lab.shop import PORT, variable
from eval.operator import Operator
from shared.adapters.system import SystemClock
from shared.testing.running import until

READY_WITHIN_S: Final = 60.0
IMAGE: Final = f"{REGISTRY}/test/app:1"


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


def a_service(namespace: str, name: str) -> Obj:
    return {
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": {"app": name}, "ports": [{"port": PORT}]},
    }


async def names_of_nodes(operator: Operator) -> list[str]:
    """Two of them, or this cluster is too small for the test."""
    found = [node["metadata"]["name"] for node in await operator.list("Node")]
    return found if len(found) > 1 else pytest.skip("this cluster has one node only")


async def test_pods_on_two_nodes_reach_each_other_by_name(operator: Operator, namespace: str, tmp_path: Path) -> None:
    """Both ways, through DNS and a Service."""
    one, other, *_ = await names_of_nodes(operator)
    if said := programs.missing():
        pytest.skip(said)

    async def pods_can_be_made() -> bool:
        return await operator.find("ServiceAccount", namespace, "default") is not None

    await until(pods_can_be_made, SystemClock(), within_s=READY_WITHIN_S)
    async with Registry(await programs.build(print), tmp_path) as registry, httpx.AsyncClient(trust_env=False) as http:
        await registry.push({IMAGE: {}})
        for name, node, asks in (("near", one, ""), ("far", other, ""), ("out", one, "far"), ("home", other, "near")):
            await operator.create("Service", a_service(namespace, name))
            await operator.create("Pod", a_pod(namespace, name, node, asks))

        async def answers() -> bool:
            pods = {name: await operator.get("Pod", namespace, name) for name in ("out", "home")}
            addresses = [pod["status"].get("podIP") for pod in pods.values()]
            if not all(addresses):
                return False
            try:
                said = [await http.get(f"http://{address}:{PORT}/") for address in addresses]
            except httpx.TransportError:  # it does not listen yet
                return False
            return [each.status_code for each in said] == [200, 200]

        await until(answers, SystemClock(), within_s=READY_WITHIN_S)


async def test_dns_stands_on_every_node(operator: Operator) -> None:
    """So that no one node takes it along."""
    names = await names_of_nodes(operator)
    pods = await operator.list("Pod", "kube-system", labels="k8s-app=kube-dns")
    assert sorted(pod["spec"]["nodeName"] for pod in pods) == sorted(names)
