"""Incidents as they were read last: the next read fetches only what is newer. Those that are over are let go of."""

from collections import OrderedDict
from collections.abc import Set as AbstractSet
from typing import Final, NamedTuple

from shared.domain.events import Recorded
from shared.domain.ids import IncidentId
from shared.domain.incident import Incident, State

OPEN_KEPT: Final = 1024
CLOSED_KEPT: Final = 32
"""A late alert is held against the newest that ended; nobody else comes back to them."""
HISTORIES_KEPT: Final = 256


class Folds:
    """The folds of the incidents last looked at."""

    def __init__(self) -> None:
        self._open: OrderedDict[IncidentId, Incident] = OrderedDict()
        self._closed: OrderedDict[IncidentId, Incident] = OrderedDict()

    def __len__(self) -> int:
        return len(self._open) + len(self._closed)

    def get(self, incident: IncidentId) -> Incident:
        """Return an incident as far as it is known; one without a state if it is not."""
        return self._open.get(incident) or self._closed.get(incident) or Incident(id=incident)

    def forget(self, incident: IncidentId) -> None:
        self._open.pop(incident, None)
        self._closed.pop(incident, None)

    def only(self, still_open: AbstractSet[IncidentId]) -> None:
        """Let go of those that were open when they were looked at last, and are over: nothing wakes us at every end."""
        for incident in self._open.keys() - still_open:
            del self._open[incident]

    def keep(self, folded: Incident) -> Incident:
        """Remember a fold, unless a newer one is known; return it."""
        if folded.sequence >= self.get(folded.id).sequence and folded.state is not None:
            self.forget(folded.id)
            over = folded.state is State.CLOSED
            kept, most = (self._closed, CLOSED_KEPT) if over else (self._open, OPEN_KEPT)
            kept[folded.id] = folded
            if len(kept) > most:
                kept.popitem(last=False)
        return folded


class History(NamedTuple):
    """What counts of all that was said of an incident, and the fold up to the last message that was read."""

    folded: Incident
    counting: tuple[Recorded, ...] = ()


class Histories:
    """The histories last looked at. Somebody may have put thousands of messages there that count for nothing."""

    def __init__(self) -> None:
        self._by_id: OrderedDict[IncidentId, History] = OrderedDict()

    def get(self, incident: IncidentId) -> History:
        """Return a history as far as it is known."""
        return self._by_id.get(incident) or History(Incident(id=incident))

    def forget(self, incident: IncidentId) -> None:
        self._by_id.pop(incident, None)

    def only(self, still_open: AbstractSet[IncidentId]) -> None:
        """Let go of the histories of all others."""
        for incident in self._by_id.keys() - still_open:
            del self._by_id[incident]

    def keep(self, read: History) -> History:
        """Remember a history, unless a newer one is known; return it."""
        incident = read.folded.id
        if read.folded.sequence >= self.get(incident).folded.sequence and read.counting:
            self._by_id[incident] = read
            self._by_id.move_to_end(incident)
            if len(self._by_id) > HISTORIES_KEPT:
                self._by_id.popitem(last=False)
        return read
