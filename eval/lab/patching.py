"""The three patch types, applied the way the API server applies them (its JSON Patch differs from Python's)."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any, Final

from eval.lab.errors import unprocessable
from eval.lab.kinds import Obj

MERGE_KEYS: Final[Mapping[str, str]] = {
    "containers": "name",
    "initContainers": "name",
    "env": "name",
    "volumes": "name",
    "volumeMounts": "mountPath",
    "conditions": "type",
    "ownerReferences": "uid",
    "imagePullSecrets": "name",
}
_MISSING: Final = object()


def same(one: Any, other: Any) -> bool:
    """Equal as JSON: 4 is not 4.0 and 1 is not true, unlike Python's ==."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def _tokens(pointer: Any) -> list[str]:
    if not isinstance(pointer, str) or (pointer and not pointer.startswith("/")):
        raise unprocessable()
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]


def _index(items: list[Any], token: str) -> int:
    if not token.isdigit() or int(token) >= len(items):
        raise unprocessable()
    return int(token)


def _parent(document: Any, tokens: Sequence[str]) -> Any:
    """Walk to the container of the last token: it must exist."""
    here = document
    for token in tokens[:-1]:
        if isinstance(here, dict) and token in here:
            here = here[token]
        elif isinstance(here, list):
            here = here[_index(here, token)]
        else:
            raise unprocessable()
    if not isinstance(here, dict | list):
        raise unprocessable()
    return here


def _read(document: Any, tokens: Sequence[str]) -> Any:
    if not tokens:
        return document
    parent = _parent(document, tokens)
    if isinstance(parent, list):
        return parent[_index(parent, tokens[-1])]
    return parent.get(tokens[-1], _MISSING)


def _add(document: Any, tokens: Sequence[str], value: Any) -> None:
    parent = _parent(document, tokens)
    if isinstance(parent, dict):
        parent[tokens[-1]] = value
    elif tokens[-1] == "-" or tokens[-1] == str(len(parent)):
        parent.append(value)
    else:
        parent.insert(_index(parent, tokens[-1]), value)


def _remove(document: Any, tokens: Sequence[str]) -> Any:
    parent = _parent(document, tokens)
    if isinstance(parent, list):
        return parent.pop(_index(parent, tokens[-1]))
    if tokens[-1] not in parent:
        raise unprocessable()
    return parent.pop(tokens[-1])


def _replace(document: Any, tokens: Sequence[str], value: Any) -> None:
    """A key that a map lacks is simply set: RFC 6902 forbids it, the server accepts it."""
    parent = _parent(document, tokens)
    if isinstance(parent, list):
        parent[_index(parent, tokens[-1])] = value
    else:
        parent[tokens[-1]] = value


def _test(document: Any, tokens: Sequence[str], value: Any) -> None:
    """`null` passes for an absent key, if its parent exists."""
    found = _read(document, tokens)
    if found is _MISSING:
        found = None
    if not same(found, value):
        raise unprocessable()


def _step(document: Any, step: Any) -> None:
    if not isinstance(step, dict) or not step.get("path"):
        raise unprocessable()
    path, value = _tokens(step["path"]), deepcopy(step.get("value"))
    match step.get("op"):
        case "add":
            _add(document, path, value)
        case "remove":
            _remove(document, path)
        case "replace":
            _replace(document, path, value)
        case "test":
            _test(document, path, value)
        case "move":
            _add(document, path, _remove(document, _tokens(step.get("from"))))
        case "copy":
            source = _read(document, _tokens(step.get("from")))
            if source is _MISSING:
                raise unprocessable()
            _add(document, path, deepcopy(source))
        case _:
            raise unprocessable()


def json_patch(document: Obj, steps: Sequence[Any]) -> Obj:
    """Return the document after all steps. Raises 422, and then nothing has changed: it works on a copy."""
    result = deepcopy(document)
    for step in steps:
        _step(result, step)
    return result


def merge_patch(document: Any, patch: Any) -> Any:
    """RFC 7386: null removes, maps merge, all else replaces."""
    if not isinstance(patch, dict):
        return deepcopy(patch)
    result = dict(document) if isinstance(document, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge_patch(result.get(key), value)
    return result


def _merge_list(items: list[Any], patch: list[Any], by: str) -> list[Any]:
    result = list(items)
    for entry in patch:
        if not isinstance(entry, dict) or by not in entry:
            raise unprocessable()
        at = next((i for i, item in enumerate(result) if item.get(by) == entry[by]), None)
        if entry.get("$patch") == "delete":
            result = [item for item in result if item.get(by) != entry[by]]
        elif at is None:
            result.append(strategic_merge({}, entry))
        else:
            result[at] = strategic_merge(result[at], entry)
    return result


def strategic_merge(document: Obj, patch: Obj) -> Obj:
    """Merge with lists addressed by name, for the lists in MERGE_KEYS; other lists are replaced whole."""
    if patch.get("$patch") == "replace":
        return {key: deepcopy(value) for key, value in patch.items() if key != "$patch"}
    result = dict(document)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            old = result.get(key)
            result[key] = strategic_merge(old if isinstance(old, dict) else {}, value)
        elif isinstance(value, list) and key in MERGE_KEYS:
            result[key] = _merge_list(result.get(key) or [], value, MERGE_KEYS[key])
        else:
            result[key] = deepcopy(value)
    return result
