"""What a person with kubectl can do to a cluster: the same code over the lab's API and over a real one's."""

import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
from kubernetes.aio.client import Configuration

from eval.lab.kinds import Obj
from shared.adapters import kubernetes_config
from shared.adapters.loopback import PLAIN

MANAGER: Final = "kubectl-edit"
"""As which the cluster records these writes: a person's."""
TIMEOUT_S: Final = 10.0
_CORE: Final = "/api/v1"
_STRATEGIC: Final = "application/strategic-merge-patch+json"
_MERGE: Final = "application/merge-patch+json"
_JSON: Final = "application/json-patch+json"


class OperatorRefusedError(Exception):
    """The API server's no, in its own words."""

    def __init__(self, asked: str, answer: httpx.Response) -> None:
        body = _status(answer)
        self.code = answer.status_code
        self.reason: str = body.get("reason", "")
        super().__init__(f"{asked}: {answer.status_code} {body.get('message') or answer.text[:200]}")


def _status(answer: httpx.Response) -> Mapping[str, Any]:
    try:
        body = answer.json()
    except ValueError:  # a proxy's page, or plain text
        return {}
    return body if isinstance(body, dict) else {}


@dataclass(frozen=True)
class Resource:
    """Where a kind is served, and what may be done with it."""

    kind: str
    root: str
    """`/api/v1` or `/apis/GROUP/VERSION`."""
    plural: str
    namespaced: bool
    verbs: frozenset[str]

    @property
    def api_version(self) -> str:
        return self.root.removeprefix("/apis/").removeprefix("/api/")

    def path(self, namespace: str | None, name: str = "") -> str:
        """The path of an object, or without a name of all of them; of all namespaces if that is None."""
        within = f"/namespaces/{namespace}" if self.namespaced and namespace is not None else ""
        return f"{self.root}{within}/{self.plural}" + (f"/{name}" if name else "")


class Operator:
    """Kinds are named as manifests name them; the cluster says itself which there are. Raises OperatorRefusedError."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self._kinds: dict[str, Resource] = {}

    async def kinds(self) -> Mapping[str, Resource]:
        """Return all kinds that this cluster serves, each in its group's preferred version; asked for once."""
        if not self._kinds:
            for root in (_CORE, *await self._groups()):
                answer = await self._http.get(root)
                if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
                    continue  # an aggregated API whose server is away: kubectl goes on without it, too
                for row in self._answered(f"get {root}", answer)["resources"]:
                    if "/" not in row["name"]:
                        verbs = frozenset(row["verbs"])
                        known = Resource(row["kind"], root, row["name"], row["namespaced"], verbs)
                        self._kinds.setdefault(known.kind, known)  # the core group's Event comes before the newer one
        return self._kinds

    async def _groups(self) -> Sequence[str]:
        found = self._answered("get /apis", await self._http.get("/apis"))
        return [f"/apis/{group['preferredVersion']['groupVersion']}" for group in found["groups"]]

    # --- reading

    async def get(self, kind: str, namespace: str, name: str) -> Obj:
        """Return the object; 404 is a refusal."""
        resource = await self._resource(kind)
        return await self._ask("GET", resource.path(namespace, name))

    async def find(self, kind: str, namespace: str, name: str) -> Obj | None:
        """Return the object, or None where there is none."""
        try:
            return await self.get(kind, namespace, name)
        except OperatorRefusedError as refused:
            if refused.code == httpx.codes.NOT_FOUND:
                return None
            raise

    async def list(self, kind: str, namespace: str | None = None, labels: str = "") -> Sequence[Obj]:
        """Return all objects of a kind, of one namespace or of all, with these labels."""
        resource = await self._resource(kind)
        found = await self._ask("GET", resource.path(namespace), params={"labelSelector": labels} if labels else {})
        return [{"apiVersion": resource.api_version, "kind": kind, **item} for item in found["items"] or ()]

    # --- writing

    async def create(self, kind: str, body: Obj) -> Obj:
        """Create an object from a manifest without kind and version; its metadata say where."""
        resource = await self._resource(kind)
        whole = {"apiVersion": resource.api_version, "kind": kind, **body}
        return await self._ask("POST", resource.path(body["metadata"].get("namespace")), whole)

    async def patch(self, kind: str, namespace: str, name: str, change: Obj) -> Obj:
        """Merge as `kubectl patch` does by default: containers and variables are found by their names."""
        return await self._patch(kind, namespace, name, change, _STRATEGIC)

    async def merge(self, kind: str, namespace: str, name: str, change: Obj) -> Obj:
        """Merge with lists replaced whole; None removes."""
        return await self._patch(kind, namespace, name, change, _MERGE)

    async def edit(self, kind: str, namespace: str, name: str, steps: Sequence[Obj]) -> Obj:
        """Apply a JSON Patch."""
        return await self._patch(kind, namespace, name, steps, _JSON)

    async def replace(self, kind: str, body: Obj) -> Obj:
        """Store this instead of what is there; its resourceVersion, if any, must be current."""
        resource = await self._resource(kind)
        meta = body["metadata"]
        whole = {"apiVersion": resource.api_version, "kind": kind, **body}
        return await self._ask("PUT", resource.path(meta.get("namespace"), meta["name"]), whole)

    async def delete(self, kind: str, namespace: str, name: str, grace_s: int | None = None) -> None:
        """Delete it, with what it owns, in the background; what is gone already is as it should be.

        A pod is given its own grace, unless another one is named.
        """
        resource = await self._resource(kind)
        try:
            grace = {} if grace_s is None else {"gracePeriodSeconds": grace_s}
            await self._ask("DELETE", resource.path(namespace, name), {"propagationPolicy": "Background", **grace})
        except OperatorRefusedError as refused:
            if refused.code != httpx.codes.NOT_FOUND:
                raise

    async def token(self, namespace: str, account: str, lives_s: int) -> str:
        """Return a token with which a ServiceAccount signs in, as `kubectl create token` does; it leaves no object."""
        path = (await self._resource("ServiceAccount")).path(namespace, account)
        asked = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": lives_s},
        }
        token: str = (await self._ask("POST", f"{path}/token", asked))["status"]["token"]
        return token

    async def _patch(self, kind: str, namespace: str, name: str, change: Obj | Sequence[Obj], how: str) -> Obj:
        resource = await self._resource(kind)
        return await self._ask("PATCH", resource.path(namespace, name), change, how=how)

    # --- asking

    async def _resource(self, kind: str) -> Resource:
        """Raises KeyError for a kind that this cluster does not serve."""
        return (await self.kinds())[kind]

    async def _ask(
        self,
        method: str,
        path: str,
        body: Obj | Sequence[Obj] | None = None,
        *,
        params: Mapping[str, str] | None = None,
        how: str = "application/json",
    ) -> Obj:
        by = {} if method in ("GET", "DELETE") else {"fieldManager": MANAGER}
        headers = {"Content-Type": how} if body is not None else {}
        asked = self._http.build_request(method, path, params={**(params or {}), **by}, json=body, headers=headers)
        return self._answered(f"{method.lower()} {path}", await self._http.send(asked))

    def _answered(self, asked: str, answer: httpx.Response) -> Obj:
        if not answer.is_success:
            raise OperatorRefusedError(asked, answer)
        body: Obj = answer.json()
        return body


@asynccontextmanager
async def operating(kubeconfig: Path, context: str | None = None) -> AsyncIterator[Operator]:
    """Open what an administrator's kubeconfig opens. Raises ClusterUnavailable if it cannot be used."""
    configuration = await kubernetes_config.load(kubeconfig, context)
    signed_in = (await configuration.auth_settings()).get("BearerToken")
    async with httpx.AsyncClient(
        base_url=configuration.host,
        headers={"Authorization": str(signed_in["value"])} if signed_in else {},
        verify=_certificates(configuration),
        timeout=TIMEOUT_S,
        trust_env=False,  # what is broken on purpose stands beside us, behind no proxy
    ) as http:
        yield Operator(http)


def _certificates(configuration: Configuration) -> ssl.SSLContext:
    if configuration.host.startswith("http://"):
        return PLAIN
    trusted = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    if configuration.cert_file:
        trusted.load_cert_chain(configuration.cert_file, configuration.key_file)
    return trusted
