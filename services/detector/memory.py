"""What a detector remembers of its last alerts, so that a storm does not ask the ledger thousands of times the same.

Nothing depends on it: a detector that has forgotten everything asks again.
"""

from collections import OrderedDict
from collections.abc import Iterable
from collections.abc import Set as AbstractSet

from services.detector.decide import Group, Home
from services.detector.surroundings import View
from shared.domain.ids import IncidentId

ALERTS_KEPT = 50_000
"""Of all incidents together: some 10 MB."""


class Memory:
    """Where groups went within one view of the cluster, and which alerts an incident has on record."""

    def __init__(self) -> None:
        self._view: View | None = None
        self._homes: dict[tuple[str, str], Home] = {}
        self._joined: OrderedDict[IncidentId, set[str]] = OrderedDict()
        self._alerts = 0

    def home(self, view: View | None, group: Group) -> Home | None:
        """Where this group went in this very view; the caller checks that it is still open."""
        return self._homes.get(_name(group)) if view is self._view else None

    def went(self, view: View | None, group: Group, home: Home) -> None:
        if view is not self._view:
            self._view, self._homes = view, {}
        self._homes[_name(group)] = home

    def joined(self, incident: IncidentId) -> AbstractSet[str] | None:
        """The alerts on its record, each by its `once`; None if nobody looked yet, or too long ago."""
        return self._joined.get(incident)

    def looked(self, incident: IncidentId, joined: Iterable[str]) -> None:
        """Remember what is on its record, instead of what was on that of those which nothing joined for longest."""
        self._joined.setdefault(incident, set())
        self.add(incident, joined)
        while self._alerts > ALERTS_KEPT and len(self._joined) > 1:
            _, oldest = self._joined.popitem(last=False)
            self._alerts -= len(oldest)

    def forget(self, incident: IncidentId) -> None:
        """Let go of an incident that is over: nothing joins it any more."""
        self._alerts -= len(self._joined.pop(incident, ()))

    def add(self, incident: IncidentId, joined: Iterable[str]) -> None:
        """Remember what joined since; not of one that was forgotten, whose record would seem to begin here."""
        if (known := self._joined.get(incident)) is not None:
            self._alerts -= len(known)
            known.update(joined)
            self._alerts += len(known)
            self._joined.move_to_end(incident)


def _name(group: Group) -> tuple[str, str]:
    return group.key, str(group.about)
