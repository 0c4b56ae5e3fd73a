"""The truth about a run, read from the cluster and from the log itself; never what the services say of themselves."""

import copy
from collections.abc import Iterator, Mapping
from typing import Final, TypeAlias

import httpx

from eval.lab.kinds import Obj
from eval.operator import Operator, OperatorRefusedError

Key: TypeAlias = tuple[str, str, str]
Objects: TypeAlias = Mapping[Key, Obj]
"""Objects as written by people, by (kind, namespace, name)."""
AT_LEAST: Final = "$at-least"
"""In a truth: any number from this one on is right."""
_CONTROLLERS_OWN: Final = frozenset(
    {
        "CSINode",
        "CertificateSigningRequest",
        "ControllerRevision",
        "EndpointSlice",
        "Endpoints",
        "Event",
        "IPAddress",
        "Lease",
        "Pod",
        "ReplicaSet",
    }
)
_STAMPS: Final = ("kubectl.kubernetes.io/restartedAt", "deployment.kubernetes.io/revision")
_OURS: Final = "primum.dev/"
_BY_A_CONTROLLER: Final = "node.kubernetes.io/"
"""Taints that follow from conditions and from `unschedulable`."""
_TRIES: Final = 5
"""How often an object that a controller moves is put back anew."""


async def written_objects(operator: Operator) -> Objects:
    """All objects that people write, without status, server-set fields, Primum's marks and restart stamps.

    Which kinds there are, the cluster says.
    """
    found: dict[Key, Obj] = {}
    for kind, known in (await operator.kinds()).items():
        if kind not in _CONTROLLERS_OWN and {"list", "patch"} <= known.verbs:
            for stored in await operator.list(kind):
                meta = stored["metadata"]
                found[kind, meta.get("namespace", ""), meta["name"]] = _as_written(stored)
    return found


def _as_written(stored: Obj) -> Obj:
    body = copy.deepcopy({key: value for key, value in stored.items() if key not in ("metadata", "status")})
    body["metadata"] = _marks(stored["metadata"])
    if isinstance(template := body.get("spec", {}).get("template"), dict):
        template["metadata"] = _marks(template.get("metadata", {}))
    if taints := body.get("spec", {}).pop("taints", None):
        by_people = [taint for taint in taints if not taint["key"].startswith(_BY_A_CONTROLLER)]
        body["spec"] |= {"taints": by_people} if by_people else {}
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


async def restore(operator: Operator, objects: Objects) -> None:
    """Put every object back as an administrator would; for the next scenario, never for a result."""
    found = await written_objects(operator)
    for key, body in objects.items():
        if key not in found:
            await _created(operator, key, body)
        elif found[key] != body:
            await _put_back(operator, key, body)


async def remove_others(operator: Operator, objects: Objects) -> None:
    """Delete what people wrote and what is not among these; for the next scenario, never for a result."""
    for kind, namespace, name in (await written_objects(operator)).keys() - objects.keys():
        await operator.delete(kind, namespace, name)


async def _created(operator: Operator, key: Key, body: Obj) -> None:
    kind, namespace, name = key
    where = {"name": name, **({"namespace": namespace} if namespace else {})}
    await operator.create(kind, {**body, "metadata": {**body["metadata"], **where}})


async def _put_back(operator: Operator, key: Key, body: Obj) -> None:
    kind, namespace, name = key
    for left in reversed(range(_TRIES)):
        now = await operator.get(kind, namespace, name)
        try:
            await operator.replace(kind, {**now, **body, "metadata": {**now["metadata"], **body["metadata"]}})
        except OperatorRefusedError as refused:
            if refused.code != httpx.codes.CONFLICT or not left:
                raise
        else:
            return


def failing_ratio(before: Mapping[str, float], after: Mapping[str, float]) -> float:
    """The share of users' requests between two counts that did not end as they should, with a 2xx in time; 1 of none.

    Counts are by outcome, as `Ground.users` has them.
    """
    counted = between(before, after)
    total = sum(counted.values())
    return sum(count for outcome, count in counted.items() if not is_served(outcome)) / total if total else 1.0


def between(before: Mapping[str, float], after: Mapping[str, float]) -> Mapping[str, float]:
    """What was counted between two counts, by outcome."""
    return {outcome: after[outcome] - before.get(outcome, 0.0) for outcome in after}


def is_served(outcome: str) -> bool:
    """Whether a request ended as it should."""
    return outcome.startswith("2")
