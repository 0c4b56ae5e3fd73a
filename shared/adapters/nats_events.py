"""Events on the wire: CloudEvents 1.0 in binary mode (`ce-*` headers, the body is the event), with their trace."""

from datetime import datetime
from typing import Final

from pydantic import TypeAdapter, ValidationError

from shared.adapters.nats_stream import Stored
from shared.adapters.seal import FOLLOWS, OWNER
from shared.bus.trace import traceparent
from shared.domain.errors import Refuse
from shared.domain.events import EVENTS, FACTS, Fact, Owner, Recorded
from shared.domain.ids import EventId, IncidentId

_MOMENT: Final = TypeAdapter(datetime)


def headers(incident: IncidentId, event_id: str, kind: str, owner: Owner, at: datetime) -> dict[str, str]:
    """Make the headers of anything that is said about an incident."""
    return {
        "ce-specversion": "1.0",
        "ce-id": event_id,
        "ce-source": f"/primum/{owner}",
        "ce-type": f"dev.primum.{kind}",
        "ce-subject": incident,
        "ce-time": at.isoformat(),
        "content-type": "application/json",
        OWNER: str(owner),
        **traceparent(incident, event_id),
    }


def event_headers(record: Recorded) -> dict[str, str]:
    """Make the headers of an event, but for the signature."""
    return {**headers(record.incident, record.id, record.event.name, record.by, record.at), FOLLOWS: record.follows}


def event_body(record: Recorded) -> bytes:
    """Make the body of an event."""
    return record.event.model_dump_json().encode()


def recorded(stored: Stored) -> Recorded:
    """Read an event back. Raises Refuse if it is none: somebody wrote past the one append function."""
    said = stored.headers
    try:
        return Recorded(
            incident=IncidentId(said["ce-subject"]),
            id=EventId(said["ce-id"]),
            sequence=stored.sequence,
            at=_MOMENT.validate_python(said["ce-time"]),
            by=Owner(said[OWNER]),
            event=EVENTS.validate_json(stored.data),
            follows=EventId(said.get(FOLLOWS, "")),
        )
    except (KeyError, ValueError) as error:
        raise Refuse(f"message {stored.sequence} ({stored.subject}) is no event: {_first_line(error)}") from error


def about(stored: Stored) -> IncidentId | None:
    """Say which incident a message is about, whether or not the rest of it can be read."""
    return IncidentId(said) if (said := stored.headers.get("ce-subject")) is not None else None


def follows(stored: Stored) -> EventId | None:
    """Say what a message names as the last one before it, whether or not the rest of it can be read."""
    return EventId(said) if (said := stored.headers.get(FOLLOWS)) is not None else None


def fact(stored: Stored) -> Fact:
    """Read a fact back. Raises Refuse if it is none."""
    try:
        return FACTS.validate_json(stored.data)
    except ValidationError as error:
        raise Refuse(f"message {stored.sequence} ({stored.subject}) is no fact: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] if isinstance(error, ValidationError) else f"{error!r}"
