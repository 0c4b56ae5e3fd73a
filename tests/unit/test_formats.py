"""The formats on paper: golden schemas that nobody changes by accident, and an AsyncAPI document that is one."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from docs import formats
from shared.bus import streams, subjects
from shared.domain.cluster import Kind, Ref
from shared.domain.events import EVENT_TYPES, Owner
from shared.domain.frozen import Json
from shared.domain.ids import ClusterName, CorrelationKey, Fingerprint, IncidentId
from shared.domain.incident import TRANSITIONS

ROOT = Path(__file__).parents[2]
INCIDENT = IncidentId("inc-1")
WORKLOAD = Ref(cluster=ClusterName("prod"), kind=Kind.DEPLOYMENT, namespace="a", name="b")
SUBJECTS = {
    "alerts": subjects.alert(ClusterName("prod"), Fingerprint("f0")),
    "ledger": subjects.ledger(INCIDENT, "Opened"),
    "open": subjects.open_key(CorrelationKey("a/b")),
    "locks": subjects.lock(WORKLOAD),
    "pause": subjects.PAUSE,
    "facts": subjects.fact(INCIDENT, "noted"),
    "timers": subjects.timer(Owner.UNDO, INCIDENT),
    "fired": subjects.fired(Owner.UNDO, INCIDENT),
    "dead": subjects.dead(streams.ALERTS),
    "heartbeats": streams.bucket_subject(streams.HEARTBEATS, "undo-1"),
    "claims": streams.bucket_subject(streams.CLAIMS, "page-1"),
    "activities": streams.bucket_subject(streams.ACTIVITIES, "undo.undo-1"),
}


def documented() -> dict[str, Any]:
    """The AsyncAPI document as it is in the repository."""
    document: dict[str, Any] = json.loads(formats.ASYNCAPI.read_text())
    return document


@pytest.mark.parametrize("path", formats.files(), ids=lambda path: str(path.name))
def test_a_format_is_what_it_was(path: Path) -> None:
    """Others read these messages, and so does every later Primum: nobody changes one by accident."""
    assert path.read_text() == formats.files()[path], (
        f"{path.relative_to(ROOT)} no longer says what the code does. If you meant to change it, run `make schemas`, "
        "say in CHANGELOG.md what changed, and think of the ledgers that are already written"
    )


def test_every_change_of_a_format_is_in_the_changelog() -> None:
    """Its fingerprint stands beside the line that says what changed, so that the line cannot be forgotten."""
    mark = formats.fingerprint(formats.schemas())

    assert f"`{mark}`" in (ROOT / "CHANGELOG.md").read_text(), (
        f"a format changed: say in CHANGELOG.md, under Formats, what changed, and name it `{mark}` there"
    )


def test_words_about_a_format_are_not_the_format() -> None:
    """A better description is no change; another type is."""
    schema: dict[str, Json] = {"properties": {"at": {"type": "string", "description": "when"}}}
    other = json.loads(json.dumps(schema).replace("when", "the moment"))
    changed = json.loads(json.dumps(schema).replace("string", "number"))

    marks = [formats.fingerprint({"it": each}) for each in (schema, other, changed)]
    assert marks[0] == marks[1] != marks[2]


@pytest.mark.parametrize("name", formats.schemas())
def test_a_golden_schema_is_a_schema(name: str) -> None:
    """What we publish as JSON Schema is valid JSON Schema."""
    jsonschema.Draft202012Validator.check_schema(formats.schemas()[name])


def test_the_document_is_asyncapi() -> None:
    """Checked by the AsyncAPI Initiative's own schema of 3.0."""
    official = json.loads((ROOT / "tests/data/asyncapi-3.0.0.json").read_text())

    problems = jsonschema.Draft7Validator(official).iter_errors(documented())
    assert [f"{'/'.join(map(str, each.absolute_path))}: {each.message[:200]}" for each in problems] == []


def references(node: Json) -> Iterator[str]:
    """Every reference in it, at any depth."""
    match node:
        case dict():
            if isinstance(node.get("$ref"), str):
                yield str(node["$ref"])
            for value in node.values():
                yield from references(value)
        case list():
            for value in node:
                yield from references(value)
        case _:
            pass


def leads_somewhere(reference: str) -> bool:
    """Whether a reference from the document names something that is there."""
    name, _, pointer = reference.partition("#")
    node = json.loads((formats.DOCS / name).read_text()) if name else documented()
    for part in pointer.strip("/").split("/") if pointer else ():
        node = node.get(part)
        if node is None:
            return False
    return True


def test_every_reference_of_the_document_leads_somewhere() -> None:
    """The official schema cannot see that."""
    found = set(references(documented()))

    assert found
    assert [each for each in sorted(found) if not leads_somewhere(each)] == []


def test_every_subject_is_of_the_form_that_the_document_says() -> None:
    """The addresses are written down once more, so they are held to what the code makes."""
    known = {channel.name: channel for channel in formats.channels()}

    assert SUBJECTS.keys() == known.keys()
    assert [name for name, subject in SUBJECTS.items() if not known[name].pattern.fullmatch(subject)] == []


def test_every_stream_has_its_channels() -> None:
    """Nothing that is kept goes unsaid."""
    kept = {config.name for config in streams.streams(streams.Keeping())}

    assert {formats.stream_of(channel).name for channel in formats.channels()} == kept


def test_who_may_append_an_event_is_what_the_transition_table_says() -> None:
    """For each service the document lists exactly the events that some row lets it append."""
    operations = documented()["operations"]
    said = {
        (owner, message["$ref"].rsplit("/", 1)[1])
        for owner in Owner
        for message in operations[f"{owner}.send.ledger"]["messages"]
    }

    assert said == {(owner, event.__name__) for (_, event), row in TRANSITIONS.items() for owner in row.owners}
    assert {event for _, event in said} == {kind.__name__ for kind in EVENT_TYPES}
