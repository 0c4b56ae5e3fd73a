"""The discovery documents: which groups, versions and resources there are, from the table of kinds."""

from typing import Final

from eval.lab.errors import ApiError
from eval.lab.kinds import KINDS, Kind, Obj, Objs

VERSION: Final[Obj] = {
    "major": "1",
    "minor": "34",
    "gitVersion": "v1.34.4+lab",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "2026-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "",
    "platform": "lab/any",
}
_READ: Final = ["get", "list", "watch"]
_WRITE: Final = ["create", "delete", "patch", "update"]


def _groups() -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for kind in KINDS.values():
        versions = groups.setdefault(kind.group, [])
        if kind.version not in versions:
            versions.append(kind.version)
    return groups


def core() -> Obj:
    """`/api`."""
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}


def groups() -> Obj:
    """`/apis`."""
    found: Objs = []
    for group, versions in _groups().items():
        if group:
            rows = [{"groupVersion": f"{group}/{version}", "version": version} for version in versions]
            found.append({"name": group, "versions": rows, "preferredVersion": rows[0]})
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": found}


def _rows(kind: Kind) -> Objs:
    rows: Objs = [
        {
            "name": kind.plural,
            "singularName": kind.name.lower(),
            "namespaced": kind.namespaced,
            "kind": kind.name,
            "verbs": _READ + (_WRITE if kind.modelled else []),
        }
    ]
    for name, sub, verb in kind.subresources:
        row: Obj = {
            "name": f"{kind.plural}/{name}",
            "singularName": "",
            "namespaced": kind.namespaced,
            "kind": sub,
            "verbs": [verb],
        }
        if sub == "Eviction":
            row |= {"group": "policy", "version": "v1"}
        rows.append(row)
    return rows


def resources(group: str, version: str) -> Obj:
    """`/api/v1` and `/apis/<group>/<version>`. Raises ApiError 404."""
    kinds = [kind for kind in KINDS.values() if (kind.group, kind.version) == (group, version)]
    if not kinds:
        raise ApiError(404, "NotFound", "the server could not find the requested resource", {})
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": kinds[0].api_version,
        "resources": [row for kind in kinds for row in _rows(kind)],
    }
