"""Nothing that looks like a credential is shown, recorded as evidence, or logged."""

import json
import re
from typing import Final

from shared.domain.frozen import Json
from shared.domain.path import Slot, segments

_SENSITIVE: Final = re.compile(r"passw|secret|token|credential|api_?key|private_?key|access_?key|dsn", re.IGNORECASE)
_URL_PASSWORD: Final = re.compile(r"(?<=://)([^/\s:@]*):[^/\s@]+@")
_SAID: Final = re.compile(
    r"\b([\w-]*(?:passw|secret|token|credential|api_?key)[\w-]*[\"']?\s*[=:]\s*)(\"[^\"]*\"|'[^']*'|[^\s,;&]+)",
    re.IGNORECASE,
)
_BEARER: Final = re.compile(r"\b(bearer|basic)\s+[\w.~+/=-]{8,}", re.IGNORECASE)
REDACTED: Final = "(redacted)"
LONGEST: Final = 500


def shown(path: str, value: Json) -> str:
    """What stands at a path, for people to read: cut to `LONGEST`, without what its name says is secret."""
    if any(_SENSITIVE.search(segment) for segment in segments(path)):
        return REDACTED
    text = value if isinstance(value, str) else json.dumps(_redacted(value), sort_keys=True)
    return _URL_PASSWORD.sub(rf"\1:{REDACTED}@", text)[:LONGEST]


def shown_slot(path: str, slot: Slot) -> str:
    """As `shown`, or that nothing stands there."""
    return "absent" if slot.slot == "absent" else shown(path, slot.value)


def shown_line(line: str) -> str:
    """A line of a log, without passwords in its URLs, its headers, or behind a name that says so."""
    line = _URL_PASSWORD.sub(rf"\1:{REDACTED}@", line)
    line = _BEARER.sub(rf"\1 {REDACTED}", line)
    return _SAID.sub(rf"\1{REDACTED}", line)[:LONGEST]


def is_sensitive(name: str) -> bool:
    """Whether a name says that its value is secret."""
    return _SENSITIVE.search(name) is not None


def _redacted(value: Json) -> Json:
    """Without the values whose key, or whose neighbour `name`, says that they are secret."""
    if isinstance(value, list):
        return [_redacted(item) for item in value]
    if not isinstance(value, dict):
        return value
    secret = is_sensitive(str(value.get("name", "")))
    return {
        key: REDACTED if is_sensitive(key) or (secret and key == "value") else _redacted(item)
        for key, item in value.items()
    }
