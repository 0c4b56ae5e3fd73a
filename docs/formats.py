"""Writes every format down from the code: JSON Schemas in docs/schemas, and who sends what in docs/asyncapi.json.

`make schemas` writes them; `tests/unit/test_formats.py` fails while they are stale.
"""

import hashlib
import importlib
import json
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from nats.js.api import RetentionPolicy, StreamConfig
from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from services.gateway import orders
from shared.adapters import nats_events, nkey, seal
from shared.adapters.nats_dead import DeadLetter
from shared.bus import streams
from shared.domain.alert import Alert
from shared.domain.events import EVENT_TYPES, Base, Event, Fact, Owner
from shared.domain.frozen import Json, JsonObject
from shared.domain.ids import IncidentId
from shared.domain.incident import TRANSITIONS, Incident
from shared.domain.transaction import Lock

DOCS: Final = Path(__file__).parent
SCHEMAS: Final = DOCS / "schemas"
ASYNCAPI: Final = DOCS / "asyncapi.json"

_KINDS: Final[Mapping[str, Any]] = {
    "events": Event,
    "facts": Fact,
    "alert": Alert,
    "lock": Lock,
    "dead-letter": DeadLetter,
    "incident": Incident,
    "orders": orders.Order | orders.Pause | orders.Resume,
}
"""What has a schema: everything on the bus that is JSON, and of the API what is a type of its own."""


# --- JSON Schemas


class _Bare(GenerateJsonSchema):
    """Without titles that only repeat a field's name."""

    def field_title_should_be_set(self, _schema: object) -> bool:
        return False


def schemas() -> Mapping[str, JsonObject]:
    """Every golden schema by its name: what a reader of that format must accept."""
    return {name: _schema(kind) for name, kind in _KINDS.items()}


def _schema(kind: Any) -> JsonObject:
    dialect: JsonObject = {"$schema": GenerateJsonSchema.schema_dialect}
    return dialect | TypeAdapter(kind).json_schema(schema_generator=_Bare)


def fingerprint(found: Mapping[str, JsonObject]) -> str:
    """What CHANGELOG.md names: it moves with every change of a format, and not when only words about it do."""
    said = json.dumps({name: _without_words(schema) for name, schema in found.items()}, sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()[:8]


def _without_words(node: Json) -> Json:
    match node:
        case dict():
            return {
                key: _without_words(value)
                for key, value in node.items()
                if not (key == "description" and isinstance(value, str))
            }
        case list():
            return [_without_words(value) for value in node]
        case _:
            return node


# --- AsyncAPI


@dataclass(frozen=True)
class Channel:
    """Subjects of one form, what they carry, and who may send it or is sent it."""

    name: str
    address: str
    what: str
    messages: Mapping[str, JsonObject]
    senders: Mapping[Owner, Collection[str]]
    receivers: Mapping[Owner, Collection[str]]

    @property
    def pattern(self) -> re.Pattern[str]:
        """Matches the subjects of this form."""
        return re.compile(r"[^.]+".join(map(re.escape, re.split(r"\{\w+\}", self.address))))


_PARAMETERS: Final = {
    "cluster": "the cluster's name, or its hash where it is no safe token",
    "event": "the event's type",
    "fingerprint": "the alert's, as its sender gave it",
    "holder": "one run of one process",
    "incident": "the incident's id",
    "key": "the hash of the cause group's correlation key",
    "kind": "the fact's kind",
    "notice": "the id of what a person is told",
    "owner": "the service",
    "stream": "where the message came from",
    "workload": "the hash of the workload's cluster, kind, namespace and name",
}
_FACTS: Final[Mapping[Owner, Collection[str]]] = {
    Owner.GATEWAY: ("noted",),
    Owner.DETECTOR: ("alert-joined",),
    Owner.MITIGATOR: ("sample-taken", "symptom-read"),
}


def channels() -> tuple[Channel, ...]:
    """All of them. Who owns an event is what the transition table says."""
    return (
        Channel("alerts", "primum.alert.{cluster}.{fingerprint}", "An alert, durable before its sender is answered.",
                {"alert": _json("alert.json")}, _each("alert", Owner.GATEWAY), _each("alert", Owner.DETECTOR)),
        Channel("ledger", "primum.ledger.{incident}.{event}", "The events of an incident: its state is their fold.",
                {kind.__name__: _event(kind) for kind in EVENT_TYPES}, _owned(), _wakes_on()),
        Channel("open", "primum.open.{key}", "Which incident of a cause group is open; empty when none is.",
                {"opened": _text("the incident's id, or nothing")},
                _each("opened", Owner.DETECTOR, Owner.GATEWAY), {}),
        Channel("locks", "primum.lock.{workload}", "Who holds a workload, or that nobody does.",
                {"lock": _json("lock.json")}, _each("lock", Owner.MITIGATOR, Owner.UNDO, Owner.GATEWAY), {}),
        Channel("pause", "primum.control.pause", "That Primum is paused and why; empty when it is not.",
                {"pause": _message({"type": "object", "properties": {"reason": {"type": "string"}}})},
                _each("pause", Owner.GATEWAY), {}),
        Channel("facts", "primum.fact.{incident}.{kind}", "What only informs: it changes no state.",
                {kind: _json(f"facts.json#/$defs/{name}") | _headed(kind) for kind, name in _fact_names().items()},
                _FACTS, {}),
        Channel("timers", "primum.timer.{owner}.{incident}", "A wake-up that the server keeps until its time.",
                {"timer": _text("the incident's id")}, _each("timer", *Owner), {}),
        Channel("fired", "primum.fired.{owner}.{incident}", "A wake-up whose time has come: the server sends it.",
                {"timer": _text("the incident's id")}, {}, _each("timer", *Owner)),
        Channel("dead", "primum.dead.{stream}", "What could not be handled, whole, with the reason.",
                {"letter": _json("dead-letter.json")}, _each("letter", *Owner), {}),
        Channel("heartbeats", f"$KV.{streams.HEARTBEATS}.{{holder}}", "That the holder of a transaction lives.",
                {"beat": _text("alive")}, _each("beat", Owner.MITIGATOR, Owner.UNDO), {}),
        Channel("claims", f"$KV.{streams.CLAIMS}.{{notice}}", "That a gateway tells a person this; empty: no more.",
                {"claim": _text("taken, or nothing")}, _each("claim", Owner.GATEWAY), {}),
        Channel("activities", f"$KV.{streams.ACTIVITIES}.{{owner}}.{{holder}}", "What a process is doing now.",
                {"activity": _text("in words")}, _each("activity", *Owner), {}),
    )  # fmt: skip


def _each(message: str, *owners: Owner) -> Mapping[Owner, Collection[str]]:
    return dict.fromkeys(owners, (message,))


def _owned() -> Mapping[Owner, Collection[str]]:
    return {owner: [kind.__name__ for kind in EVENT_TYPES if owner in _owners_of(kind)] for owner in Owner}


def _owners_of(kind: type[Base]) -> set[Owner]:
    return {owner for (_, event), row in TRANSITIONS.items() if event is kind for owner in row.owners}


def _wakes_on() -> Mapping[Owner, Collection[str]]:
    """Read from each service, wherever it keeps it."""
    found: dict[Owner, Collection[str]] = {}
    for owner in Owner:
        for module in ("handlers", "app"):
            events = getattr(importlib.import_module(f"services.{owner}.{module}"), "WAKES_ON", None)
            if events is not None:
                found[owner] = sorted(kind.__name__ for kind in events)
    return found


def _fact_names() -> Mapping[str, str]:
    mapping = _schema(Fact)["discriminator"]["mapping"]  # type: ignore[index,call-overload]
    return {kind: ref.rsplit("/", 1)[1] for kind, ref in sorted(mapping.items())}  # type: ignore[union-attr]


def _event(kind: type[Base]) -> JsonObject:
    rows: list[Json] = [
        {"in": before, "next": row.next, "by": list[Json](sorted(row.owners))}
        for (before, event), row in TRANSITIONS.items()
        if event is kind
    ]
    return _json(f"events.json#/$defs/{kind.__name__}") | _headed(kind.__name__) | {"x-transitions": rows}


def _json(ref: str) -> JsonObject:
    return _message({"schemaFormat": "application/schema+json;version=2020-12", "schema": {"$ref": f"schemas/{ref}"}})


def _text(what: str) -> JsonObject:
    return _message({"type": "string", "description": what}) | {"contentType": "text/plain"}


def _message(payload: JsonObject) -> JsonObject:
    return {"payload": payload}


def _headed(kind: str) -> JsonObject:
    return {"name": f"dev.primum.{kind}", "headers": {"$ref": "#/components/schemas/headers"}}


_STRING: Final[JsonObject] = {"type": "string"}
_WHAT: Final[Mapping[str, JsonObject]] = {
    "ce-type": {"description": "the message's name"},
    "ce-subject": {"description": "the incident"},
    seal.OWNER: {"description": "the service that says it"},
    seal.SIGNATURE: {
        "description": f"Ed25519 by the owner's key, in base64, over subject, {', '.join(seal.SIGNED)}, and payload."
        " Alerts of one call share one, over the root of a tree of their digests (SHA-256): after it come the digests"
        " from this one up to the root, each after L or R, the side on which it stands"
    },
    seal.FOLLOWS: {"description": "of an event: the ce-id of the last one that counted before it"},
}


def _headers() -> JsonObject:
    """Those that the adapter really writes."""
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    plain = nats_events.headers(IncidentId("inc"), "id", "kind", Owner.GATEWAY, moment)
    key = nkey.Key.new()
    said = seal.Seal(Owner.GATEWAY, key, nkey.Keyring({Owner.GATEWAY: [key.public]})).on("subject", plain, b"")
    properties: dict[str, Json] = {name: _STRING | _WHAT.get(name, {}) for name in (*said, seal.FOLLOWS)}
    return {"type": "object", "properties": properties, "required": list[Json](said)}


def asyncapi() -> JsonObject:
    """The whole document, AsyncAPI 3.0."""
    known = channels()
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Primum",
            "version": _version(),
            "description": "What goes over NATS JetStream between Primum's services, and which of them may say it."
            " An event's owners stand in its `x-transitions`: `by` may append it `in` that state.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {"nats": {"host": "127.0.0.1:4222", "protocol": "nats", "description": "PRIMUM_NATS_URL"}},
        "channels": {channel.name: _channel(channel) for channel in known},
        "operations": dict(operation for channel in known for operation in _operations(channel)),
        "components": {"schemas": {"headers": _headers()}},
    }


def _version() -> str:
    project = tomllib.loads((DOCS.parent / "pyproject.toml").read_text())["project"]
    return str(project["version"])


def _channel(channel: Channel) -> JsonObject:
    names = re.findall(r"\{(\w+)\}", channel.address)
    said: JsonObject = {
        "address": channel.address,
        "description": channel.what,
        "messages": dict(channel.messages),
        "x-stream": _stream(stream_of(channel)),
    }
    if names:
        said["parameters"] = {name: {"description": _PARAMETERS[name]} for name in names}
    return said


def stream_of(channel: Channel) -> StreamConfig:
    """Which stream keeps a channel's messages. Raises ValueError if that is not exactly one."""
    subject = re.sub(r"\{\w+\}", "x", channel.address)
    (found,) = [config for config in streams.streams(streams.Keeping()) if _takes(config, subject)]
    return found


def _takes(config: StreamConfig, subject: str) -> bool:
    return any(
        re.fullmatch(re.escape(each).replace(r"\*", "[^.]+").replace(">", ".+"), subject)
        for each in config.subjects or ()
    )


def _stream(config: StreamConfig) -> JsonObject:
    said: JsonObject = {"name": str(config.name)}
    if config.max_age:
        said["max_age_s"] = config.max_age
    if config.retention is RetentionPolicy.WORK_QUEUE:
        said["until"] = "acknowledged"
    return said


def _operations(channel: Channel) -> Iterator[tuple[str, Json]]:
    for action, who in (("send", channel.senders), ("receive", channel.receivers)):
        for owner, messages in who.items():
            yield (
                f"{owner}.{action}.{channel.name}",
                {
                    "action": action,
                    "channel": {"$ref": f"#/channels/{channel.name}"},
                    "messages": [{"$ref": f"#/channels/{channel.name}/messages/{name}"} for name in messages],
                    "tags": [{"name": owner}],
                },
            )


# --- files


def files() -> Mapping[Path, str]:
    """Every file as it shall be."""
    found: dict[Path, JsonObject] = {SCHEMAS / f"{name}.json": schema for name, schema in schemas().items()}
    found[ASYNCAPI] = asyncapi()
    return {path: json.dumps(document, indent=2, ensure_ascii=False) + "\n" for path, document in found.items()}


if __name__ == "__main__":
    SCHEMAS.mkdir(exist_ok=True)
    for path, text in files().items():
        path.write_text(text)
    print(f"formats {fingerprint(schemas())}: CHANGELOG.md must name it, with what changed")  # noqa: T201 - a script
