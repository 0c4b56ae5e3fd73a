"""Paths into an object's body: JSON pointers whose list segments are names, because indexes move."""

from copy import deepcopy
from enum import Enum
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import Field

from shared.domain.errors import ChangeConflict
from shared.domain.frozen import Frozen, Json, JsonObject


class Present(Frozen):
    """Something stands there."""

    slot: Literal["present"] = "present"
    value: Json

    def __str__(self) -> str:
        return str(self.value)


class Absent(Frozen):
    """Nothing stands there: which is not the same as null."""

    slot: Literal["absent"] = "absent"

    def __str__(self) -> str:
        return "absent"


Slot: TypeAlias = Annotated[Present | Absent, Field(discriminator="slot")]
ABSENT: Final = Absent()


def segments(path: str) -> list[str]:
    """Split a pointer (RFC 6901) into its unescaped segments."""
    if not path.startswith("/"):
        raise ValueError(f"a path starts with '/': {path!r}")
    return [part.replace("~1", "/").replace("~0", "~") for part in path[1:].split("/")]


def join(*parts: str) -> str:
    """Make a pointer of segments."""
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)


def index_of(items: list[Json], segment: str) -> int | None:
    """Where the element of that name stands in a list; a Service's unnamed port goes by its number."""
    for key in ("name", "port"):
        for index, item in enumerate(items):
            if isinstance(item, dict) and key in item and str(item[key]) == segment:
                return index
    return None


class _Nothing(Enum):
    """What `_below` returns where nothing stands: null is something."""

    HERE = "here"


def _below(node: Json | _Nothing, segment: str) -> Json | _Nothing:
    """The very value, not a copy of it: building a Slot would copy."""
    if isinstance(node, dict):
        return node.get(segment, _Nothing.HERE)
    if isinstance(node, list) and (index := index_of(node, segment)) is not None:
        return node[index]
    return _Nothing.HERE


def _at(body: JsonObject, path: str) -> Json | _Nothing:
    node: Json | _Nothing = body
    for segment in segments(path):
        node = _below(node, segment)
        if isinstance(node, _Nothing):
            return node
    return node


def read(body: JsonObject, path: str) -> Slot:
    """Return what stands at `path`."""
    found = _at(body, path)
    return ABSENT if isinstance(found, _Nothing) else Present(value=found)


def value(body: JsonObject, path: str) -> Json:
    """Return the very value at `path`, not a copy of it, or None where nothing stands: it is only looked at."""
    found = _at(body, path)
    return None if isinstance(found, _Nothing) else found


def write(body: JsonObject, path: str, slot: Slot) -> JsonObject:
    """Return a copy of `body` with `slot` at `path`. The parent must exist and be an object, or hold the named element.

    Raises ChangeConflict if there is no parent to write into.
    """
    copy = deepcopy(body)
    *parents, last = segments(path)
    node: Json = copy
    for segment in parents:
        below = _below(node, segment)
        if isinstance(below, _Nothing):
            raise ChangeConflict(path, "in an existing parent", "without one")
        node = below
    if not isinstance(node, dict):
        raise ChangeConflict(path, "a field of an object", "an element of a list")
    if isinstance(slot, Absent):
        node.pop(last, None)
    else:
        node[last] = deepcopy(slot.value)
    return copy


def to_pointer(body: JsonObject, path: str) -> str:
    """Compile a path to the RFC 6901 pointer that is right for this very version: names become indexes.

    Raises ChangeConflict if a named element is not there.
    """
    out: list[str] = []
    node: Json = body
    for segment in segments(path):
        if isinstance(node, list):
            index = index_of(node, segment)
            if index is None:
                raise ChangeConflict(path, f"in a list with {segment!r}", "missing")
            out.append(str(index))
            node = node[index]
        else:
            out.append(segment)
            node = node.get(segment) if isinstance(node, dict) else None
    return join(*out)
