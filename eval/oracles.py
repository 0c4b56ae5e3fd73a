"""The truth about a run, read from the cluster and from the log itself; never what the services say of themselves."""

import copy
from collections.abc import Iterator, Mapping
from typing import Final, TypeAlias

from eval.lab.kinds import KINDS, Obj
from eval.lab.world import World

Key: TypeAlias = tuple[str, str, str]
Objects: TypeAlias = Mapping[Key, Obj]
"""Objects as written by people, by (kind, namespace, name)."""
AT_LEAST: Final = "$at-least"
"""In a truth: any number from this one on is right."""
_CONTROLLERS_OWN: Final = frozenset({"Pod", "ReplicaSet", "EndpointSlice", "Event", "Endpoints"})
_STAMPS: Final = ("kubectl.kubernetes.io/restartedAt", "deployment.kubernetes.io/revision")
_OURS: Final = "primum.dev/"


def written_objects(lab: World) -> Objects:
    """All objects that people write, without status, server-set fields, Primum's marks and restart stamps."""
    found: dict[Key, Obj] = {}
    for kind in KINDS:
        if kind not in _CONTROLLERS_OWN:
            for stored in lab.store.all(kind):
                meta = stored["metadata"]
                found[kind, meta.get("namespace", ""), meta["name"]] = _as_written(stored)
    return found


def _as_written(stored: Obj) -> Obj:
    body = copy.deepcopy({key: value for key, value in stored.items() if key not in ("metadata", "status")})
    body["metadata"] = _marks(stored["metadata"])
    if isinstance(template := body.get("spec", {}).get("template"), dict):
        template["metadata"] = _marks(template.get("metadata", {}))
    if stored["kind"] == "Node":
        body["spec"].pop("taints", None)  # the controller's answer to `unschedulable`
    return body


def _marks(metadata: Obj) -> Obj:
    return {
        place: {key: value for key, value in (metadata.get(place) or {}).items() if not _aside(key)}
        for place in ("labels", "annotations")
    }


def _aside(key: str) -> bool:
    return key.startswith(_OURS) or key in _STAMPS


def residue(truth: Objects, found: Objects) -> list[str]:
    """Every value that differs from the truth, as `Kind/namespace/name path: found, should be`."""
    lines: list[str] = []
    for key in sorted({*truth, *found}):
        name = "/".join(part for part in key if part)
        lines += [f"{name} {line}" for line in _differences(truth.get(key), found.get(key), "")]
    return lines


def _differences(truth: object, found: object, path: str) -> Iterator[str]:
    if isinstance(truth, dict) and AT_LEAST in truth:
        if not (isinstance(found, int) and found >= truth[AT_LEAST]):
            yield f"{path}: {found}, should be at least {truth[AT_LEAST]}"
    elif isinstance(truth, dict) and isinstance(found, dict):
        for key in sorted({*truth, *found}):
            yield from _differences(truth.get(key), found.get(key), f"{path}/{key}")
    elif isinstance(truth, list) and isinstance(found, list) and len(truth) == len(found):
        for index, (one, other) in enumerate(zip(truth, found, strict=True)):
            yield from _differences(one, other, f"{path}/{index}")
    elif truth != found:
        yield f"{path}: {found}, should be {truth}"


def restore(lab: World, objects: Objects) -> None:
    """Put every object back as an administrator would; for the next scenario, never for a result."""
    found = written_objects(lab)
    for key, body in objects.items():
        if found.get(key) != body:
            kind, namespace, name = key
            now = lab.store.get(kind, namespace, name)
            meta = {**now["metadata"], **{place: body["metadata"][place] for place in body["metadata"]}}
            lab.store.replace(kind, namespace, name, {**now, **body, "metadata": meta})


def failing_ratio(before: Mapping[str, float], after: Mapping[str, float]) -> float:
    """The share of users' requests that failed between two readings of `requests_by_code`."""
    counted = {code: after[code] - before.get(code, 0.0) for code in after}
    total = sum(counted.values())
    return sum(count for code, count in counted.items() if code.startswith("5")) / total if total else 1.0


def requests_by_code(lab: World) -> Mapping[str, float]:
    """What users got at the edge so far."""
    flow = lab.traffic.flows[lab.shop.namespace, lab.shop.services["edge"]]
    return dict(flow.totals)
