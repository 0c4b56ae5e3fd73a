"""What Primum does to a cluster, as values: a change knows its own inverse, so nobody ever writes an undo."""

import copy
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Final, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from shared.domain.cluster import Kind, Object, Ref
from shared.domain.errors import ChangeConflict
from shared.domain.frozen import Frozen, Json, JsonObject
from shared.domain.path import ABSENT, Absent, Present, Slot, join, read, segments, to_pointer, write

WRITABLE: Final[Mapping[Kind, tuple[str, ...]]] = {
    Kind.DEPLOYMENT: (
        "/spec/replicas",
        "/spec/template/spec/*",
        "/spec/template/metadata/annotations*",
        "/spec/template/metadata/labels/*",
    ),
    # An unnamed port goes by its number: once that is another, nothing would lead back to it.
    Kind.SERVICE: ("/spec/selector", "/spec/selector/*", "/spec/ports/*/targetPort", "/spec/ports/[a-z]*/port"),
    Kind.NODE: ("/spec/unschedulable",),
}
"""The paths that a Patch may touch: those where putting the old value back is known to put the old behaviour back."""


class Edit(Frozen):
    """Replace a value, or absence, at one path."""

    path: str
    before: Slot
    after: Slot

    def inverse(self) -> Self:
        return type(self)(path=self.path, before=self.after, after=self.before)

    def apply(self, body: JsonObject) -> JsonObject:
        """Return the body after the edit. Raises ChangeConflict if the value is not `before`."""
        found = read(body, self.path)
        if found != self.before:
            raise ChangeConflict(self.path, str(self.before), str(found))
        return write(body, self.path, self.after)


class Patch(Frozen):
    """Replace values at allow-listed paths, each only if it still is what we saw."""

    change: Literal["patch"] = "patch"
    ref: Ref
    edits: tuple[Edit, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _only_writable_paths(self) -> Self:
        allowed = WRITABLE.get(self.ref.kind, ())
        for edit in self.edits:
            if not any(fnmatchcase(edit.path, pattern) for pattern in allowed):
                raise ValueError(f"{edit.path} of a {self.ref.kind} is not on the list of what can be put back")
        return self

    def inverse(self) -> "Patch":
        return Patch(ref=self.ref, edits=tuple(edit.inverse() for edit in reversed(self.edits)))

    def apply(self, seen: Object) -> Object:
        """Return the object after the patch. Raises ChangeConflict, and then nothing has changed."""
        body = seen.body
        for edit in self.edits:
            body = edit.apply(body)
        return seen.but(body=body)

    def to_json_patch(self, seen: Object) -> list[JsonObject]:
        """RFC 6902 against the version just read.

        It fails whole with 409 if the object moved since, and with 422 if a value is not `before`.
        Raises ChangeConflict if `seen` itself already differs.
        """
        operations: list[JsonObject] = [
            {"op": "replace", "path": "/metadata/resourceVersion", "value": seen.resource_version}
        ]
        body = seen.body
        for edit in self.edits:
            pointer = to_pointer(body, edit.path)
            operations.extend(_name_tests(body, edit.path))
            operations.extend(_operations(pointer, edit))
            body = edit.apply(body)
        return operations


class Evict(Frozen):
    """Take one pod away through the eviction API; its controller makes another. There is nothing to put back."""

    change: Literal["evict"] = "evict"
    ref: Ref
    uid: str
    controller: str
    """The owner that will replace the pod: without one an eviction is a deletion, and that is not allowed."""


Change: TypeAlias = Annotated[Patch | Evict, Field(discriminator="change")]


def _operations(pointer: str, edit: Edit) -> list[JsonObject]:
    match edit.before, edit.after:
        case Absent(), Present(value=value):
            # `test … null` passes for an absent key as long as the parent stands, which `to_pointer` has seen.
            return [{"op": "test", "path": pointer, "value": None}, {"op": "add", "path": pointer, "value": value}]
        case Present(value=was), Present(value=value):
            return [
                {"op": "test", "path": pointer, "value": was},
                {"op": "replace", "path": pointer, "value": value},
            ]
        case Present(value=was), Absent():
            return [{"op": "test", "path": pointer, "value": was}, {"op": "remove", "path": pointer}]
        case _:
            return [{"op": "test", "path": pointer, "value": None}]


def _name_tests(body: JsonObject, path: str) -> list[JsonObject]:
    """A test on the name of each list element that the path goes through: its index may have moved."""
    tests: list[JsonObject] = []
    node: Json = body
    parts = segments(path)
    for depth in range(len(parts)):
        if isinstance(node, list):
            here = to_pointer(body, join(*parts[: depth + 1]))
            element = read(body, join(*parts[: depth + 1]))
            if isinstance(element, Present) and isinstance(element.value, dict):
                key = "name" if "name" in element.value else "port"
                tests.append({"op": "test", "path": f"{here}/{key}", "value": element.value[key]})
        slot = read(body, join(*parts[: depth + 1]))
        node = slot.value if isinstance(slot, Present) else None
    return tests


def replace(seen: Object, path: str, value: Json) -> Edit | None:
    """Make the edit that puts `value` at `path`, from what stands there now; None if it stands there already.

    Where parents are missing, the edit is made at the topmost missing one, so that its inverse leaves nothing behind.
    """
    parts = segments(path)
    for depth in range(1, len(parts)):
        if isinstance(read(seen.body, join(*parts[:depth])), Absent):
            nested: Json = copy.deepcopy(value)
            for segment in reversed(parts[depth:]):
                nested = {segment: nested}
            return Edit(path=join(*parts[:depth]), before=ABSENT, after=Present(value=nested))
    before = read(seen.body, path)
    after = Present(value=value)
    return None if before == after else Edit(path=path, before=before, after=after)


def difference(before: Json, after: Json, *parts: str) -> list[Edit]:
    """List the smallest edits that turn one value into the other; lists of the same names are compared by name."""
    if before == after:
        return []
    if isinstance(before, dict) and isinstance(after, dict):
        return [edit for key in sorted({*before, *after}) for edit in _difference_at(before, after, key, parts)]
    if isinstance(before, list) and isinstance(after, list) and (names := _same_names(before, after)):
        return [
            edit for index, name in enumerate(names) for edit in difference(before[index], after[index], *parts, name)
        ]
    return [Edit(path=join(*parts), before=Present(value=before), after=Present(value=after))]


def _difference_at(before: JsonObject, after: JsonObject, key: str, parts: tuple[str, ...]) -> list[Edit]:
    if key not in before:
        return [Edit(path=join(*parts, key), before=ABSENT, after=Present(value=after[key]))]
    if key not in after:
        return [Edit(path=join(*parts, key), before=Present(value=before[key]), after=ABSENT)]
    return difference(before[key], after[key], *parts, key)


def _same_names(before: list[Json], after: list[Json]) -> list[str]:
    """The names of two lists whose elements are objects with the same distinct names in the same order; else nothing.

    An element that is not an object, or differs as a whole, makes its list differ as a whole.
    """
    names = [
        [str(item["name"]) for item in items if isinstance(item, dict) and "name" in item] for items in (before, after)
    ]
    whole = len(names[0]) == len(before) == len(after) and len(set(names[0])) == len(names[0])
    return names[0] if whole and names[0] == names[1] else []
