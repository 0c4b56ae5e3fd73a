"""One look at everything, for the alerts that are handled together: nothing is asked twice."""

import asyncio
from collections.abc import Iterable, Sequence

from services.detector.surroundings import View
from shared.analyzers.topology import Topology
from shared.domain.ids import IncidentId
from shared.domain.incident import Incident, State
from shared.ports.ledger import Ledger

LATELY = 20
"""How many of the newest incidents a late alert may belong to."""
_AT_ONCE = 64


class Look:
    """The cluster as it was seen, and each incident as it stood when it was first asked for."""

    def __init__(self, view: View | None, ledger: Ledger) -> None:
        self.view, self._ledger = view, ledger
        self._folds: dict[IncidentId, Incident] = {}
        self._open: list[Incident] | None = None

    @property
    def topology(self) -> Topology | None:
        return self.view.topology if self.view else None

    async def fold(self, incident: IncidentId) -> Incident:
        if incident not in self._folds:
            self._folds[incident] = await self._ledger.fold(incident)
        return self._folds[incident]

    async def open_incidents(self) -> Sequence[Incident]:
        if self._open is None:
            folded = await self._all(await self._ledger.open_incidents())
            self._open = [incident for incident in folded if incident.open]
        return self._open

    async def lately_over(self) -> Sequence[Incident]:
        """The newest incidents that ended by themselves, quietly; some of them since this look began."""
        self._folds = {name: known for name, known in self._folds.items() if not known.open}
        folded = await self._all(await self._ledger.incidents(limit=LATELY))
        return [incident for incident in folded if incident.states[-2:] == (State.RESOLVED, State.CLOSED)]

    def opened(self, incident: Incident) -> None:
        """Add what was opened since."""
        self._folds[incident.id] = incident
        if self._open is not None:
            self._open.append(incident)

    async def _all(self, incidents: Iterable[IncidentId]) -> Sequence[Incident]:
        wanted = tuple(incidents)
        found: list[Incident] = []
        for start in range(0, len(wanted), _AT_ONCE):
            found += await asyncio.gather(*map(self.fold, wanted[start : start + _AT_ONCE]))
        return found
