"""What goes over the wire when Primum writes: the parameters on which a real API server's care depends."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from shared.adapters.kubernetes_api import KubernetesCluster, connect
from shared.domain.change import Evict
from shared.domain.cluster import Kind
from shared.testing.builders import CLUSTER, a_deployment, a_patch, a_ref
from shared.testing.http_server import serving

SEEN = a_deployment(replicas=1)
KUBECONFIG = """
current-context: test
clusters: [{name: test, cluster: {server: URL}}]
users: [{name: test, user: {token: secret}}]
contexts: [{name: test, context: {cluster: test, user: test}}]
"""


class Sent(NamedTuple):
    """One request as it arrived."""

    method: str
    path: str
    query: dict[str, str]
    content_type: str
    authorization: str
    body: Any


@asynccontextmanager
async def recording(tmp_path: Path, sent: list[Sent]) -> AsyncIterator[KubernetesCluster]:
    """Connect, as the undo service, to a server that keeps what it is sent and answers with the object."""

    async def keep(request: Request) -> Response:
        headers = request.headers
        sent.append(
            Sent(
                request.method,
                request.url.path,
                dict(request.query_params),
                headers["content-type"],
                headers["authorization"],
                await request.json(),
            )
        )
        evicts = request.url.path.endswith("/eviction")
        return JSONResponse({"kind": "Status", "status": "Success"} if evicts else SEEN.body)

    app = Starlette(routes=[Route("/{path:path}", keep, methods=["POST", "PATCH"])])
    async with serving(app) as url:
        path = tmp_path / "kubeconfig"
        path.write_text(KUBECONFIG.replace("URL", url))
        async with connect(path, None, CLUSTER, timeout_s=5, manager="primum-undo") as cluster:
            yield cluster


async def test_a_write_is_a_strict_json_patch_that_tests_what_it_replaces(tmp_path: Path) -> None:
    """First the version's fence, then a test on each value, then the mark; unknown fields are an error."""
    sent: list[Sent] = []
    async with recording(tmp_path, sent) as cluster:
        await cluster.write(a_patch(), SEEN, "txn.1")
    assert sent == [
        Sent(
            "PATCH",
            "/apis/apps/v1/namespaces/shop/deployments/cart",
            {"fieldManager": "primum-undo", "fieldValidation": "Strict"},
            "application/json-patch+json",
            "Bearer secret",
            [
                {"op": "replace", "path": "/metadata/resourceVersion", "value": "1"},
                {"op": "test", "path": "/spec/replicas", "value": 1},
                {"op": "replace", "path": "/spec/replicas", "value": 3},
                {"op": "add", "path": "/metadata/labels", "value": {"primum.dev/transaction": "txn.1"}},
            ],
        )
    ]


async def test_a_dry_run_is_the_same_request_and_says_that_it_is_one(tmp_path: Path) -> None:
    """What is rehearsed is what will be done."""
    sent: list[Sent] = []
    async with recording(tmp_path, sent) as cluster:
        await cluster.write(a_patch(), SEEN, "txn.1")
        await cluster.dry_run(a_patch(), SEEN, "txn.1")
    write, rehearsal = sent
    assert rehearsal == write._replace(query={**write.query, "dryRun": "All"})


async def test_an_eviction_names_the_pods_uid(tmp_path: Path) -> None:
    """The precondition stands in the body's deleteOptions: nothing else stops the eviction of a namesake."""
    sent: list[Sent] = []
    pod = a_ref("cart-1-a", Kind.POD)
    async with recording(tmp_path, sent) as cluster:
        await cluster.evict(Evict(ref=pod, uid="uid-7", controller="ReplicaSet cart-1"))
    (request,) = sent
    assert (request.method, request.path) == ("POST", "/api/v1/namespaces/shop/pods/cart-1-a/eviction")
    assert (request.body["apiVersion"], request.body["kind"]) == ("policy/v1", "Eviction")
    assert request.body["deleteOptions"] == {"preconditions": {"uid": "uid-7"}}
