"""The algebra of changes: what is done can be taken back exactly, and the server is told the same."""

from copy import deepcopy

import jsonpatch
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from shared.domain.change import Edit, Patch, difference, replace
from shared.domain.cluster import Kind, Object
from shared.domain.errors import ChangeConflict
from shared.domain.frozen import Json, JsonObject
from shared.domain.path import ABSENT, Absent, Present, join, read, segments, write
from shared.testing.builders import a_deployment, a_ref, an_object

examples = settings(max_examples=40, deadline=None)

KEYS = st.text("abc/~.-_", min_size=1, max_size=4)
NAMES = st.text("abcxyz", min_size=1, max_size=3)
SCALARS = st.none() | st.booleans() | st.text(max_size=4) | st.integers(min_value=2, max_value=99)


def named_lists(values: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    """Lists as containers, variables and ports are: objects with distinct names."""

    def build(names: list[str], fields: list[dict[str, Json]]) -> Json:
        return [{**more, "name": name} for name, more in zip(names, fields, strict=False)]

    return st.builds(
        build,
        st.lists(NAMES, unique=True, min_size=1, max_size=3),
        st.lists(st.dictionaries(KEYS, values, max_size=2), min_size=3, max_size=3),
    )


JSON: st.SearchStrategy[Json] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3) | named_lists(inner),
    max_leaves=12,
)
OBJECTS: st.SearchStrategy[JsonObject] = st.dictionaries(KEYS, JSON | named_lists(JSON), max_size=4)


def deployment_with(spec: JsonObject) -> Object:
    """A Deployment whose pod spec is this."""
    ref = a_ref()
    template: JsonObject = {"metadata": {"labels": {"app": "cart"}}, "spec": spec}
    return an_object(ref, {"spec": {"replicas": 1, "template": template}})


def patch_between(before: Object, wanted: JsonObject) -> Patch | None:
    """The patch that makes the pod spec `wanted`."""
    edits = difference(before.at("/spec/template/spec"), wanted, "spec", "template", "spec")
    assume(all(edit.path != "/spec/template/spec" for edit in edits))
    return Patch(ref=before.ref, edits=tuple(edits)) if edits else None


def as_server(body: JsonObject, operations: list[JsonObject]) -> JsonObject:
    """Apply RFC 6902, with the one thing that the API server does and Python's library does not.

    A `test null` of a key that is not there passes.
    """
    body = deepcopy(body)
    for operation in operations:
        if operation["op"] == "test" and operation["value"] is None:
            *parents, last = segments(str(operation["path"]))
            parent = jsonpatch.JsonPointer(join(*parents)).resolve(body) if parents else body
            assert not isinstance(parent, dict) or parent.get(last) is None
            continue
        body = jsonpatch.apply_patch(body, [operation])
    return body


@examples
@given(before=OBJECTS, wanted=OBJECTS)
def test_a_patch_and_then_its_inverse_is_the_identity(before: JsonObject, wanted: JsonObject) -> None:
    """Whatever was there is there again, to the last value."""
    seen = deployment_with(before)
    if (patch := patch_between(seen, wanted)) is not None:
        changed = patch.apply(seen)
        assert changed.body != seen.body
        assert patch.inverse().apply(changed).body == seen.body


@examples
@given(before=OBJECTS, wanted=OBJECTS)
def test_the_difference_of_two_values_leads_from_one_to_the_other(before: JsonObject, wanted: JsonObject) -> None:
    """And where they are equal there is none."""
    body: JsonObject = {"root": before}
    edits = difference(before, wanted, "root")
    for edit in edits:
        body = edit.apply(body)
    assert body == {"root": wanted}
    assert bool(edits) is (before != wanted)


@examples
@given(before=OBJECTS, wanted=OBJECTS)
def test_the_server_is_told_exactly_what_apply_does(before: JsonObject, wanted: JsonObject) -> None:
    """The JSON patch, by an implementation of RFC 6902, has the same result; its inverse too."""
    seen = deployment_with(before)
    if (patch := patch_between(seen, wanted)) is None:
        return
    changed = patch.apply(seen)
    assert as_server(seen.body, patch.to_json_patch(seen)) == changed.body
    back = patch.inverse()
    assert as_server(changed.body, back.to_json_patch(changed)) == seen.body


@examples
@given(before=OBJECTS, wanted=OBJECTS, other=JSON)
def test_a_patch_refuses_an_object_that_somebody_changed(before: JsonObject, wanted: JsonObject, other: Json) -> None:
    """A value that is not what was seen stops it whole, in our own check and in the server's."""
    seen = deployment_with(before)
    if (patch := patch_between(seen, wanted)) is None:
        return
    edit = patch.edits[0]
    theirs = write(seen.body, edit.path, Present(value=other))
    # The server cannot tell null from nothing, and stores no nulls.
    assume(other is not None and read(theirs, edit.path) != edit.before)
    with pytest.raises(ChangeConflict):
        patch.apply(seen.but(body=theirs))
    with pytest.raises(ChangeConflict):
        patch.to_json_patch(seen.but(body=theirs))
    with pytest.raises((jsonpatch.JsonPatchTestFailed, AssertionError, jsonpatch.JsonPointerException)):
        as_server(theirs, patch.to_json_patch(seen))


@examples
@given(before=OBJECTS, path=st.lists(KEYS, min_size=1, max_size=3), value=JSON)
def test_one_replaced_value_leaves_nothing_behind_when_taken_back(
    before: JsonObject, path: list[str], value: Json
) -> None:
    """Also where parents were missing and had to be made."""
    seen = deployment_with(before)
    whole = join("spec", "template", "spec", *path)
    parents = [read(seen.body, join(*segments(whole)[:depth])) for depth in range(1, len(segments(whole)))]
    assume(all(isinstance(slot, Absent) or isinstance(slot.value, dict) for slot in parents))
    edit = replace(seen, whole, value)
    if edit is None:
        assert seen.at(whole) == value
        return
    changed = edit.apply(seen.body)
    assert read(changed, whole) == Present(value=value)
    assert edit.inverse().apply(changed) == seen.body


@examples
@given(body=OBJECTS, path=st.lists(KEYS, min_size=1, max_size=3), value=JSON)
def test_a_write_never_touches_the_value_it_was_given(body: JsonObject, path: list[str], value: Json) -> None:
    """It returns a copy; what was read before stays as it was."""
    before = deepcopy(body)
    try:
        written = write(body, join(*path), Present(value=value))
    except ChangeConflict:
        assert body == before
        return
    assert body == before
    assert read(written, join(*path)) == Present(value=value)


@examples
@given(parts=st.lists(KEYS, min_size=1, max_size=4))
def test_a_path_is_its_segments(parts: list[str]) -> None:
    """Slashes and tildes survive (RFC 6901)."""
    assert segments(join(*parts)) == parts


def test_lists_are_addressed_by_name_wherever_the_element_stands() -> None:
    """An index that moved does not matter; the server tests the name at the index it has now."""
    seen = a_deployment()
    path = "/spec/template/spec/containers/main/image"
    edit = replace(seen, path, "registry.example/cart:2")
    assert edit is not None
    containers = seen.at("/spec/template/spec/containers")
    assert isinstance(containers, list)
    moved = seen.but(
        body=write(seen.body, "/spec/template/spec/containers", Present(value=[{"name": "sidecar"}, *containers]))
    )
    patch = Patch(ref=seen.ref, edits=(edit,))
    assert patch.apply(moved).at(path) == "registry.example/cart:2"
    operations = patch.to_json_patch(moved)
    assert {"op": "test", "path": "/spec/template/spec/containers/1/name", "value": "main"} in operations
    assert {"op": "replace", "path": "/metadata/resourceVersion", "value": seen.resource_version} in operations


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        (Kind.DEPLOYMENT, "/spec/selector/matchLabels/app"),
        (Kind.DEPLOYMENT, "/spec/paused"),
        (Kind.DEPLOYMENT, "/metadata/labels/app"),
        (Kind.SERVICE, "/spec/clusterIP"),
        (Kind.SERVICE, "/spec/ports/8080/port"),
        (Kind.NODE, "/spec/taints"),
        (Kind.POD, "/spec/containers"),
        (Kind.NAMESPACE, "/metadata/labels/a"),
    ],
)
def test_a_path_that_is_not_known_to_be_put_back_cannot_be_written(kind: Kind, path: str) -> None:
    """The allow-list is the type: such a patch cannot even be made."""
    with pytest.raises(ValueError, match="not on the list"):
        Patch(ref=a_ref(kind=kind), edits=(Edit(path=path, before=ABSENT, after=Present(value="x")),))
