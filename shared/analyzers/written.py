"""When somebody wrote a part of an object the last time, as the API server keeps it."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from shared.domain.objects import View
from shared.domain.snapshot import Snapshot

LATELY: Final = timedelta(hours=1)


class Written(NamedTuple):
    """When, and who."""

    at: datetime
    manager: str

    def lately(self, snapshot: Snapshot) -> bool:
        """Whether that is not long ago: what has stood there for longer is not what fails requests now."""
        return snapshot.taken_at - self.at <= LATELY

    def __str__(self) -> str:
        return f"written by {self.manager} at {self.at:%FT%TZ}"


def last_written(view: View, *fields: str) -> Written | None:
    """Who wrote what stands there last; None where it is not kept. Fields are as in managedFields: `f:spec`."""
    return max(_writers(view, fields), default=None)


def _writers(view: View, fields: tuple[str, ...]) -> Iterator[Written]:
    entries = view.object.at("/metadata/managedFields")
    for entry in entries if isinstance(entries, list) else []:
        if not isinstance(entry, dict):
            continue
        owned = entry.get("fieldsV1")
        for field in fields:
            owned = owned.get(field) if isinstance(owned, dict) else None
        if owned is not None and entry.get("time"):
            yield Written(datetime.fromisoformat(str(entry["time"])), str(entry.get("manager", "")))
