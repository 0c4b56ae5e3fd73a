"""The Kubernetes API through the official asyncio client: the port Cluster."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import aiohttp
from kubernetes.aio.client import ApiClient
from kubernetes.aio.dynamic import DynamicClient

from shared.adapters import kubernetes_config
from shared.adapters.kubernetes_errors import Expired, Unanswered
from shared.adapters.kubernetes_logs import KubernetesLogs
from shared.adapters.kubernetes_requests import FIRST_PAUSE_S, LONGEST_PAUSE_S, Requests
from shared.adapters.kubernetes_wire import (
    PLURALS,
    asked_for,
    eviction,
    label,
    operations_of,
    resource_of,
    to_object,
    to_objects,
)
from shared.adapters.system import SystemClock
from shared.domain.change import Edit, Evict, Patch
from shared.domain.cluster import CLUSTER_SCOPED, COREFILE, MARK_POINTER, Kind, Object, Ref
from shared.domain.errors import (
    ChangeConflict,
    ClusterForbidden,
    ClusterUnavailable,
    ObjectMissing,
    ObjectMoved,
    WriteRefused,
)
from shared.domain.frozen import Json, JsonObject
from shared.domain.ids import ClusterName
from shared.domain.path import read
from shared.domain.snapshot import Snapshot, Unread
from shared.ports.clock import Clock

IN_A_SNAPSHOT: Final = (
    Kind.DEPLOYMENT,
    Kind.REPLICA_SET,
    Kind.POD,
    Kind.SERVICE,
    Kind.ENDPOINT_SLICE,
    Kind.EVENT,
    Kind.RESOURCE_QUOTA,
    Kind.NETWORK_POLICY,
    Kind.VALIDATING_WEBHOOKS,
    Kind.MUTATING_WEBHOOKS,
    Kind.NODE,
)
ONLY_EXPLAINING: Final = frozenset(
    {Kind.RESOURCE_QUOTA, Kind.NETWORK_POLICY, Kind.CONFIG_MAP, Kind.VALIDATING_WEBHOOKS, Kind.MUTATING_WEBHOOKS}
)
"""What only explains further what other objects show: where it may not be read, nothing is hidden."""
PAGE_SIZE: Final = 500
LIMITS: Final = (PAGE_SIZE, PAGE_SIZE, None)
"""Of the tries to read a list: if the snapshot that its pages are of is compacted away, it is read anew, at last in
one piece, which cannot expire."""
TRIES: Final = 20
"""How often an object that controllers move is read again."""
PARALLEL_LISTS: Final = 16
"""Below the connection pool's 100: a request that waits for a connection spends its timeout on waiting."""


@asynccontextmanager
async def connect(  # noqa: PLR0913 - where it is, as whom, and by whose time
    kubeconfig: Path | None,
    context: str | None,
    cluster: ClusterName,
    timeout_s: float,
    *,
    manager: str = "primum-mitigator",
    clock: Clock | None = None,
) -> AsyncIterator["KubernetesCluster"]:
    """Open a client of one cluster; without a kubeconfig, what kubectl would use, else the pod's ServiceAccount.

    `timeout_s` bounds every request, with all that is waited and sent again for it. `manager` is the name in the
    objects' managedFields, `clock` the time that snapshots carry. Nothing is asked of the API server yet.
    Raises ClusterUnavailable for a kubeconfig that cannot be used.
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
        requests = Requests(api.configuration, partial(kubernetes_config.load, kubeconfig, context), timeout_s)
        yield KubernetesCluster(DynamicClient(api), cluster, requests, clock or SystemClock(), manager=manager)


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
        self,
        client: DynamicClient,
        cluster: ClusterName,
        requests: Requests,
        clock: Clock,
        *,
        manager: str = "primum-mitigator",
    ) -> None:
        self._client = client
        self._cluster = cluster
        self._requests, self._clock = requests, clock
        self._timeout_s = requests.timeout_s
        self._manager = manager
        self.logs = KubernetesLogs(client, requests)
        self._resources = {kind: resource_of(client, kind) for kind in PLURALS}

    @property
    def name(self) -> ClusterName:
        return self._cluster

    # --- reading

    async def snapshot(self, namespaces: Collection[str] | None = None) -> Snapshot:
        taken_at = self._clock.now()
        slots = asyncio.Semaphore(PARALLEL_LISTS)
        scopes: Sequence[str | None] = [None] if namespaces is None else sorted(namespaces)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._listed(kind, namespace, slots))
                    for kind in IN_A_SNAPSHOT
                    for namespace in ([None] if kind in CLUSTER_SCOPED else scopes)
                ]
                if namespaces is None or COREFILE[0] in namespaces:
                    tasks.append(group.create_task(self._corefile(slots)))
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from failed.exceptions[0].__cause__
        listed = [task.result() for task in tasks]
        telling = [part for part in listed if part.kind not in ONLY_EXPLAINING]
        refusals = [part.refused for part in telling if part.refused is not None]
        if len(refusals) == len(telling):
            raise refusals[0]
        return Snapshot(
            cluster=self._cluster,
            taken_at=taken_at,
            objects=tuple(seen for part in listed for seen in part.objects),
            looked_at=tuple(_in_words(listed, scopes)),
            unread=tuple(
                Unread(kind=part.kind, namespace=part.namespace, reason=str(part.refused.args[0]))
                for part in telling
                if part.refused is not None
            ),
        )

    async def _listed(self, kind: Kind, namespace: str | None, slots: asyncio.Semaphore) -> _Listed:
        async with slots:
            try:
                return _Listed(kind, namespace, objects=await self._list(kind, namespace))
            except (ClusterForbidden, ObjectMissing) as refused:  # 404: this server does not serve the resource
                return _Listed(kind, namespace, refused=refused)

    async def _corefile(self, slots: asyncio.Semaphore) -> _Listed:
        """What the cluster's DNS is told. Many a cluster has another DNS: then there is none."""
        namespace, name = COREFILE
        async with slots:
            try:
                seen = await self.read(Ref(cluster=self._cluster, kind=Kind.CONFIG_MAP, namespace=namespace, name=name))
            except ObjectMissing:
                return _Listed(Kind.CONFIG_MAP, namespace)
            except ClusterForbidden as refused:
                return _Listed(Kind.CONFIG_MAP, namespace, refused=refused)
            return _Listed(Kind.CONFIG_MAP, namespace, objects=(seen,))

    async def _list(self, kind: Kind, namespace: str | None) -> tuple[Object, ...]:
        *but_the_last, last = LIMITS
        for limit in but_the_last:
            try:
                return await self._pages(kind, namespace, limit)
            except Expired:
                continue
        return await self._pages(kind, namespace, last)

    async def _pages(self, kind: Kind, namespace: str | None, limit: int | None) -> tuple[Object, ...]:
        """Read a list in pages of one snapshot: half of it with half of a later one would be neither."""
        found: list[Object] = []
        more: str | None = None
        while True:
            page = await self._requests.ask(
                asked_for("list", kind, namespace),
                partial(self._page, kind, namespace, limit, more),
                expected=f"{kind}List",
            )
            found.extend(to_objects(page, kind, self._cluster))
            more = page["metadata"].get("continue")
            if not more:
                return tuple(found)

    def _page(self, kind: Kind, namespace: str | None, limit: int | None, more: str | None) -> Awaitable[Any]:
        return self._client.get(self._resources[kind], namespace=namespace, limit=limit, _continue=more, **self._raw())

    async def read(self, ref: Ref) -> Object:
        body = await self._requests.ask(
            asked_for("get", ref.kind, ref.namespace, ref.name),
            lambda: self._client.get(self._resources[ref.kind], name=ref.name, namespace=ref.namespace, **self._raw()),
            expected=ref.kind,
        )
        return to_object(body, ref.kind, self._cluster)

    # --- writing

    async def dry_run(self, patch: Patch, seen: Object, mark: str) -> Object:
        operations = operations_of(patch, seen, mark)
        try:
            return await self._patch(seen.ref, operations, rehearsal=True)
        except WriteRefused as refused:
            raise await self._why_refused(patch, seen, refused) from refused

    async def write(self, patch: Patch, seen: Object, mark: str) -> Object:
        operations = operations_of(patch, seen, mark)
        try:
            return await self._patch_once(seen, operations, partial(self._stands, patch, mark=mark))
        except WriteRefused as refused:
            raise await self._why_refused(patch, seen, refused) from refused

    async def mark(self, seen: Object, mark: str) -> Object:
        if seen.mark == mark:
            # The same mark again is no change, and the server would not bump the version: take it off first.
            seen = await self._mark(seen, {"op": "remove", "path": MARK_POINTER}, leaves=None)
        return await self._mark(seen, label(seen, mark), leaves=mark)

    async def _mark(self, seen: Object, operation: JsonObject, *, leaves: Json) -> Object:
        fence: JsonObject = {"op": "replace", "path": "/metadata/resourceVersion", "value": seen.resource_version}

        async def stands(now: Object) -> Object | None:
            return now if now.mark == leaves else None

        try:
            return await self._patch_once(seen, [fence, operation], stands)
        except WriteRefused as refused:
            raise _moved(seen, await self.read(seen.ref)) or refused from refused

    async def _why_refused(self, patch: Patch, seen: Object, refused: WriteRefused) -> Exception:
        """Read again: a failed `test`, a moved index, an invalid value and an admission rule all look alike."""
        now = await self.read(seen.ref)
        patch.to_json_patch(now)
        return _moved(seen, now) or refused

    async def _patch_once(
        self, seen: Object, operations: list[JsonObject], stands: Callable[[Object], Awaitable[Object | None]]
    ) -> Object:
        """Have a fenced patch carried out once, whatever becomes of the answers.

        Sending it again does no harm: its first operation names the version that was read, so the later of two is
        refused. After a lost answer the object itself is asked: `stands` gives it if what was to be done is done.
        """
        lost: Unanswered | None = None
        pause_s, ends_s = FIRST_PAUSE_S, asyncio.get_running_loop().time() + self._timeout_s
        while True:
            refused: ObjectMoved | WriteRefused | None = None
            try:
                return await self._patch(seen.ref, operations, rehearsal=False)
            except Unanswered as unanswered:
                lost = unanswered
            except (ObjectMoved, WriteRefused) as refusal:
                if lost is None:
                    raise
                refused = refusal
            now = await self._read_back(seen.ref, lost)
            if now.resource_version != seen.resource_version:
                if (done := await stands(now)) is not None:
                    return done
                raise ObjectMoved(f"{_moved(seen, now)}, and not by us") from lost
            if refused is not None:
                raise refused
            if asyncio.get_running_loop().time() + pause_s >= ends_s:
                raise lost
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _read_back(self, ref: Ref, lost: Unanswered) -> Object:
        try:
            return await self.read(ref)
        except ClusterUnavailable as failure:
            said = f"{lost.args[0]}; whether it was carried out is not known: {failure.args[0]}"
            raise Unanswered(said, advice=failure.advice) from failure

    async def _stands(self, patch: Patch, now: Object, mark: str) -> Object | None:
        """Return the object if it bears the mark and the patch's values, as the server would store them."""
        for _ in range(TRIES):
            if now.mark != mark:
                return None
            rest = tuple(
                Edit(path=edit.path, before=found, after=edit.after)
                for edit in patch.edits
                if (found := read(now.body, edit.path)) != edit.after
            )
            if not rest:
                return now
            try:  # `0.5` stands there as `500m`: does the server hold the two for the same?
                same = Patch(ref=patch.ref, edits=rest)
                stored = await self._patch(now.ref, operations_of(same, now, mark), rehearsal=True)
            except ObjectMoved:
                now = await self.read(now.ref)
                continue
            except (ChangeConflict, WriteRefused):
                return None
            return now if all(read(stored.body, edit.path) == edit.before for edit in rest) else None
        return None

    async def _patch(self, ref: Ref, operations: list[JsonObject], *, rehearsal: bool) -> Object:
        body = await self._requests.ask(
            asked_for("patch", ref.kind, ref.namespace, ref.name),
            lambda: self._client.patch(
                self._resources[ref.kind],
                name=ref.name,
                namespace=ref.namespace,
                body=operations,
                content_type="application/json-patch+json",
                dry_run="All" if rehearsal else None,
                field_manager=self._manager,
                # Without Strict an unknown field vanishes in silence.
                query_params=[("fieldValidation", "Strict")],
                **self._raw(),
            ),
            expected=ref.kind,
            repeatable=rehearsal,
        )
        return to_object(body, ref.kind, self._cluster)

    async def evict(self, evict: Evict) -> None:
        ref = evict.ref
        try:
            # Repeatable: it names the pod by its UID, and a pod that goes already may be evicted again.
            await self._requests.ask(
                asked_for("evict", ref.kind, ref.namespace, ref.name),
                lambda: self._client.request(
                    "post",
                    f"{self._resources[ref.kind].path(name=ref.name, namespace=ref.namespace)}/eviction",
                    body=eviction(evict),
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

    def _raw(self) -> Mapping[str, Any]:
        """Arguments of every request: no wrapping of the answer (slow, and it hides what is absent), and the limit."""
        return {"serialize": False, "_request_timeout": aiohttp.ClientTimeout(total=self._timeout_s)}


def _moved(seen: Object, now: Object) -> ObjectMoved | None:
    if now.resource_version == seen.resource_version:
        return None
    return ObjectMoved(f"{seen.ref} is at version {now.resource_version}, not {seen.resource_version}")


def _in_words(listed: list[_Listed], scopes: Sequence[str | None]) -> list[str]:
    """A sentence a kind, and one for each list that could not be had."""
    everywhere = "all namespaces" if None in scopes else ", ".join(map(str, scopes)) or "no namespace"
    words = []
    for kind in IN_A_SNAPSHOT:
        parts = [part for part in listed if part.kind is kind]
        if any(part.refused is None for part in parts):
            where = "" if kind in CLUSTER_SCOPED else f" in {everywhere}"
            words.append(f"{sum(len(part.objects) for part in parts)} {kind.plural}{where}")
    words.extend(str(seen.ref) for part in listed if part.kind is Kind.CONFIG_MAP for seen in part.objects)
    words.extend(
        f"{'done without' if part.kind in ONLY_EXPLAINING else 'not read'}: {part.kind.plural} ({part.refused})"
        for part in listed
        if part.refused is not None
    )
    return words
