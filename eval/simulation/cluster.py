"""The port Cluster in front of the lab's store: the real adapter's own reads, fences and words, without its sockets."""

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

from kubernetes.aio.client import ApiException

from eval.lab import verbs
from eval.lab.errors import ApiError, forbidden
from eval.lab.kinds import KINDS, Obj
from eval.lab.store import Store, Writer
from eval.simulation.process import Process, ProcessClock
from eval.simulation.ways import Way
from shared.adapters.kubernetes_api import KubernetesCluster
from shared.adapters.kubernetes_errors import translated
from shared.adapters.kubernetes_wire import to_object
from shared.domain.change import Evict
from shared.domain.cluster import Kind, Object, Ref
from shared.domain.errors import ClusterUnavailable, ObjectMissing, ObjectMoved, WriteRefused
from shared.domain.frozen import JsonObject
from shared.domain.ids import ClusterName
from shared.domain.snapshot import Snapshot

T = TypeVar("T")
CLUSTER: Final = ClusterName("lab")
TOO_MANY: Final = 429
SAYS_WHEN: Final = "1"
TIMEOUT_S: Final = 10.0


@dataclass(frozen=True)
class Written:
    """A write that landed and was stored: by whom, on which object, what stood there and what stands there now."""

    process: Process
    ref: Ref
    operations: tuple[JsonObject, ...]
    old: Obj
    new: Obj
    evicted: bool = False


@dataclass
class ApiTrouble:
    """What the API server does wrong while it lasts."""

    refuses: frozenset[tuple[str, str]] = frozenset()
    """(service, verb) pairs that RBAC forbids."""
    busy: float = 0.0
    """The share of requests that are answered with 429 or 503."""
    foreign: float = 0.0
    """The share of writes just before which somebody else touches the object."""


@dataclass
class ApiServer:
    """What all processes share: the store, its troubles, the objects as they were last read, and who looks on."""

    store: Store
    way: Way
    on_write: Callable[[Written], None] = lambda _: None
    troubles: list[ApiTrouble] = field(default_factory=list)
    _known: dict[tuple[str, str, str], Object] = field(default_factory=dict)
    _lists: dict[tuple[Kind, str | None], tuple[int, tuple[Object, ...]]] = field(default_factory=dict)

    def admit(self, owner: str, verb: str, kind: Kind) -> None:
        """Raises ApiError if this request is not served now."""
        for trouble in self.troubles:
            if (owner, verb) in trouble.refuses:
                raise forbidden(verb, KINDS[str(kind)], "")
            if trouble.busy and self.way.rng.random() < trouble.busy:
                code = self.way.rng.choice((TOO_MANY, 500, 503))
                raise ApiError(code, "TooManyRequests", "the server is busy")

    def touch(self, ref: Ref) -> None:
        """Somebody else's controller writes an annotation of its own just now."""
        for trouble in self.troubles:
            if trouble.foreign and self.way.rng.random() < trouble.foreign:
                now = self.store.find(str(ref.kind), ref.namespace, ref.name)
                if now is not None:
                    note = {"metadata": {"annotations": {"example.com/seen": now["metadata"]["resourceVersion"]}}}
                    self.store.patch(str(ref.kind), ref.namespace, ref.name, note, Writer("example-controller"))

    def list(self, kind: Kind, namespace: str | None) -> tuple[Object, ...]:
        """All objects of a kind; the same tuple as before if none of the kind moved."""
        changes = self.store.changes(str(kind))
        known = self._lists.get((kind, namespace))
        if known is None or known[0] != changes:
            found = tuple(self.object(kind, one) for one in self.store.list(str(kind), namespace))
            known = self._lists[kind, namespace] = (changes, found)
        return known[1]

    def object(self, kind: Kind, stored: Obj) -> Object:
        """The object as the adapter takes it over; one that did not move is the same value as before."""
        meta = stored["metadata"]
        key = (str(kind), meta.get("namespace", ""), meta["name"])
        known = self._known.get(key)
        if known is None or known.resource_version != meta["resourceVersion"]:
            known = self._known[key] = to_object({**stored, "metadata": dict(meta)}, kind, CLUSTER)
        return known


class FarCluster(KubernetesCluster):
    """One process's client. What it asks lands as one moment; what is between two requests is the adapter's own."""

    def __init__(self, process: Process, server: ApiServer) -> None:
        self._process, self._server = process, server
        self._cluster = CLUSTER
        self._manager = f"primum-{process.owner}"
        self._clock = ProcessClock(process)
        self._timeout_s = TIMEOUT_S

    async def _far(self, verb: str, kind: Kind, name: str, effect: Callable[[], T]) -> T:
        def land() -> T:
            try:
                self._server.admit(str(self._process.owner), verb, kind)
                return effect()
            except ApiError as error:
                raise translated(_over_http(error), f"{verb} {kind}/{name}") from error

        return await self._process.call(self._server.way, f"{verb} {kind}", land)

    async def snapshot(self, namespaces: Collection[str] | None = None) -> Snapshot:
        taken_at = self._clock.now()
        return (await super().snapshot(namespaces)).but(taken_at=taken_at)

    async def _list(self, kind: Kind, namespace: str | None) -> tuple[Object, ...]:
        return await self._far("list", kind, namespace or "", lambda: self._server.list(kind, namespace))

    async def read(self, ref: Ref) -> Object:
        def land() -> Object:
            return self._server.object(ref.kind, self._server.store.get(str(ref.kind), ref.namespace, ref.name))

        return await self._far("get", ref.kind, ref.name, land)

    async def _patch(self, ref: Ref, operations: list[JsonObject], *, rehearsal: bool) -> Object:
        def land() -> Object:
            if not rehearsal:
                self._server.touch(ref)
            store = self._server.store
            old = store.get(str(ref.kind), ref.namespace, ref.name)
            by = Writer(self._manager, dry_run=rehearsal, strict=True)
            new = store.patch(str(ref.kind), ref.namespace, ref.name, operations, by)
            if not rehearsal:
                self._server.on_write(Written(self._process, ref, tuple(operations), old, new))
            return to_object({**new, "metadata": dict(new["metadata"])}, ref.kind, CLUSTER)

        return await self._far("dry-run" if rehearsal else "patch", ref.kind, ref.name, land)

    async def evict(self, evict: Evict) -> None:
        ref = evict.ref

        def land() -> None:
            store = self._server.store
            old = store.get("Pod", ref.namespace, ref.name)
            target = verbs.Target(KINDS["Pod"], ref.namespace, ref.name, "eviction")
            try:
                verbs.evict(store, target, _eviction(evict), Writer(self._manager))
            except ApiError as error:
                if error.code == TOO_MANY:
                    raise WriteRefused(error.message) from error
                raise
            self._server.on_write(Written(self._process, ref, (), old, old, evicted=True))

        try:
            await self._far("evict", ref.kind, ref.name, land)
        except ObjectMissing:
            return
        except ObjectMoved:
            if await self._has_uid(ref, evict.uid):
                raise


def _eviction(evict: Evict) -> Obj:
    return {"kind": "Eviction", "deleteOptions": {"preconditions": {"uid": evict.uid}}}


def _over_http(error: ApiError) -> ApiException:
    answer = ApiException(status=error.code, reason=error.reason)
    answer.body = json.dumps(error.status())
    headers: Mapping[str, str] = {"Retry-After": SAYS_WHEN} if error.code == TOO_MANY else {}
    answer.headers = headers
    return answer


def unreachable(reason: str) -> ClusterUnavailable:
    """What the adapter says when no answer came."""
    return ClusterUnavailable(reason)
