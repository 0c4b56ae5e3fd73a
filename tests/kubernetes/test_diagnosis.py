"""What analyzers name on a real cluster: faults made as operators make them, in the words of the real components."""

import os
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

from eval.kubernetes.choice import CONTEXT
from eval.lab.kinds import Obj
from eval.operator import Operator
from shared.adapters.kubernetes_api import KubernetesCluster, connect
from shared.adapters.system import SystemClock
from shared.analyzers.registry import findings
from shared.domain.cause import CauseCode, Finding
from shared.domain.ids import ClusterName
from shared.testing.running import until

STANDS_WITHIN_S: Final = 60.0
NAMED_WITHIN_S: Final = 90.0
LOOK_EVERY_S: Final = 1.0


def container(**fields: object) -> Obj:
    """Change the one container of a pod."""
    return {"containers": [{"name": "app", **fields}]}


def with_volume(volume: Obj) -> Obj:
    """Mount something."""
    mount = {"name": "data", "mountPath": "/data"}
    return {**container(volumeMounts=[mount]), "volumes": [{"name": "data", **volume}]}


def probe(port: int | str) -> Obj:
    """Knock where nobody listens."""
    return {"tcpSocket": {"port": port}, "periodSeconds": 1, "failureThreshold": 1}


def variable(source: str, name: str, key: str) -> Obj:
    """Take one variable from a ConfigMap or a Secret."""
    return container(env=[{"name": "FLAGS", "valueFrom": {f"{source}KeyRef": {"name": name, "key": key}}}])


FAULTS: Final[Mapping[str, tuple[CauseCode, Obj]]] = {
    "config-map": (CauseCode.CONFIG_MAP_MISSING, variable("configMap", "nobodys", "level")),
    "config-map-key": (CauseCode.CONFIG_MAP_MISSING, variable("configMap", "kube-root-ca.crt", "level")),
    "config-map-file": (CauseCode.CONFIG_MAP_MISSING, with_volume({"configMap": {"name": "nobodys"}})),
    "secret": (CauseCode.SECRET_MISSING, variable("secret", "nobodys", "word")),
    "secret-file": (CauseCode.SECRET_MISSING, with_volume({"secret": {"secretName": "nobodys"}})),
    "readiness": (CauseCode.READINESS_PROBE_MISCONFIGURED, container(readinessProbe=probe(9))),
    "readiness-name": (CauseCode.READINESS_PROBE_MISCONFIGURED, container(readinessProbe=probe("web"))),
    "liveness": (CauseCode.LIVENESS_PROBE_MISCONFIGURED, container(livenessProbe=probe(9))),
    "node": (CauseCode.UNSCHEDULABLE, {"nodeSelector": {"primum.dev/nowhere": "yes"}}),
    "large": (CauseCode.REQUESTS_TOO_LARGE, container(resources={"requests": {"cpu": "10k"}})),
    "claim": (CauseCode.VOLUME_CLAIM_MISSING, with_volume({"persistentVolumeClaim": {"claimName": "nobodys"}})),
    "account": (CauseCode.SERVICE_ACCOUNT_MISSING, {"serviceAccountName": "nobody"}),
    "command": (CauseCode.COMMAND_NOT_FOUND, container(command=["/nothing"])),
    "quota": (CauseCode.QUOTA_EXCEEDED, container(resources={"requests": {"memory": "2Gi"}})),
    "limit": (CauseCode.LIMIT_RANGE_EXCEEDED, container(resources={"limits": {"memory": "4Gi"}})),
}
WELL: Final = "well"


@pytest.fixture
async def cluster() -> AsyncIterator[KubernetesCluster]:
    """The port Cluster, as whoever the kubeconfig names: what analyzers say is not a question of rights."""
    there = Path(os.environ["KUBECONFIG"])
    async with connect(there, os.environ[CONTEXT], ClusterName("real"), timeout_s=10) as connected:
        yield connected


@pytest.fixture
async def limited(operator: Operator) -> AsyncIterator[str]:
    """A second namespace, with a LimitRange."""
    name = f"test-{secrets.token_hex(4)}"
    await operator.create("Namespace", {"metadata": {"name": name}})
    limits = {"limits": [{"type": "Container", "max": {"memory": "1Gi"}}]}
    await operator.create("LimitRange", {"metadata": {"name": "sizes", "namespace": name}, "spec": limits})
    yield name
    await operator.delete("Namespace", "", name)


@pytest.fixture
async def image(operator: Operator) -> str:
    """One that the node has already: what runs in it does not matter, and it does nothing."""
    nodes = await operator.list("Node")
    names = [name for node in nodes for item in node["status"].get("images") or [] for name in item.get("names") or []]
    found = next((name for name in names if "pause" in name and "@" not in name), "")
    return found or pytest.skip("no node has an image that just waits")


def deployment(namespace: str, name: str, image: str) -> Obj:
    """One replica of a container that waits, and says that it serves a port."""
    app = {"name": "app", "image": image, "imagePullPolicy": "Never", "ports": [{"name": "http", "containerPort": 80}]}
    spec = {"containers": [{**app, "resources": {"requests": {"memory": "8Mi"}}}], "terminationGracePeriodSeconds": 1}
    return {
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": name}},
            "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": spec},
        },
    }


async def test_each_fault_is_named_and_the_revision_before_is_the_way_back(
    operator: Operator, cluster: KubernetesCluster, namespace: str, limited: str, image: str
) -> None:
    """Fifteen faults and a workload that is well, in one look: nothing is named twice, and nobody else."""
    places = dict.fromkeys([*FAULTS, WELL], namespace) | {"limit": limited}
    for name, place in places.items():
        await operator.create("Deployment", deployment(place, name, image))
    clock, both = SystemClock(), {namespace, limited}

    async def stand() -> bool:
        return all(seen.rolled_out for seen in (await cluster.snapshot(both)).deployments)

    await until(stand, clock, within_s=STANDS_WITHIN_S)
    hard = {"requests.memory": "1Gi"}
    await operator.create(
        "ResourceQuota", {"metadata": {"name": "team", "namespace": namespace}, "spec": {"hard": hard}}
    )
    for name, (_, pod) in FAULTS.items():
        await operator.patch("Deployment", places[name], name, {"spec": {"template": {"spec": pod}}})
    best: dict[str, Finding] = {}

    async def named() -> bool:
        await clock.sleep(LOOK_EVERY_S)
        best.clear()
        for each in findings(await cluster.snapshot(both)):  # the surest first
            best.setdefault(each.object.name, each)
        return {name: each.code for name, each in best.items()} == expected

    expected = {name: code for name, (code, _) in FAULTS.items()}
    with suppress(TimeoutError):  # then the difference is what is worth reading
        await until(named, clock, within_s=NAMED_WITHIN_S)
    assert {name: each.code for name, each in best.items()} == expected
    assert {name: each.remedy for name, each in best.items()} == {name: {"revision": 1} for name in FAULTS}
