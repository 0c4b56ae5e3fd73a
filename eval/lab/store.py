"""The lab's etcd and API server in one: typed objects, one resourceVersion for all, a log that watches read."""

import random
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from eval.lab import admission, patching
from eval.lab.errors import (
    already_exists,
    bad_request,
    conflict,
    gone,
    invalid,
    not_allowed,
    not_found,
)
from eval.lab.kinds import KINDS, Kind, Obj, Objs

EVENT_LOG_SIZE: Final = 20_000
_SERVER_SET: Final = ("uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds")


@dataclass(frozen=True)
class Writer:
    """Who writes, through which door, and whether it is only a rehearsal."""

    manager: str = "kubectl-edit"
    subresource: str = ""
    dry_run: bool = False
    strict: bool = False


@dataclass(frozen=True)
class Change:
    """One line of the watch log."""

    version: int
    type: str
    kind: str
    obj: Obj
    old: Obj | None


@dataclass(frozen=True)
class Deletion:
    """How to delete, and on what conditions."""

    uid: str | None = None
    version: str | None = None
    grace_s: int | None = None
    orphan: bool = False


ADMIN: Final = Writer()
PLAIN: Final = Deletion()


@lru_cache(maxsize=64)  # all that happens in one tick happens at one time
def rfc3339(at: datetime) -> str:
    """Whole seconds and a Z, as metadata carries them."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _fields(new: Any, old: Any, depth: int = 3) -> Obj:
    """The managedFields tree of what differs; lists count as one field."""
    if not isinstance(new, dict) or depth == 0:
        return {}
    before = old if isinstance(old, dict) else {}
    return {f"f:{key}": _fields(new[key], before.get(key), depth - 1) for key in new if new[key] != before.get(key)}


class Store:
    """All objects. What is stored is never changed in place: readers may keep it, and must not write to it."""

    def __init__(self, rng: random.Random, wall: Callable[[], datetime]) -> None:
        self.wall = wall
        self._rng = rng
        self._version = 1000
        self._objects: dict[str, dict[tuple[str, str], Obj]] = {kind: {} for kind in KINDS}
        self._order: dict[str, list[tuple[str, str]]] = {}  # keys as `list` sorts them, until one comes or goes
        self._log: deque[Change] = deque()
        self._compacted = self._version
        self._subscribers: list[Callable[[Change], None]] = []
        self._changes: Counter[str] = Counter()
        self.kinships = 0  # moves whenever an object comes, goes, or is given other owners

    @property
    def version(self) -> str:
        return str(self._version)

    def changes(self, *kinds: str) -> int:
        """A number that moves whenever an object of these kinds does."""
        return sum(self._changes[kind] for kind in kinds)

    def new_uid(self) -> str:
        return str(uuid.UUID(int=self._rng.getrandbits(128), version=4))

    def find(self, kind: str, namespace: str, name: str) -> Obj | None:
        return self._objects[kind].get((namespace, name))

    def get(self, kind: str, namespace: str, name: str) -> Obj:
        """Return the object. Raises ApiError 404."""
        found = self.find(kind, namespace, name)
        if found is None:
            raise not_found(KINDS[kind], name)
        return found

    def all(self, kind: str) -> Iterable[Obj]:
        return self._objects[kind].values()

    # -- reading the log

    def since(self, kind: str, version: int) -> Sequence[Change]:
        """Changes of a kind after a version. Raises ApiError 410 if the log no longer reaches back that far."""
        if version < self._compacted:
            raise gone(f"too old resource version: {version} ({self._compacted})")
        return [change for change in self._log if change.version > version and change.kind == kind]

    def reaches(self, version: int) -> bool:
        """Whether what stood at a version can still be told."""
        return version >= self._compacted

    def at(self, kind: str, version: int) -> Objs:
        """All objects of a kind as they stood at a version that the log reaches."""
        rows = dict(self._objects[kind])
        for change in reversed(self._log):
            if change.version <= version:
                break
            if change.kind == kind:
                key = (change.obj["metadata"].get("namespace", ""), change.obj["metadata"]["name"])
                if change.old is None:
                    rows.pop(key, None)
                else:
                    rows[key] = change.old
        return list(rows.values())

    def compact(self) -> None:
        """Forget the past, as etcd does every five minutes: older watches and lists in pages are 410 from now on."""
        self._compacted = self._version
        self._log.clear()

    def subscribe(self, on_change: Callable[[Change], None]) -> Callable[[], None]:
        """Call on every change from now on; the returned function ends it."""
        self._subscribers.append(on_change)
        return lambda: self._subscribers.remove(on_change)

    def _emit(self, kind: Kind, what: str, obj: Obj, old: Obj | None) -> None:
        change = Change(self._version, what, kind.name, obj, old)
        self._log.append(change)
        if len(self._log) > EVENT_LOG_SIZE:
            self._compacted = self._log.popleft().version
        self._changes[kind.name] += 1
        if what != "MODIFIED" or _owners(obj) != _owners(old):
            self.kinships += 1
        for subscriber in tuple(self._subscribers):
            subscriber(change)

    # -- writing

    def create(self, kind: str, obj: Obj, by: Writer = ADMIN) -> Obj:
        """Store a new object, with defaults. Raises ApiError 400, 403, 405, 409, 422."""
        row = KINDS[kind]
        if not row.modelled:
            raise not_allowed(f"the lab does not model {row.plural}, so it does not store any")
        new = self._decode(row, obj, by, patched=False)
        meta = new["metadata"]
        if "generateName" in meta and not meta.get("name"):
            meta["name"] = meta["generateName"] + self.suffix()
        if not meta.get("name"):
            raise invalid(row, "", "metadata.name", "Required value: name or generateName is required")
        if row.namespaced and self.find("Namespace", "", meta.get("namespace", "")) is None:
            raise not_found(KINDS["Namespace"], meta.get("namespace", ""))
        key = (meta.get("namespace", ""), meta["name"])
        if key in self._objects[kind]:
            raise already_exists(row, meta["name"])
        admission.validate(row, new, None)
        self._admit_pod(row, new)
        self._allocate(row, new)
        for field in ("resourceVersion", "deletionTimestamp", "managedFields"):
            meta.pop(field, None)
        meta["uid"] = self.new_uid()
        meta["creationTimestamp"] = rfc3339(self.wall())
        if row.has_generation:
            meta["generation"] = 1
        meta["managedFields"] = self._managed(None, new, by)
        return self._put(row, key, new, None, dry_run=by.dry_run)

    def plant(self, kind: str, obj: Obj) -> Obj:
        """Store an object with a past of its own (creationTimestamp, status), for the world before the first tick."""
        made = self.create(kind, obj)
        meta = {**made["metadata"], **{key: obj["metadata"][key] for key in _SERVER_SET if key in obj["metadata"]}}
        planted = {**made, "metadata": meta}
        if "status" in obj:
            planted["status"] = obj["status"]
        return self._put(KINDS[kind], (meta.get("namespace", ""), meta["name"]), planted, made, dry_run=False)

    def replace(self, kind: str, namespace: str, name: str, obj: Obj, by: Writer = ADMIN) -> Obj:
        """Write a whole object, if its resourceVersion (when given) is still the stored one."""
        return self._update(self.get(kind, namespace, name), obj, by, patched=False)

    def patch(self, kind: str, namespace: str, name: str, body: Sequence[Any] | Obj, by: Writer = ADMIN) -> Obj:
        """Apply a JSON Patch (a list) or a merge patch (a dict)."""
        old = self.get(kind, namespace, name)
        new = patching.merge_patch(old, body) if isinstance(body, dict) else patching.json_patch(old, body)
        return self._update(old, new, by, patched=True)

    def patch_strategic(self, kind: str, namespace: str, name: str, body: Obj, by: Writer = ADMIN) -> Obj:
        """Apply a strategic merge patch."""
        old = self.get(kind, namespace, name)
        return self._update(old, patching.strategic_merge(old, body), by, patched=True)

    def set_status(self, kind: str, namespace: str, name: str, status: Obj, manager: str) -> None:
        """What controllers and kubelets report; nothing happens if it says nothing new, or the object went."""
        old = self.find(kind, namespace, name)
        if old is not None and old.get("status") != status:
            self._put(KINDS[kind], (namespace, name), self._by_controller({**old, "status": status}, manager), old)

    def amend(self, kind: str, namespace: str, name: str, manager: str, **parts: Obj) -> Obj | None:
        """Replace whole top-level parts (spec, metadata) on behalf of a controller; spec changes bump generation."""
        old = self.find(kind, namespace, name)
        if old is None or all(old.get(part) == value for part, value in parts.items()):
            return old
        new = {**old, **parts}
        if KINDS[kind].has_generation and new.get("spec") != old.get("spec"):
            new["metadata"] = {**new["metadata"], "generation": old["metadata"]["generation"] + 1}
        return self._put(KINDS[kind], (namespace, name), self._by_controller(new, manager), old)

    def delete(self, kind: str, namespace: str, name: str, by: Writer = ADMIN, how: Deletion = PLAIN) -> Obj:
        """Delete, or begin to (pods end gracefully, finalizers hold). Raises ApiError 404, 409 for preconditions."""
        row, old = KINDS[kind], self.get(kind, namespace, name)
        meta = old["metadata"]
        for wanted, field in ((how.uid, "uid"), (how.version, "resourceVersion")):
            if wanted and wanted != meta[field]:
                why = f"Precondition failed: {field} in precondition: {wanted}, {field} in object meta: {meta[field]}"
                raise conflict(row, name, why)
        if by.dry_run:
            return old
        if how.orphan:
            self._orphan(meta["uid"])
        grace = (
            old["spec"].get("terminationGracePeriodSeconds", 30)
            if how.grace_s is None and kind == "Pod"
            else how.grace_s
        )
        waits = meta.get("finalizers") or (kind == "Pod" and grace and old["spec"].get("nodeName"))
        if not waits:
            return self._remove(row, (namespace, name), old)
        if "deletionTimestamp" in meta:
            return old
        ending = {**meta, "deletionTimestamp": rfc3339(self.wall()), "deletionGracePeriodSeconds": grace or 0}
        return self._put(row, (namespace, name), {**old, "metadata": ending}, old)

    def list(self, kind: str, namespace: str | None = None) -> Objs:
        """All objects of a kind, by namespace and name."""
        rows, order = self._objects[kind], self._order.get(kind)
        if order is None:
            order = self._order[kind] = sorted(rows)
        return [rows[key] for key in order if namespace is None or key[0] == namespace]

    # -- inside

    def suffix(self) -> str:
        """Five letters as generated names end in."""
        return "".join(self._rng.choices("bcdfghjklmnpqrstvwxz2456789", k=5))

    def _decode(self, kind: Kind, obj: Obj, by: Writer, *, patched: bool) -> Obj:
        if not isinstance(obj, dict) or not isinstance(obj.get("metadata"), dict):
            raise bad_request("the object provided is unrecognized (must be of type Object with metadata)")
        if by.strict and (errors := admission.strict_errors(kind, obj)):
            text = "strict decoding error: " + ", ".join(errors)
            raise invalid(kind, obj["metadata"].get("name", ""), "patch", text) if patched else bad_request(text)
        new = admission.normalise(kind, obj)
        new["apiVersion"], new["kind"] = kind.api_version, kind.name
        return new

    def _update(self, old: Obj, obj: Obj, by: Writer, *, patched: bool) -> Obj:
        kind = KINDS[old["kind"]]
        namespace, name = old["metadata"].get("namespace", ""), old["metadata"]["name"]
        new = self._decode(kind, obj, by, patched=patched)
        meta, was = new["metadata"], old["metadata"]
        if meta.get("resourceVersion", was["resourceVersion"]) != was["resourceVersion"]:
            raise conflict(kind, name)
        if meta.get("uid", was["uid"]) != was["uid"]:
            raise conflict(kind, name, f"Precondition failed: UID in precondition: {meta['uid']}")
        if meta.get("name") != name or meta.get("namespace", "") != namespace:
            raise bad_request("the name or namespace of the object does not match the URL")
        for field in (*_SERVER_SET, "resourceVersion", "managedFields"):
            meta.pop(field, None)
            if field in was:
                meta[field] = was[field]
        if kind.has_status:
            new["status"] = old.get("status", {})
        if new == old:
            return old
        admission.validate(kind, new, old)
        if kind.has_generation and new.get("spec") != old.get("spec"):
            meta["generation"] = was["generation"] + 1
        meta["managedFields"] = self._managed(old, new, by)
        if "deletionTimestamp" in meta and not meta.get("finalizers") and kind.name != "Pod" and not by.dry_run:
            return self._remove(kind, (namespace, name), new)
        return self._put(kind, (namespace, name), new, old, dry_run=by.dry_run)

    def _put(self, kind: Kind, key: tuple[str, str], new: Obj, old: Obj | None, *, dry_run: bool = False) -> Obj:
        if dry_run:
            return new
        self._version += 1
        stored = {**new, "metadata": {**new["metadata"], "resourceVersion": str(self._version)}}
        self._objects[kind.name][key] = stored
        if old is None:
            self._order.pop(kind.name, None)
        self._emit(kind, "ADDED" if old is None else "MODIFIED", stored, old)
        return stored

    def _remove(self, kind: Kind, key: tuple[str, str], old: Obj) -> Obj:
        del self._objects[kind.name][key]
        self._order.pop(kind.name, None)
        self._version += 1
        last = {**old, "metadata": {**old["metadata"], "resourceVersion": str(self._version)}}
        self._emit(kind, "DELETED", last, old)
        return last

    def _managed(self, old: Obj | None, new: Obj, by: Writer) -> Objs:
        entries: Objs = [] if old is None else old["metadata"].get("managedFields", [])
        operation = "Update"
        before = old or {"apiVersion": new["apiVersion"], "kind": new["kind"], "metadata": {}}
        touched = _fields({k: v for k, v in new.items() if k != "status"}, before)
        touched.get("f:metadata", {}).pop("f:managedFields", None)
        entry = {
            "manager": by.manager,
            "operation": operation,
            "apiVersion": new["apiVersion"],
            "time": rfc3339(self.wall()),
            "fieldsType": "FieldsV1",
            "fieldsV1": touched,
        }
        kept = [item for item in entries if item["manager"] != by.manager or item.get("subresource")]
        mine = next((item for item in entries if item["manager"] == by.manager and not item.get("subresource")), None)
        if mine:
            entry["fieldsV1"] = {**mine["fieldsV1"], **touched}
        return [*kept, entry]

    def _by_controller(self, new: Obj, manager: str) -> Obj:
        """Controllers are in managedFields once, with the time of their last write."""
        entries = new["metadata"].get("managedFields", [])
        kept = [item for item in entries if item["manager"] != manager or item.get("subresource") != "status"]
        mine = {
            "manager": manager,
            "operation": "Update",
            "apiVersion": new["apiVersion"],
            "time": rfc3339(self.wall()),
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:status": {}},
            "subresource": "status",
        }
        return {**new, "metadata": {**new["metadata"], "managedFields": [*kept, mine]}}

    def _admit_pod(self, kind: Kind, new: Obj) -> None:
        namespace = new["metadata"].get("namespace", "")
        quotas = self.list("ResourceQuota", namespace) if kind.name == "Pod" else []
        if quotas:
            admission.within_quota(kind, new, self.list("Pod", namespace), quotas)

    def _allocate(self, kind: Kind, new: Obj) -> None:
        if kind.name == "Service" and not new.setdefault("spec", {}).get("clusterIP"):
            taken = {service["spec"].get("clusterIP") for service in self.all("Service")}
            free = (f"10.96.{n // 250}.{n % 250 + 1}" for n in range(10, 60_000))
            address = next(ip for ip in free if ip not in taken)
            new["spec"] |= {"clusterIP": address, "clusterIPs": [address]}
        if kind.has_status:
            new.setdefault("status", {"phase": "Pending"} if kind.name == "Pod" else {})

    def _orphan(self, owner: str) -> None:
        for kind, rows in self._objects.items():
            for (namespace, name), obj in list(rows.items()):
                owners = obj["metadata"].get("ownerReferences") or []
                if any(ref["uid"] == owner for ref in owners):
                    meta = {**obj["metadata"], "ownerReferences": [ref for ref in owners if ref["uid"] != owner]}
                    self.amend(kind, namespace, name, "kube-controller-manager", metadata=meta)


def _owners(obj: Obj | None) -> Objs:
    found: Objs = ((obj or {}).get("metadata") or {}).get("ownerReferences") or []
    return found


def rehearse(by: Writer) -> Writer:
    """The same writer, whose writes are answered and not stored."""
    return replace(by, dry_run=True)


def labels_of(obj: Obj) -> Mapping[str, str]:
    """An object's labels, empty if it has none."""
    found: Mapping[str, str] = obj["metadata"].get("labels") or {}
    return found
