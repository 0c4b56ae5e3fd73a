"""The Kubernetes API through the official asyncio client: the port Cluster."""

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import aiohttp
from kubernetes.aio.client import ApiClient, ApiException
from kubernetes.aio.config import ConfigException
from kubernetes.aio.dynamic import DynamicClient, Resource
from pydantic_core import from_json

from shared.adapters import kubernetes_config
from shared.adapters.kubernetes_errors import status_of, translated
from shared.domain.change import Evict, Patch
from shared.domain.cluster import CLUSTER_SCOPED, MARK, Kind, Object, Ref
from shared.domain.errors import ClusterForbidden, ClusterUnavailable, ObjectMissing, ObjectMoved, WriteRefused
from shared.domain.frozen import JsonObject
from shared.domain.ids import ClusterName
from shared.domain.path import join
from shared.domain.snapshot import Snapshot

PLURALS: Final[Mapping[Kind, tuple[str, str]]] = {
    Kind.NAMESPACE: ("", "namespaces"),
    Kind.NODE: ("", "nodes"),
    Kind.POD: ("", "pods"),
    Kind.SERVICE: ("", "services"),
    Kind.EVENT: ("", "events"),
    Kind.ENDPOINT_SLICE: ("discovery.k8s.io", "endpointslices"),
    Kind.DEPLOYMENT: ("apps", "deployments"),
    Kind.REPLICA_SET: ("apps", "replicasets"),
}
"""Group and plural; all are `v1` since Kubernetes 1.21. A table instead of discovery: discovery costs six requests
before the first answer, and its cache file is named after the host, so clusters behind one address would share it."""
IN_A_SNAPSHOT: Final = (
    Kind.DEPLOYMENT,
    Kind.REPLICA_SET,
    Kind.POD,
    Kind.SERVICE,
    Kind.ENDPOINT_SLICE,
    Kind.EVENT,
    Kind.NODE,
)
PAGE_SIZE: Final = 500
PARALLEL_LISTS: Final = 16
"""Below the connection pool's 100: a request that waits for a connection spends its timeout on waiting."""
LABELS: Final = "/metadata/labels"
MARK_POINTER: Final = LABELS + join(MARK)


@asynccontextmanager
async def connect(
    kubeconfig: Path | None,
    context: str | None,
    cluster: ClusterName,
    timeout_s: float,
    *,
    manager: str = "primum-mitigator",
) -> AsyncIterator["KubernetesCluster"]:
    """Open a client of one cluster; without a kubeconfig, what kubectl would use, else the pod's ServiceAccount.

    `timeout_s` bounds every request. `manager` is the name in the objects' managedFields. Nothing is asked of the
    API server yet. Raises ClusterUnavailable for a kubeconfig that cannot be used.
    """
    try:
        async with asyncio.timeout(timeout_s):
            configuration = await kubernetes_config.load(kubeconfig, context)
        api = ApiClient(configuration)
    except TimeoutError as error:
        raise ClusterUnavailable(f"signing in took more than {timeout_s:g} s") from error
    except OSError as error:
        raise ClusterUnavailable(f"the certificates of the kubeconfig cannot be used: {error}") from error
    api.user_agent = manager
    async with api:
        yield KubernetesCluster(DynamicClient(api), cluster, timeout_s, manager=manager)


@dataclass(frozen=True)
class _Listed:
    """One list of a snapshot, or why it could not be had."""

    kind: Kind
    namespace: str | None
    objects: tuple[Object, ...] = ()
    refused: ClusterForbidden | ObjectMissing | None = None


class KubernetesCluster:
    """One cluster's API, as the port `Cluster` describes it."""

    def __init__(
        self, client: DynamicClient, cluster: ClusterName, timeout_s: float, *, manager: str = "primum-mitigator"
    ) -> None:
        self._client = client
        self._cluster = cluster
        self._timeout_s = timeout_s
        self._manager = manager
        self._resources = {kind: _resource(client, kind) for kind in PLURALS}

    @property
    def name(self) -> ClusterName:
        return self._cluster

    # --- reading

    async def snapshot(self, namespaces: Collection[str] | None = None) -> Snapshot:
        taken_at = datetime.now(UTC)
        slots = asyncio.Semaphore(PARALLEL_LISTS)
        scopes: Sequence[str | None] = [None] if namespaces is None else sorted(namespaces)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._listed(kind, namespace, slots))
                    for kind in IN_A_SNAPSHOT
                    for namespace in ([None] if kind in CLUSTER_SCOPED else scopes)
                ]
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from failed.exceptions[0].__cause__
        listed = [task.result() for task in tasks]
        refusals = [part.refused for part in listed if part.refused is not None]
        if len(refusals) == len(listed):
            raise refusals[0]
        return Snapshot(
            cluster=self._cluster,
            taken_at=taken_at,
            objects=tuple(seen for part in listed for seen in part.objects),
            looked_at=tuple(_in_words(listed, scopes)),
        )

    async def _listed(self, kind: Kind, namespace: str | None, slots: asyncio.Semaphore) -> _Listed:
        async with slots:
            try:
                return _Listed(kind, namespace, objects=await self._list(kind, namespace))
            except (ClusterForbidden, ObjectMissing) as refused:  # 404: this server does not serve the resource
                return _Listed(kind, namespace, refused=refused)

    async def _list(self, kind: Kind, namespace: str | None) -> tuple[Object, ...]:
        found: list[Object] = []
        more: str | None = None
        while True:
            page = await self._ask(
                _asked("list", kind, namespace),
                self._client.get(
                    self._resources[kind], namespace=namespace, limit=PAGE_SIZE, _continue=more, **self._raw()
                ),
                expected=f"{kind}List",
            )
            found.extend(to_objects(page, kind, self._cluster))
            more = page["metadata"].get("continue")
            if not more:
                return tuple(found)

    async def read(self, ref: Ref) -> Object:
        body = await self._ask(
            _asked("get", ref.kind, ref.namespace, ref.name),
            self._client.get(self._resources[ref.kind], name=ref.name, namespace=ref.namespace, **self._raw()),
            expected=ref.kind,
        )
        return to_object(body, ref.kind, self._cluster)

    # --- writing

    async def dry_run(self, patch: Patch, seen: Object, mark: str) -> Object:
        return await self._write(patch, seen, mark, dry_run=True)

    async def write(self, patch: Patch, seen: Object, mark: str) -> Object:
        return await self._write(patch, seen, mark, dry_run=False)

    async def mark(self, seen: Object, mark: str) -> Object:
        if seen.at(MARK_POINTER) == mark:
            # The same mark again is no change, and the server would not bump the version: take it off first.
            seen = await self._mark(seen, {"op": "remove", "path": MARK_POINTER})
        return await self._mark(seen, _label(seen, mark))

    async def _write(self, patch: Patch, seen: Object, mark: str, *, dry_run: bool) -> Object:
        if patch.ref != seen.ref:
            raise ValueError(f"a patch of {patch.ref} cannot be written to {seen.ref}")
        operations = [*patch.to_json_patch(seen), _label(seen, mark)]
        try:
            return await self._patch(seen.ref, operations, dry_run=dry_run)
        except WriteRefused as refused:
            # A failed `test`, a moved index, an invalid value and an admission rule all look alike: read again.
            now = await self.read(seen.ref)
            patch.to_json_patch(now)
            raise _moved(seen, now) or refused from refused

    async def _mark(self, seen: Object, operation: JsonObject) -> Object:
        fence: JsonObject = {"op": "replace", "path": "/metadata/resourceVersion", "value": seen.resource_version}
        try:
            return await self._patch(seen.ref, [fence, operation], dry_run=False)
        except WriteRefused as refused:
            raise _moved(seen, await self.read(seen.ref)) or refused from refused

    async def _patch(self, ref: Ref, operations: list[JsonObject], *, dry_run: bool) -> Object:
        body = await self._ask(
            _asked("patch", ref.kind, ref.namespace, ref.name),
            self._client.patch(
                self._resources[ref.kind],
                name=ref.name,
                namespace=ref.namespace,
                body=operations,
                content_type="application/json-patch+json",
                dry_run="All" if dry_run else None,
                field_manager=self._manager,
                # Without Strict an unknown field vanishes in silence.
                query_params=[("fieldValidation", "Strict")],
                **self._raw(),
            ),
            expected=ref.kind,
        )
        return to_object(body, ref.kind, self._cluster)

    async def evict(self, evict: Evict) -> None:
        ref = evict.ref
        try:
            await self._ask(
                _asked("evict", ref.kind, ref.namespace, ref.name),
                self._client.request(
                    "post",
                    f"{self._resources[ref.kind].path(name=ref.name, namespace=ref.namespace)}/eviction",
                    body=_eviction(evict),
                    field_manager=self._manager,
                    **self._raw(),
                ),
                expected="Status",
            )
        except ObjectMissing:
            return
        except ObjectMoved:
            if await self._has_uid(ref, evict.uid):
                raise

    async def _has_uid(self, ref: Ref, uid: str) -> bool:
        try:
            return (await self.read(ref)).uid == uid
        except ObjectMissing:
            return False

    # --- asking

    def _raw(self) -> Mapping[str, Any]:
        """Arguments of every request: no wrapping of the answer (slow, and it hides what is absent), and the limit."""
        return {"serialize": False, "_request_timeout": aiohttp.ClientTimeout(total=self._timeout_s)}

    async def _ask(self, asked: str, request: Awaitable[Any], *, expected: str) -> dict[str, Any]:
        try:
            async with asyncio.timeout(self._timeout_s):  # also over a sign-in plugin that hangs
                body = _parsed(await (await request).read())
        except ApiException as error:
            if asked.startswith("evict") and error.status == 429 and (status := status_of(error)):
                raise WriteRefused(f"{asked}: {status.message}") from error
            raise translated(error, asked) from error
        except TimeoutError as error:
            raise ClusterUnavailable(f"{asked}: no answer within {self._timeout_s:g} s") from error
        except (aiohttp.ClientError, OSError, ValueError, ConfigException) as error:
            raise ClusterUnavailable(f"{asked}: {error}") from error
        if not isinstance(body, dict) or body.get("kind") != expected:
            raise ClusterUnavailable(f"{asked}: the answer is no {expected}; is this a Kubernetes API?")
        return body


def _parsed(raw: bytes) -> Any:
    """Parse JSON with the collector at rest: there are no cycles in it, and collecting was five sixths of the time."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        return from_json(raw)
    finally:
        if collecting:
            gc.enable()


def to_object(body: dict[str, Any], kind: Kind, cluster: ClusterName) -> Object:
    """Take over an object as the API server sent it; the body is kept, not copied."""
    metadata = body["metadata"]
    if kind is not Kind.DEPLOYMENT:  # there they tell whose the last rollout was; elsewhere they are most of the bytes
        metadata.pop("managedFields", None)
    # Not validated: it was parsed from JSON a moment ago, and walking 5,000 pods again costs more than parsing them.
    return Object.model_construct(
        ref=Ref(cluster=cluster, kind=kind, namespace=metadata.get("namespace", ""), name=metadata["name"]),
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        body=body,
    )


def to_objects(page: dict[str, Any], kind: Kind, cluster: ClusterName) -> list[Object]:
    """Take over a page of a list; its items carry neither kind nor apiVersion, so they get them here."""
    api_version = page["apiVersion"]
    return [
        to_object({"apiVersion": api_version, "kind": str(kind), **item}, kind, cluster) for item in page["items"] or ()
    ]


def _resource(client: DynamicClient, kind: Kind) -> Resource:
    group, plural = PLURALS[kind]
    return Resource(
        prefix="apis" if group else "api",
        group=group,
        api_version="v1",
        kind=str(kind),
        namespaced=kind not in CLUSTER_SCOPED,
        name=plural,
        client=client,
    )


def _asked(verb: str, kind: Kind, namespace: str | None, name: str = "") -> str:
    return f"{verb} {'/'.join(part for part in (PLURALS[kind][1], namespace, name) if part)}"


def _label(seen: Object, mark: str) -> JsonObject:
    """The operation that sets the mark; `add` to a map replaces. The version's fence stands before it."""
    if isinstance(seen.at(LABELS), dict):
        return {"op": "add", "path": MARK_POINTER, "value": mark}
    return {"op": "add", "path": LABELS, "value": {MARK: mark}}


def _moved(seen: Object, now: Object) -> ObjectMoved | None:
    if now.resource_version == seen.resource_version:
        return None
    return ObjectMoved(f"{seen.ref} is at version {now.resource_version}, not {seen.resource_version}")


def _eviction(evict: Evict) -> JsonObject:
    return {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": evict.ref.name, "namespace": evict.ref.namespace},
        "deleteOptions": {"preconditions": {"uid": evict.uid}},
    }


def _in_words(listed: list[_Listed], scopes: Sequence[str | None]) -> list[str]:
    """A sentence a kind, and one for each list that could not be had."""
    everywhere = "all namespaces" if None in scopes else ", ".join(map(str, scopes)) or "no namespace"
    words = []
    for kind in IN_A_SNAPSHOT:
        parts = [part for part in listed if part.kind is kind]
        if any(part.refused is None for part in parts):
            where = "" if kind in CLUSTER_SCOPED else f" in {everywhere}"
            words.append(f"{sum(len(part.objects) for part in parts)} {kind}s{where}")
    words.extend(f"not read: {part.kind}s ({part.refused})" for part in listed if part.refused is not None)
    return words
