"""What a detector remembers of its last alerts, so that a storm does not ask the ledger hundreds of times the same.

Nothing depends on it: a detector that has forgotten everything asks again.
"""

from datetime import datetime

from services.detector.decide import Group, Home
from services.detector.surroundings import View
from shared.domain.ids import Fingerprint, IncidentId

INCIDENTS_KEPT = 256


class Memory:
    """Where groups went within one view of the cluster, and which alerts an incident has on record."""

    def __init__(self) -> None:
        self._view: View | None = None
        self._homes: dict[tuple[str, str], Home] = {}
        self._joined: dict[IncidentId, set[tuple[Fingerprint, datetime]]] = {}

    def home(self, view: View | None, group: Group) -> Home | None:
        """Where this group went in this very view; the caller checks that it is still open."""
        return self._homes.get(_name(group)) if view is self._view else None

    def went(self, view: View | None, group: Group, home: Home) -> None:
        if view is not self._view:
            self._view, self._homes = view, {}
        self._homes[_name(group)] = home

    def joined(self, incident: IncidentId) -> set[tuple[Fingerprint, datetime]] | None:
        """The alerts on its record, as (fingerprint, began); None if nobody looked yet. Add what is joined."""
        return self._joined.get(incident)

    def looked(self, incident: IncidentId, joined: set[tuple[Fingerprint, datetime]]) -> None:
        if len(self._joined) >= INCIDENTS_KEPT:
            self._joined.clear()
        self._joined[incident] = joined


def _name(group: Group) -> tuple[str, str]:
    return group.key, str(group.about)
