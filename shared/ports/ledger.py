"""The truth: an append-only log of events, written by compare-and-swap, and folded."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from shared.domain.alert import Alert
from shared.domain.cluster import Ref
from shared.domain.events import Event, Fact, Opened, Recorded
from shared.domain.ids import CorrelationKey, IncidentId
from shared.domain.incident import Incident
from shared.domain.transaction import Lock


class Ledger(Protocol):
    """Every call raises LedgerUnavailable when the store does not answer."""

    async def fold(self, incident: IncidentId) -> Incident:
        """The incident as it is now; `state` is None if it was never opened."""

    async def history(self, incident: IncidentId) -> Sequence[Recorded]:
        """All its events, oldest first."""

    async def append(
        self,
        incident: Incident,
        *events: Event,
        locks: Sequence[Lock] = (),
        frees_key: bool = False,
        while_open: Incident | None = None,
    ) -> Incident:
        """Append events (checked against the table and this service's ownership) and return the incident after them.

        With `locks`, those records are written in the same atomic batch, each on the condition that the workload's
        lock is what `lock()` would say now: to take (`held`) it must be free or held by the same transaction; to
        release, held by it. `frees_key` also clears `primum.open.<key>`; an event that closes the incident always does.
        `while_open` is another incident that must be open, and that nobody merges away, at that very moment.
        Raises Conflict if the incident moved on, a lock is somebody else's or the other one is over; IllegalTransition.
        """

    async def open(self, incident: IncidentId, opened: Opened, *then: Event) -> Incident:
        """Open an incident, and claim its correlation key, in one atomic batch.

        Raises Conflict if an incident of that key is open.
        """

    async def open_incident(self, key: CorrelationKey) -> IncidentId | None:
        """The open incident of a correlation key."""

    async def open_incidents(self) -> Sequence[IncidentId]:
        """All open ones, oldest first."""

    async def incidents(self, limit: int = 100) -> Sequence[IncidentId]:
        """The newest incidents, open or closed, newest first."""

    async def lock(self, workload: Ref) -> Lock | None:
        """The last word on a workload's lock, None if it was never taken."""

    async def note(self, incident: IncidentId, *facts: Fact) -> None:
        """Record what only informs, in this order, and return once all of it is durable.

        That an alert joined is recorded once for each time it began to fire, whoever says it again, soon at least
        (10 minutes): what is repeated later the caller must know of. After a failure some may be stored: say all again.
        """

    async def facts(self, incident: IncidentId) -> Sequence[Fact]:
        """All facts of an incident, oldest first."""

    async def paused(self) -> str | None:
        """Why Primum is paused, or None: the last word on `primum.control.pause`."""

    async def set_paused(self, reason: str | None) -> None:
        """Pause with a reason, or resume with None."""


class Inbox(Protocol):
    """Where alerts become durable."""

    async def put(self, *alerts: Alert) -> None:
        """Store alerts; return only once every one is durable. An exact repeat is stored once.

        Raises LedgerUnavailable: some of them may be stored then, and all of them can be put again.
        """


class Timers(Protocol):
    """Wake-ups that the server keeps."""

    async def wake(self, incident: IncidentId, after_s: float) -> None:
        """Wake this service for the incident after so many seconds; a new one replaces the last."""


class Heartbeats(Protocol):
    """Says only that a holder lives; it is no fence."""

    async def beat(self, holder: str) -> None: ...

    async def alive(self, holder: str) -> bool: ...


class Claims(Protocol):
    """Of several replicas one does what must be done once. A claim whose owner died lapses by itself, after a while."""

    async def take(self, what: str) -> bool:
        """Claim it; False if it is claimed already, by whomever."""

    async def let_go(self, what: str) -> None:
        """End a claim of one's own before its time: it was not done."""


class Activities(Protocol):
    """What each agent is doing now, so that the question is answered by looking."""

    async def doing(self, activity: str) -> None:
        """Say what this process does now: `idle`, `triaging`, `executing-runbook:<name>@<step>` and so on."""

    async def all(self) -> Mapping[str, str]:
        """The activity of every process that said one lately, by its holder id: a service may have several."""
