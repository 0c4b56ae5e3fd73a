"""A cluster that says no, says nothing, or is not there: each becomes one clear error that says what to do."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from eval.kubeconfig import write_kubeconfig
from eval.lab.lab import Lab
from shared.adapters import kubernetes_config
from shared.adapters.kubernetes_api import KubernetesCluster, connect
from shared.analyzers.written import last_written
from shared.domain.change import Evict, Patch, replace
from shared.domain.cluster import Kind, Object, Ref
from shared.domain.errors import ClusterForbidden, ClusterUnavailable, PrimumError
from shared.domain.ids import ClusterName
from shared.testing.http_server import nobody_listening, serving

NAME = ClusterName("lab")
POD = Ref(cluster=NAME, kind=Kind.POD, namespace="shop", name="cart-1")


ANYBODY = {"token": "anything"}


@asynccontextmanager
async def at(url: str, tmp_path: Path, timeout_s: float = 5) -> AsyncIterator[KubernetesCluster]:
    """Connect to whatever answers under a URL."""
    async with connect(write_kubeconfig(tmp_path / "other", url, ANYBODY), None, NAME, timeout_s) as cluster:
        yield cluster


@asynccontextmanager
async def answering(
    response: Callable[[], Response], tmp_path: Path, timeout_s: float = 0.2
) -> AsyncIterator[KubernetesCluster]:
    """Connect to a server that gives one answer to everything."""

    async def everything(_request: Request) -> Response:
        return response()

    methods = ["GET", "POST", "PATCH"]
    app = Starlette(routes=[Route("/{path:path}", everything, methods=methods)])
    async with serving(app) as url, at(url, tmp_path, timeout_s) as cluster:
        yield cluster


def a_status(code: int, reason: str, message: str) -> Response:
    """A refusal as the API server words it."""
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "message": message}
    return JSONResponse(body, code)


def deployment_of(lab: Lab) -> Ref:
    """One of the shop's Deployments."""
    return Ref(cluster=NAME, kind=Kind.DEPLOYMENT, namespace=lab.shop.namespace, name=lab.shop.cart)


def scaled(seen: Object) -> Patch:
    """A patch that would scale a Deployment."""
    edit = replace(seen, "/spec/replicas", 7)
    assert edit is not None
    return Patch(ref=seen.ref, edits=(edit,))


# --- 403 and 401


async def test_a_forbidden_read_names_verb_and_resource(cluster: KubernetesCluster, lab: Lab) -> None:
    """Whoever reads it knows which permission to grant."""
    lab.faults.forbid("get", "deployments")
    with pytest.raises(ClusterForbidden, match=r"cannot get resource \"deployments\".*grant the missing permission"):
        await cluster.read(deployment_of(lab))


async def test_a_forbidden_write_names_verb_and_resource_and_stores_nothing(
    cluster: KubernetesCluster, lab: Lab
) -> None:
    """An observer's ServiceAccount may read and not patch."""
    seen = await cluster.read(deployment_of(lab))
    lab.faults.forbid("patch", "deployments")
    with pytest.raises(ClusterForbidden, match=r"cannot patch resource \"deployments\""):
        await cluster.write(scaled(seen), seen, "txn-abc.1")
    assert await cluster.read(seen.ref) == seen


async def test_a_snapshot_goes_on_without_the_one_resource_that_is_forbidden(
    cluster: KubernetesCluster, lab: Lab
) -> None:
    """The rest is worth looking at, and it says what it could not look at."""
    lab.faults.forbid("list", "events")
    snapshot = await cluster.snapshot()
    assert snapshot.deployments
    assert snapshot.pods
    assert snapshot.events == ()
    (said,) = [words for words in snapshot.looked_at if words.startswith("not read")]
    assert "Events" in said
    assert 'cannot list resource "events"' in said
    assert not any(words.endswith("Events in all namespaces") for words in snapshot.looked_at)


async def test_a_snapshot_of_which_nothing_may_be_read_is_forbidden(cluster: KubernetesCluster, lab: Lab) -> None:
    """Nothing seen is not the same as nothing wrong."""
    for plural in ("deployments", "replicasets", "pods", "services", "endpointslices", "events", "nodes"):
        lab.faults.forbid("list", plural)
    with pytest.raises(ClusterForbidden, match="cannot list resource"):
        await cluster.snapshot()


@pytest.mark.parametrize("kind", ["ResourceQuotas", "NetworkPolicies", "ValidatingWebhookConfigurations"])
async def test_what_only_explains_further_may_be_forbidden_and_hides_nothing(
    cluster: KubernetesCluster, lab: Lab, kind: str
) -> None:
    """A role of an older version does not know the kind: it is said, and nothing counts as unread."""
    lab.faults.forbid("list", kind.lower())
    snapshot = await cluster.snapshot()
    assert snapshot.unread == ()
    assert any(said.startswith(f"done without: {kind} (") for said in snapshot.looked_at)
    assert not any(said.startswith("not read") for said in snapshot.looked_at)


async def test_what_the_clusters_dns_is_told_is_read_where_it_is_there(cluster: KubernetesCluster, lab: Lab) -> None:
    """Of all ConfigMaps that one, with who wrote it; many a cluster has another DNS, and some let nobody read it."""
    assert not (await cluster.snapshot()).config_maps
    shop = lab.shop.namespace
    lab.store.create("Namespace", {"metadata": {"name": "kube-system"}})
    for namespace, name in (("kube-system", "coredns"), ("kube-system", "other"), (shop, "coredns")):
        body = {"metadata": {"name": name, "namespace": namespace}, "data": {"Corefile": ".:53 {\n}\n"}}
        lab.store.create("ConfigMap", body)
    whole, part = await cluster.snapshot(), await cluster.snapshot({shop})
    (config,) = whole.config_maps
    assert (config.metadata.namespace, config.metadata.name) == ("kube-system", "coredns")
    assert config.data == {"Corefile": ".:53 {\n}\n"}
    assert last_written(config, "f:data") is not None
    assert "ConfigMap/kube-system/coredns" in whole.looked_at
    assert not part.config_maps
    lab.faults.forbid("get", "configmaps")
    denied = await cluster.snapshot()
    assert (denied.config_maps, denied.unread) == ((), ())
    assert any(said.startswith("done without: ConfigMaps (get configmaps/kube") for said in denied.looked_at)


async def test_a_wrong_token_is_forbidden_and_says_to_sign_in(lab: Lab, tmp_path: Path) -> None:
    """401 is about who we are, not about what we may."""
    async with at(lab.url, tmp_path) as stranger:
        with pytest.raises(ClusterForbidden, match=r"get pods/shop/cart-1: 401 Unauthorized: .*sign in again"):
            await stranger.read(POD)
        with pytest.raises(ClusterForbidden, match="401"):
            await stranger.snapshot()


# --- silence


async def test_an_api_server_that_hangs_is_unavailable_within_the_timeout(lab: Lab, tmp_path: Path) -> None:
    """One hanging resource is enough: half a snapshot must not pass for a whole one.

    On a machine that is busy a list beside it may be the first that is not there in time.
    """
    lab.faults.hang("pods")
    loop = asyncio.get_running_loop()
    async with connect(lab.kubeconfig(tmp_path / "kubeconfig"), None, NAME, timeout_s=0.5) as cluster:
        began_s = loop.time()
        with pytest.raises(ClusterUnavailable, match=r"list \w+: no answer within 0\.5 s: check the kubeconfig"):
            await cluster.snapshot()
        with pytest.raises(ClusterUnavailable, match=r"get pods/shop/cart-1: no answer within 0\.5 s"):
            await cluster.read(POD)
        assert loop.time() - began_s < 5


async def test_nobody_listening_is_unavailable(tmp_path: Path) -> None:
    """A refused connection names the setting to look at."""
    async with nobody_listening() as url, at(url, tmp_path) as cluster:
        with pytest.raises(ClusterUnavailable, match="PRIMUM_KUBECONFIG"):
            await cluster.snapshot()
        with pytest.raises(ClusterUnavailable, match="PRIMUM_KUBECONFIG"):
            await cluster.read(POD)


# --- trouble


@pytest.mark.parametrize(
    ("response", "said"),
    [
        (lambda: PlainTextResponse("Too many requests", 429, {"Retry-After": "7"}), "asks to try again in 7 s"),
        (lambda: a_status(500, "InternalError", "etcdserver: leader changed"), "500 etcdserver: leader changed"),
        (lambda: PlainTextResponse("upstream is down", 503), "503 upstream is down: the API server is in trouble"),
        (lambda: PlainTextResponse("<html>sign in</html>"), "get pods/shop/cart-1"),
        (lambda: JSONResponse({"hello": "world"}), "is this a Kubernetes API?"),
        (lambda: Response(b'{"kind": "Po', media_type="application/json"), "get pods/shop/cart-1"),
        (lambda: Response(status_code=302, headers={"location": "/elsewhere"}), "get pods/shop/cart-1"),
    ],
    ids=["overloaded", "internal", "gateway", "html", "other-json", "cut-off", "redirect"],
)
async def test_a_server_in_trouble_is_unavailable(response: Callable[[], Response], said: str, tmp_path: Path) -> None:
    """Whatever is no answer of a Kubernetes API is an error that quotes it."""
    async with answering(response, tmp_path) as cluster:
        with pytest.raises(ClusterUnavailable) as raised:
            await cluster.read(POD)
    assert said in str(raised.value)


async def test_an_overloaded_server_does_not_refuse_an_eviction_for_good(tmp_path: Path) -> None:
    """429 is a disruption budget's word only in a Status; the overload filter answers in plain text."""
    eviction = Evict(ref=POD, uid="uid", controller="ReplicaSet cart-1")
    async with answering(lambda: PlainTextResponse("Too many requests", 429), tmp_path) as cluster:
        with pytest.raises(ClusterUnavailable, match="overloaded"):
            await cluster.evict(eviction)


async def test_an_answer_that_is_no_list_is_not_an_empty_list(tmp_path: Path) -> None:
    """A server that answers `{}` to everything must not look like a cluster without pods."""
    async with answering(lambda: JSONResponse({}), tmp_path, timeout_s=5) as cluster:
        with pytest.raises(ClusterUnavailable, match="is this a Kubernetes API"):
            await cluster.snapshot()


# --- the kubeconfig


CONTEXTS = {
    "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
    "contexts": [{"name": "one", "context": {"cluster": "c"}}, {"name": "two", "context": {"cluster": "c"}}],
}


@pytest.mark.parametrize(
    ("text", "context", "said"),
    [
        (None, None, "there is no kubeconfig"),
        ("clusters: [", None, "cannot be read"),
        ("just a sentence", None, "cannot be read"),
        ("", None, "cannot be read"),
        ("\x00\x01", None, "cannot be read"),
        ("clusters: 2026-13-01", None, "cannot be read"),
        ("[" * 2000, None, "cannot be read"),
        (json.dumps({"clusters": [{"name": "c"}]}), None, "clusters/0/cluster: Field required"),
        (json.dumps({"contexts": "none"}), None, "contexts: Input should be a valid list"),
        (json.dumps(CONTEXTS), None, "has no current-context: set PRIMUM_KUBE_CONTEXT; its contexts: one, two"),
        (json.dumps(CONTEXTS), "three", "has no context 'three': correct PRIMUM_KUBE_CONTEXT; its contexts: one, two"),
        (json.dumps({**CONTEXTS, "clusters": []}), "one", "cannot be used"),
    ],
    ids=[
        "missing", "bad-yaml", "a-sentence", "empty", "binary", "bad-date", "brackets", "half-a-cluster", "wrong-type",
        "no-context", "unknown-context", "unknown-cluster",
    ],
)  # fmt: skip
async def test_a_kubeconfig_that_cannot_be_used_says_why_and_what_to_do(
    text: str | None, context: str | None, said: str, tmp_path: Path
) -> None:
    """Never a traceback of the library's innards."""
    path = tmp_path / "kubeconfig"
    if text is not None:
        path.write_text(text)
    with pytest.raises(PrimumError) as raised:
        async with connect(path, context, NAME, timeout_s=5):
            pass
    assert said in str(raised.value)
    assert str(path) in str(raised.value)
    assert raised.value.advice


async def test_certificates_that_are_none_are_said_to_be_so(tmp_path: Path) -> None:
    """A kubeconfig copied without its certificate files."""
    path = write_kubeconfig(tmp_path / "kubeconfig", "https://127.0.0.1:1", ANYBODY)
    config = json.loads(path.read_text())
    (tmp_path / "ca.crt").write_text("no certificate")
    for authority in ("ca.crt", "missing.crt"):
        config["clusters"][0]["cluster"]["certificate-authority"] = authority
        path.write_text(json.dumps(config))
        with pytest.raises(ClusterUnavailable, match="cannot be used"):
            async with connect(path, None, NAME, timeout_s=5):
                pass


async def test_without_any_kubeconfig_outside_a_pod_it_says_how_to_name_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither KUBECONFIG, nor ~/.kube/config, nor a ServiceAccount."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(ClusterUnavailable, match=r"no kubeconfig was found.*PRIMUM_KUBECONFIG"):
        async with connect(None, None, NAME, timeout_s=5):
            pass


async def test_in_a_pod_without_a_kubeconfig_it_is_the_pods_service_account(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The token and the certificates that the kubelet mounts, and the address in the environment."""
    for name, text in (("TOKEN", "mounted"), ("CERT", "no certificate, but a file")):
        path = tmp_path / name
        path.write_text(text)
        monkeypatch.setattr(f"kubernetes.aio.config.incluster_config.SERVICE_{name}_FILENAME", str(path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    configuration = await kubernetes_config.load(None, None)
    assert configuration.host == "https://10.96.0.1:443"
    assert await configuration.get_api_key_with_prefix("BearerToken") == "bearer mounted"
    assert configuration.ssl_ca_cert == str(tmp_path / "CERT")


async def test_without_a_setting_it_uses_what_kubectl_uses(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """KUBECONFIG, which may name several files, of which some need not exist."""
    path = lab.kubeconfig(tmp_path / "kubeconfig")
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path / 'nothing'}:{path}")
    async with connect(None, "lab", NAME, timeout_s=5) as cluster:
        assert (await cluster.snapshot()).deployments


async def test_an_exec_plugins_expired_token_is_renewed(lab: Lab, tmp_path: Path) -> None:
    """Sign-in helpers of managed clusters hand out tokens that end; a service runs longer than they do."""
    runs = tmp_path / "runs"
    plugin = tmp_path / "plugin.py"
    plugin.write_text(
        "import json, sys\n"
        f"open({str(runs)!r}, 'a').write('x')\n"
        f"status = {{'token': {lab.token!r}, 'expirationTimestamp': '2020-01-01T00:00:00Z'}}\n"
        "json.dump({'apiVersion': 'client.authentication.k8s.io/v1', 'kind': 'ExecCredential', 'status': status}, "
        "sys.stdout)\n"
    )
    plugin_call = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": sys.executable,
        "args": [str(plugin)],
        "interactiveMode": "Never",
    }
    path = write_kubeconfig(tmp_path / "kubeconfig", lab.url, {"exec": plugin_call})
    async with connect(path, None, NAME, timeout_s=10) as cluster:
        await cluster.read(deployment_of(lab))
        await cluster.read(deployment_of(lab))
    assert len(runs.read_text()) >= 3
