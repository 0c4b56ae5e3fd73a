"""Where the ports are put to the test: the lab, or with `--on kubernetes` the real cluster that was named."""

import itertools
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from eval.kubernetes import programs
from eval.kubernetes.choice import CONTEXT, WITHOUT
from eval.kubernetes.monitoring import watched
from eval.lab.kinds import Obj
from eval.lab.lab import Lab, LabSettings
from eval.lab.rules import WINDOW_S
from eval.monitoring.monitoring import PROGRAMS
from eval.monitoring.program import missing
from eval.operator import Operator, operating
from shared.adapters import kubernetes_config
from shared.adapters.kubernetes_api import connect
from shared.adapters.system import SystemClock
from shared.domain.cluster import CLUSTER_SCOPED, Kind, Ref
from shared.domain.frozen import Json
from shared.domain.ids import ClusterName
from shared.ports.cluster import Cluster
from shared.testing.http_server import serving

_WITHIN_S: Final = 60.0
_LOOK_EVERY_S: Final = 0.05
_KUBELETS_WINDOW_S: Final = 45.0
"""The kubelet looks at a container every ten seconds, or fifteen."""
_CLOCK: Final = SystemClock()


@dataclass(frozen=True)
class Place:
    """A cluster with two namespaces in it, in each a Deployment and a Service of one name, rolled out."""

    cluster: Cluster
    operator: Operator
    """A person who works on it at the same time."""
    namespace: str
    workload: str
    other_namespace: str
    other: str
    next_image: str
    """One more that the workload may run."""

    def ref(self, kind: Kind, name: str) -> Ref:
        """Name an object, of the namespace if it has one."""
        namespace = "" if kind in CLUSTER_SCOPED else self.namespace
        return Ref(cluster=self.cluster.name, kind=kind, namespace=namespace, name=name)

    async def find(self, ref: Ref) -> Obj | None:
        """What is stored there."""
        return await self.operator.find(str(ref.kind), ref.namespace, ref.name)

    async def edit(self, ref: Ref, **parts: Json) -> None:
        """Change an object behind Primum's back, with a merge patch."""
        await self.operator.merge(str(ref.kind), ref.namespace, ref.name, dict(parts))

    async def until(self, holds: Callable[[], Awaitable[bool]]) -> None:
        """Wait for it. Raises TimeoutError."""
        deadline_s = _CLOCK.monotonic_s() + _WITHIN_S
        while not await holds():
            if _CLOCK.monotonic_s() > deadline_s:
                raise TimeoutError(f"not within {_WITHIN_S:g} s")
            await _CLOCK.sleep(_LOOK_EVERY_S)

    async def is_rolled_out(self, namespace: str, name: str) -> bool:
        """Whether a Deployment is where it wants to be, and no old pod is left."""
        deployment = await self.operator.get("Deployment", namespace, name)
        status, wanted = deployment.get("status") or {}, deployment["spec"]["replicas"]
        counts = {status.get(name, 0) for name in ("replicas", "updatedReplicas", "availableReplicas")}
        seen = status.get("observedGeneration") == deployment["metadata"]["generation"]
        return seen and counts == {wanted} and len(await self.operator.list("Pod", namespace)) == wanted


@dataclass(frozen=True)
class Watched:
    """Such a cluster before a Prometheus, which has the requests that the workload's Service gets, too."""

    place: Place
    url: str
    window_s: float
    """Over which a rate is a rate: some scrapes."""


@asynccontextmanager
async def in_the_lab(folder: Path) -> AsyncIterator[Watched]:
    """The shop of a lab."""
    name = ClusterName("lab")
    made = Lab(LabSettings(seed=1, pace=60))
    made.roll_out()
    async with made as lab:
        kubeconfig, shop = lab.kubeconfig(folder / "kubeconfig"), lab.shop
        async with connect(kubeconfig, None, name, timeout_s=5) as cluster, operating(kubeconfig) as operator:
            place = Place(
                cluster, operator, shop.namespace, shop.cart, shop.quiet_namespace, shop.quiet, shop.next_image("cart")
            )
            yield Watched(place, lab.prometheus_url, WINDOW_S / lab.pace)


@asynccontextmanager
async def on_kubernetes() -> AsyncIterator[Place]:
    """Two namespaces of the cluster that KUBECONFIG and PRIMUM_TEST_CONTEXT name, which go in the end."""
    if not os.environ.get(CONTEXT):
        pytest.skip(os.environ.get(WITHOUT) or f"no cluster was named by {CONTEXT}")
    kubeconfig, context = Path(os.environ["KUBECONFIG"]), os.environ[CONTEXT]
    own = f"contract-{secrets.token_hex(4)}"
    async with (
        connect(kubeconfig, context, ClusterName("real"), timeout_s=15) as cluster,
        operating(kubeconfig, context) as operator,
    ):
        image = await _image_of_dns(operator)
        place = Place(cluster, operator, own, "cart", f"{own}-quiet", "quiet", f"{image}-next")
        named = ((place.namespace, place.workload), (place.other_namespace, place.other))
        try:
            for namespace, name in named:
                await _furnish(operator, namespace, name, image)
            for namespace, name in named:
                await place.until(partial(place.is_rolled_out, namespace, name))
            yield place
        finally:
            for namespace, _ in named:
                await operator.delete("Namespace", "", namespace)


@asynccontextmanager
async def before_prometheus(folder: Path) -> AsyncIterator[Watched]:
    """The same before a real Prometheus, which watches it as it watches the shop; only the requests are made up."""
    if said := missing(*PROGRAMS) or programs.missing():
        pytest.skip(said)
    async with on_kubernetes() as place, serving(requests_of(place.namespace, place.workload)) as users:
        server = (await kubernetes_config.load(Path(os.environ["KUBECONFIG"]), os.environ[CONTEXT])).host
        async with (
            programs.built(print) as binaries,
            watched(binaries, folder, place.operator, server, f"{users}/metrics") as monitoring,
        ):
            yield Watched(place, monitoring.url, _KUBELETS_WINDOW_S)


def requests_of(namespace: str, service: str) -> Starlette:
    """A page on which a Service has got ten more requests at each look: nine answered in 0.1 s, and one failed."""
    count = itertools.count(1)

    async def page(_: Request) -> Response:
        looks, about = next(count), f'namespace="{namespace}",service="{service}"'
        lines = [
            f'http_requests_total{{{about},code="200"}} {9 * looks}',
            f'http_requests_total{{{about},code="503"}} {looks}',
            f"http_request_duration_seconds_sum{{{about}}} {looks}",
            f"http_request_duration_seconds_count{{{about}}} {10 * looks}",
        ]
        return PlainTextResponse("\n".join([*lines, ""]), media_type="text/plain; version=0.0.4")

    return Starlette(routes=[Route("/metrics", page)])


async def _image_of_dns(operator: Operator) -> str:
    """The image that every cluster has, whoever made it: nothing needs to be pulled."""
    found = await operator.get("Deployment", "kube-system", "coredns")
    return str(found["spec"]["template"]["spec"]["containers"][0]["image"])


async def _furnish(operator: Operator, namespace: str, name: str, image: str) -> None:
    """What the lab's shop has of it: CoreDNS answers on 8181, with no zone."""
    await operator.create("Namespace", {"metadata": {"name": namespace}})
    labels = {"app": name}
    meta = {"name": name, "namespace": namespace, "labels": labels}
    config = ".:8080 {\n  ready\n}\n"
    await operator.create("ConfigMap", {"metadata": meta, "data": {"Corefile": config}})
    container = {
        "name": "app",
        "image": image,
        "args": ["-conf", "/etc/coredns/Corefile"],
        "ports": [{"name": "http", "containerPort": 8080}],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181}, "periodSeconds": 1},
        "resources": {
            "requests": {"cpu": "10m", "memory": "30Mi"},
            "limits": {"cpu": "500m", "memory": "128Mi"},
        },
        "volumeMounts": [{"name": "config", "mountPath": "/etc/coredns"}],
    }
    pod = {
        "containers": [container],
        "volumes": [{"name": "config", "configMap": {"name": name}}],
        "terminationGracePeriodSeconds": 1,
    }
    template = {"metadata": {"labels": labels}, "spec": pod}
    deployment = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    service = {"selector": labels, "ports": [{"name": "http", "port": 8080, "targetPort": 8080}]}
    await operator.create("Deployment", {"metadata": meta, "spec": deployment})
    await operator.create("Service", {"metadata": meta, "spec": service})
