"""Label and field selectors, parsed as the API server parses them."""

import re
from collections.abc import Callable, Mapping
from typing import Final

from eval.lab.errors import bad_request
from eval.lab.kinds import Obj

Match = Callable[[Obj], bool]
_SET: Final = re.compile(r"^(?P<key>[^\s!=,()]+)\s+(?P<op>in|notin)\s*\((?P<values>[^)]*)\)$")
_EQUAL: Final = re.compile(r"^(?P<key>[^\s!=,()]+)\s*(?P<op>==|=|!=)\s*(?P<value>[^\s,()]*)$")
_EXISTS: Final = re.compile(r"^(?P<not>!?)\s*(?P<key>[^\s!=,()]+)$")
_FIELDS: Final = {
    "metadata.name",
    "metadata.namespace",
    "spec.nodeName",
    "status.phase",
    "involvedObject.name",
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.uid",
    "reason",
    "type",
}


def _labels(obj: Obj) -> Mapping[str, str]:
    labels: Mapping[str, str] = obj["metadata"].get("labels") or {}
    return labels


def _clause(text: str) -> Callable[[Mapping[str, str]], bool]:
    if found := _SET.match(text):
        key, values = found["key"], {value.strip() for value in found["values"].split(",")}
        if found["op"] == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    if found := _EQUAL.match(text):
        key, value = found["key"], found["value"]
        if found["op"] == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if found := _EXISTS.match(text):
        key, wanted = found["key"], not found["not"]
        return lambda labels: (key in labels) is wanted
    raise bad_request(f"unable to parse requirement: {text!r}")


def label_selector(text: str) -> Match:
    """Return the predicate of a `labelSelector` parameter, set-based ones included. Raises 400."""
    clauses = [_clause(part.strip()) for part in re.split(r",(?![^()]*\))", text) if part.strip()]
    return lambda obj: all(clause(_labels(obj)) for clause in clauses)


def _field(obj: Obj, path: str) -> str:
    here: object = obj
    for part in path.split("."):
        here = here.get(part) if isinstance(here, dict) else None
    return "" if here is None else str(here)


def field_selector(text: str) -> Match:
    """Return the predicate of a `fieldSelector` parameter. Raises 400 for a field that cannot be selected by."""
    wanted: list[tuple[str, str, bool]] = []
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        found = _EQUAL.match(part)
        if not found or found["key"] not in _FIELDS:
            raise bad_request(f'Unable to find "{part}" that match field selector: field label not supported')
        wanted.append((found["key"], found["value"], found["op"] != "!="))
    return lambda obj: all((_field(obj, path) == value) is equal for path, value, equal in wanted)


def matches(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """True if the labels carry every pair of a plain selector."""
    return all(labels.get(key) == value for key, value in selector.items())
