"""Pointers to what an analyzer saw, for a person to look up; nothing that looks like a credential leaves here."""

import json
import re
from typing import Final

from shared.domain.cause import Evidence, EvidenceSource
from shared.domain.change import Edit
from shared.domain.frozen import Json
from shared.domain.objects import Event, View
from shared.domain.path import Slot, segments

_SENSITIVE: Final = re.compile(r"passw|secret|token|credential|api_?key|private_?key|access_?key|dsn", re.IGNORECASE)
_URL_PASSWORD: Final = re.compile(r"(?<=://)([^/\s:@]*):[^/\s@]+@")
_REDACTED: Final = "(redacted)"
_LONGEST: Final = 500


def at(view: View, path: str) -> Evidence:
    """Point at what stands at a path of an object."""
    return Evidence(source=EvidenceSource.OBJECT, pointer=f"{view.ref}#{path}", value=_said(path, view.object.at(path)))


def seen(view: View, path: str, value: str) -> Evidence:
    """Point at a path of an object, and say what was seen there in words."""
    return Evidence(source=EvidenceSource.OBJECT, pointer=f"{view.ref}#{path}", value=value[:_LONGEST])


def told(event: Event) -> Evidence:
    """Point at a Kubernetes event."""
    return Evidence(
        source=EvidenceSource.EVENT, pointer=str(event.ref), value=f"{event.reason}: {event.message}"[:_LONGEST]
    )


def measured(series: str, value: str) -> Evidence:
    """Point at a series of the metrics."""
    return Evidence(source=EvidenceSource.METRIC, pointer=series, value=value)


def changed(view: View, edit: Edit) -> Evidence:
    """Point at one difference between an object as it is and as an earlier revision had it."""
    now, earlier = _slot(edit.path, edit.before), _slot(edit.path, edit.after)
    return seen(view, edit.path, f"{now} (earlier: {earlier})")


def _slot(path: str, slot: Slot) -> str:
    return "absent" if slot.slot == "absent" else _said(path, slot.value)


def _said(path: str, value: Json) -> str:
    if any(_SENSITIVE.search(segment) for segment in segments(path)):
        return _REDACTED
    text = value if isinstance(value, str) else json.dumps(_redacted(value), sort_keys=True)
    return _URL_PASSWORD.sub(rf"\1:{_REDACTED}@", text)[:_LONGEST]


def _redacted(value: Json) -> Json:
    """Without the values whose key, or whose neighbour `name`, says that they are secret."""
    if isinstance(value, list):
        return [_redacted(item) for item in value]
    if not isinstance(value, dict):
        return value
    secret = bool(_SENSITIVE.search(str(value.get("name", ""))))
    return {
        key: _REDACTED if _SENSITIVE.search(key) or (secret and key == "value") else _redacted(item)
        for key, item in value.items()
    }
