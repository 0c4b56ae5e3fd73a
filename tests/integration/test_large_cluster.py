"""A cluster of 5,000 pods is read within the time that `primum diagnose` has."""

import json
import time
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from shared.adapters.kubernetes_api import PAGE_SIZE, connect
from shared.domain.cluster import Kind
from shared.domain.frozen import JsonObject
from shared.testing.builders import CLUSTER, a_deployment, a_pod, a_replica_set, a_template
from shared.testing.http_server import serving

PODS = 5000
CPU_S = 2.0
"""Server and client together in one process; on an idle core it takes 0.5 s."""
LISTS = {
    "deployments": "DeploymentList",
    "replicasets": "ReplicaSetList",
    "services": "ServiceList",
    "endpointslices": "EndpointSliceList",
    "events": "EventList",
    "nodes": "NodeList",
    "resourcequotas": "ResourceQuotaList",
    "networkpolicies": "NetworkPolicyList",
    "validatingwebhookconfigurations": "ValidatingWebhookConfigurationList",
    "mutatingwebhookconfigurations": "MutatingWebhookConfigurationList",
}
NOT_FOUND = json.dumps({"kind": "Status", "apiVersion": "v1", "code": 404, "reason": "NotFound"})
KUBECONFIG = """
current-context: test
clusters: [{name: test, cluster: {server: URL}}]
contexts: [{name: test, context: {cluster: test}}]
"""


def pages_of_pods() -> list[bytes]:
    """The lists that a real server would send: about 5 kB a pod, with managedFields, 500 pods a page."""
    template = a_template(env={f"VARIABLE_{number}": "value" * 5 for number in range(20)})
    owner = a_replica_set(a_deployment(template=template))
    pod = dict(a_pod("cart-1", owner=owner).body)
    managed = [{"manager": "kubelet", "fieldsV1": {f"f:{number}": {"f:x": {}} for number in range(50)}}] * 2
    metadata = pod["metadata"]
    assert isinstance(metadata, dict)
    pages = []
    for start in range(0, PODS, PAGE_SIZE):
        names = [f"cart-{number}" for number in range(start, start + PAGE_SIZE)]
        items = [{**pod, "metadata": {**metadata, "name": name, "managedFields": managed}} for name in names]
        more = {"continue": str(start + PAGE_SIZE)} if start + PAGE_SIZE < PODS else {}
        page = {"kind": "PodList", "apiVersion": "v1", "metadata": more, "items": items}
        pages.append(json.dumps(page).encode())
    return pages


async def test_a_snapshot_of_5000_pods_takes_little_cpu(tmp_path: Path) -> None:
    """Ten pages, each pod once, without its managedFields, and no more work than parsing."""
    pages = pages_of_pods()

    async def listed(request: Request) -> Response:
        plural = request.url.path.rsplit("/", 1)[-1]
        if plural == "pods":
            page = pages[int(request.query_params.get("continue", "0")) // PAGE_SIZE]
            return Response(page, media_type="application/json")
        if plural not in LISTS:
            return Response(NOT_FOUND, 404, media_type="application/json")
        empty: JsonObject = {"kind": LISTS[plural], "apiVersion": "v1", "metadata": {}, "items": None}
        return Response(json.dumps(empty), media_type="application/json")

    async with serving(Starlette(routes=[Route("/{path:path}", listed)])) as url:
        path = tmp_path / "kubeconfig"
        path.write_text(KUBECONFIG.replace("URL", url))
        async with connect(path, None, CLUSTER, timeout_s=10) as cluster:
            began_s = time.process_time()
            snapshot = await cluster.snapshot()
            took_s = time.process_time() - began_s
    assert len({seen.ref for seen in snapshot.objects if seen.ref.kind is Kind.POD}) == PODS
    assert not any(seen.at("/metadata/managedFields") for seen in snapshot.objects)
    assert took_s < CPU_S
