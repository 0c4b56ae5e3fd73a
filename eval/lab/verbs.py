"""One function a verb: what the API server does with a request for a resource, over the store."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from eval.lab.errors import ApiError, bad_request, not_allowed
from eval.lab.kinds import KINDS, Kind, Obj
from eval.lab.selectors import Match, field_selector, label_selector
from eval.lab.store import Deletion, Store, Writer, labels_of

PATCH_TYPES: Final = {
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
}


@dataclass(frozen=True)
class Target:
    """What the path names."""

    kind: Kind
    namespace: str | None
    name: str = ""
    subresource: str = ""


def writer(query: Mapping[str, str], user_agent: str) -> Writer:
    """Who writes, from the parameters. Raises 400 for a dryRun value that does not exist."""
    if query.get("dryRun", "All") not in {"All", ""}:
        raise bad_request(f"Unsupported value: {query['dryRun']!r}: supported values: All")
    return Writer(
        manager=query.get("fieldManager") or user_agent.partition("/")[0] or "unknown",
        dry_run=query.get("dryRun") == "All",
        strict=query.get("fieldValidation") == "Strict",
    )


def matcher(query: Mapping[str, str], name: str = "") -> Match:
    """The conjunction of labelSelector, fieldSelector and the name in the path."""
    labels = label_selector(query.get("labelSelector", ""))
    fields = field_selector(query.get("fieldSelector", ""))
    return lambda obj: labels(obj) and fields(obj) and (not name or obj["metadata"]["name"] == name)


def create(store: Store, target: Target, body: Any, by: Writer) -> Obj:
    """POST to a collection."""
    if not isinstance(body, dict) or not isinstance(body.get("metadata"), dict):
        raise bad_request("the body of a create must be an object with metadata")
    meta = body["metadata"]
    if meta.get("namespace", target.namespace) != target.namespace:
        raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
    placed = {**meta, "namespace": target.namespace} if target.kind.namespaced else meta
    return store.create(target.kind.name, {**body, "metadata": placed}, by)


def patch(store: Store, target: Target, body: Any, content_type: str, by: Writer) -> Obj:
    """PATCH, in the type that the content type names; the wrong shape for it is 400, as decoding it would be."""
    kind, namespace = target.kind.name, target.namespace or ""
    wanted = content_type.partition(";")[0].strip()
    if wanted not in PATCH_TYPES:
        raise ApiError(415, "UnsupportedMediaType", f"the body of the request was in an unknown format - {wanted}")
    if (wanted == "application/json-patch+json") is not isinstance(body, list):
        raise bad_request(f"error decoding patch: the body does not fit {wanted}")
    if wanted == "application/strategic-merge-patch+json":
        return store.patch_strategic(kind, namespace, target.name, body, by)
    return store.patch(kind, namespace, target.name, body, by)


def delete(store: Store, target: Target, query: Mapping[str, str], body: Any, by: Writer) -> Obj:
    """DELETE, with the options of the body before those of the query.

    A real server that finds DeleteOptions in the body ignores the query parameters, `dryRun` among them.
    """
    options: Mapping[str, Any] = body if isinstance(body, dict) and body else query
    dry = options.get("dryRun")
    rehearsal = Writer(by.manager, dry_run=dry in ("All", ["All"]))
    conditions = options.get("preconditions") or {}
    grace = options.get("gracePeriodSeconds")
    kind, namespace = target.kind.name, target.namespace or ""
    orphan = options.get("propagationPolicy") == "Orphan" or str(options.get("orphanDependents")).lower() == "true"
    obj = store.delete(
        kind,
        namespace,
        target.name,
        rehearsal if dry else Writer(by.manager, dry_run=by.dry_run and options is query),
        Deletion(
            uid=conditions.get("uid"),
            version=conditions.get("resourceVersion"),
            grace_s=None if grace is None else int(grace),
            orphan=orphan,
        ),
    )
    if kind == "Pod":
        return obj
    details = {"name": target.name, "kind": target.kind.plural, "uid": obj["metadata"]["uid"]}
    if target.kind.group:
        details["group"] = target.kind.group
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}


def _int_or_percent(value: Any, total: int) -> int:
    if isinstance(value, str) and value.endswith("%"):
        return -(-int(value[:-1]) * total // 100)
    return int(value)


def _ready(pod: Obj) -> bool:
    conditions = pod.get("status", {}).get("conditions", [])
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


def _guard(store: Store, pod: Obj) -> None:
    """Refuse (429) an eviction that a PodDisruptionBudget does not allow."""
    namespace = pod["metadata"]["namespace"]
    for budget in store.list("PodDisruptionBudget", namespace):
        wanted = (budget["spec"].get("selector") or {}).get("matchLabels") or {}
        covered = [
            other for other in store.list("Pod", namespace) if wanted and wanted.items() <= labels_of(other).items()
        ]
        if not any(other["metadata"]["uid"] == pod["metadata"]["uid"] for other in covered):
            continue
        healthy = sum(map(_ready, covered))
        if "minAvailable" in budget["spec"]:
            needed = _int_or_percent(budget["spec"]["minAvailable"], len(covered))
        else:
            needed = len(covered) - _int_or_percent(budget["spec"].get("maxUnavailable", 1), len(covered))
        if _ready(pod) and healthy - 1 < needed:
            message = "Cannot evict pod as it would violate the pod's disruption budget."
            raise ApiError(429, "TooManyRequests", message, {"causes": [{"reason": "DisruptionBudget"}]})


def evict(store: Store, target: Target, body: Any, by: Writer) -> Obj:
    """POST of a policy/v1 Eviction."""
    if not isinstance(body, dict) or body.get("kind") != "Eviction":
        raise bad_request("the body must be an Eviction of policy/v1")
    pod = store.get("Pod", target.namespace or "", target.name)
    if "deletionTimestamp" not in pod["metadata"]:  # what goes already is no longer any budget's business
        _guard(store, pod)
    options = body.get("deleteOptions") or {}
    dry = by.dry_run or options.get("dryRun") == ["All"]
    conditions = options.get("preconditions") or {}
    store.delete(
        "Pod",
        target.namespace or "",
        target.name,
        Writer(by.manager, dry_run=dry),
        Deletion(conditions.get("uid"), conditions.get("resourceVersion"), options.get("gracePeriodSeconds")),
    )
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


def refuse_unmodelled(kind: Kind) -> None:
    """Raise 405 for a write to a kind that is only there to be found empty."""
    if not kind.modelled:
        raise not_allowed(f"the lab does not model {kind.plural}: it can only list them, and there are none")


def kind_names() -> tuple[str, ...]:
    """Every kind that the lab serves."""
    return tuple(KINDS)
