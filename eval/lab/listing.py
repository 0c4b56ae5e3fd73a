"""Lists as the API server answers them: in pages of one snapshot, at a version that the caller may name.

The rules are those of Kubernetes' "API concepts: resource versions"; the words are those of its sources (1.34).
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from eval.lab.errors import ApiError, bad_options, bad_request, gone, not_yet
from eval.lab.kinds import Kind, Obj, Objs
from eval.lab.selectors import Match
from eval.lab.store import Store

TOKEN_VERSION: Final = "meta.k8s.io/v1"  # noqa: S105 - the version word inside a continue token
WHATEVER: Final = -1
"""The version in the token of a list that goes on although its snapshot is gone."""
TOO_OLD: Final = "The resourceVersion for the provided list is too old."
INCONSISTENT: Final = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
    "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
    "deleted between the time the first chunk was returned and now may show up in the list."
)


@dataclass(frozen=True)
class _Wanted:
    limit: int
    more: str
    version: str
    match: str
    selected: bool


@dataclass(frozen=True)
class _Chunk:
    """Where in which snapshot a page begins."""

    objects: Objs
    version: int
    start: str = ""


def list_objects(store: Store, kind: Kind, namespace: str | None, query: Mapping[str, str], match: Match) -> Obj:
    """One page of a list. Raises ApiError 400, 410, 422, 504. As on the real server, items have no kind of their own.

    `limit` does not count for resourceVersion 0: that is answered from the watch cache, whole.
    """
    wanted = _wanted(query)
    chunk = _chunk(store, kind, wanted)
    found = sorted(
        ((_key(obj, namespace), obj) for obj in chunk.objects if _in(obj, namespace) and match(obj)),
        key=lambda pair: pair[0],
    )
    left = [(key, obj) for key, obj in found if key >= chunk.start]
    size = len(left) if wanted.version == "0" or not wanted.limit else wanted.limit
    page, rest = left[:size], left[size:]
    meta: Obj = {"resourceVersion": str(chunk.version)}
    if rest:
        meta["continue"] = encode(chunk.version, page[-1][0] + "\0")
        if not wanted.selected:  # with a selector the server does not know how many will match
            meta["remainingItemCount"] = len(rest)
    items = [{name: value for name, value in obj.items() if name not in {"kind", "apiVersion"}} for _, obj in page]
    return {"kind": f"{kind.name}List", "apiVersion": kind.api_version, "metadata": meta, "items": items}


def _wanted(query: Mapping[str, str]) -> _Wanted:
    version, match, more = (
        query.get("resourceVersion", ""),
        query.get("resourceVersionMatch", ""),
        query.get("continue"),
    )
    if match:
        if not version:
            raise _forbidden("resourceVersionMatch is forbidden unless resourceVersion is provided")
        if more:
            raise _forbidden("resourceVersionMatch is forbidden when continue is provided")
        if match not in {"Exact", "NotOlderThan"}:
            values = 'supported values: "Exact", "NotOlderThan", ""'
            raise bad_options("resourceVersionMatch", f'Unsupported value: "{match}": {values}')
        if match == "Exact" and version == "0":
            raise _forbidden('resourceVersionMatch "exact" is forbidden for resourceVersion "0"')
    if more and version not in {"", "0"}:
        raise bad_request("specifying resource version is not allowed when using continue")
    if query.get("sendInitialEvents"):
        raise bad_options("sendInitialEvents", "Forbidden: sendInitialEvents is forbidden for list")
    return _Wanted(
        limit=number(query.get("limit") or "0"),
        more=more or "",
        version=version,
        match=match,
        selected=bool(query.get("labelSelector") or query.get("fieldSelector")),
    )


def _forbidden(why: str) -> ApiError:
    return bad_options("resourceVersionMatch", f"Forbidden: {why}")


def number(text: str) -> int:
    """A whole number of a parameter. Raises ApiError 400."""
    try:
        return int(text)
    except ValueError as error:
        raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from error


def _chunk(store: Store, kind: Kind, wanted: _Wanted) -> _Chunk:
    now = int(store.version)
    if wanted.more:
        version, start = decode(wanted.more)
        if version == WHATEVER:
            return _Chunk(list(store.all(kind.name)), now, start)
        if not store.reaches(version):
            raise gone(INCONSISTENT, encode(WHATEVER, start))
        return _Chunk(store.at(kind.name, version), version, start)
    asked = number(wanted.version or "0")
    if asked > now:
        raise not_yet(asked, now)
    # A limit without a word on the match means this very version, for the sake of old clients.
    if asked and (wanted.match == "Exact" or (wanted.limit and not wanted.match)):
        if not store.reaches(asked):
            raise gone(TOO_OLD)
        return _Chunk(store.at(kind.name, asked), asked)
    return _Chunk(list(store.all(kind.name)), now)


def encode(version: int, start: str) -> str:
    """A continue token: the snapshot's version, and the first key of the next page."""
    said = json.dumps({"v": TOKEN_VERSION, "rv": version, "start": start})
    return base64.urlsafe_b64encode(said.encode()).decode().rstrip("=")


def decode(token: str) -> tuple[int, str]:
    """Version and first key of a continue token. Raises ApiError 400."""
    try:
        said = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        version, start = int(said["rv"]), str(said["start"])
    except (binascii.Error, ValueError, TypeError, KeyError) as error:
        raise bad_request(f"continue key is not valid: {error}") from error
    if not version or not start:
        raise bad_request("continue key is not valid: encoded start key empty (version meta.k8s.io/v1)")
    return version, start


def _in(obj: Obj, namespace: str | None) -> bool:
    return namespace is None or obj["metadata"].get("namespace", "") == namespace


def _key(obj: Obj, namespace: str | None) -> str:
    """The order of a list, as etcd keeps its keys below the prefix that is listed."""
    meta = obj["metadata"]
    return f"{meta['namespace']}/{meta['name']}" if namespace is None and "namespace" in meta else str(meta["name"])
