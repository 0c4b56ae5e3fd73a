"""What the gateway does, in order: store alerts, carry out orders, tell people."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from structlog.typing import FilteringBoundLogger

from services.gateway import notices
from services.gateway.alertmanager import TOKEN
from services.gateway.answers import Problem
from services.gateway.decide import Already, Append, Refused, decide
from services.gateway.orders import Order
from shared.domain.alert import Alert
from shared.domain.errors import Conflict, Retry
from shared.domain.events import Noted
from shared.domain.frozen import JsonObject
from shared.domain.ids import IncidentId, TransactionId
from shared.domain.incident import Incident
from shared.domain.transaction import Lock
from shared.ports.clock import Clock
from shared.ports.ledger import Activities, Claims, Inbox, Ledger
from shared.ports.notifier import Notifier

_TRIES: Final = 5
"""How often an order is decided again because somebody appended first."""
AGAIN_AFTER_S: Final = 5.0
"""Between two looks at whether another gateway has told what it claimed."""
_SEARCHED: Final = 1000
"""How many incidents, newest first, are searched for a transaction."""


async def store(alerts: Sequence[Alert], inbox: Inbox) -> None:
    """Return once every alert is durable. Raises LedgerUnavailable; then the caller sends them all again."""
    await inbox.put(*alerts)


async def known(incident: IncidentId, ledger: Ledger) -> Incident:
    """Return the incident. Raises Problem (404) if there is none of that name."""
    found = await ledger.fold(incident) if TOKEN.fullmatch(incident) else None
    if found is None or found.state is None:
        raise Problem(404, f"there is no incident {incident[:80]}", "list them: primum incidents --all")
    return found


async def obey(order: Order, incident_id: IncidentId, ledger: Ledger, clock: Clock) -> tuple[Incident, str]:
    """Carry out an order; return the incident after it and a note. Raises Problem: 404, 409, 503 if it keeps moving."""
    for _ in range(_TRIES):
        incident = await known(incident_id, ledger)
        history = await ledger.history(incident_id)
        match decide(order, incident, history, clock.now()):
            case Already(note=note):
                return incident, note
            case Refused(error=error, advice=advice):
                raise Problem(409, error, advice)
            case Append() as append:
                try:
                    return await _append(append, incident, ledger), ""
                except Conflict:
                    continue
    raise Problem(503, f"incident {incident_id} kept moving while the order was decided", "send it again")


async def _append(append: Append, incident: Incident, ledger: Ledger) -> Incident:
    locks = await _kept_locks(incident, ledger) if append.lets_go else ()
    return await ledger.append(incident, append.event, locks=locks, frees_key=append.ends)


async def _kept_locks(incident: Incident, ledger: Ledger) -> Sequence[Lock]:
    """Releases of what this incident still holds: a stuck transaction keeps its locks until a person decides."""
    locked = {ref for transaction in incident.transactions for ref in transaction.plan.locked}
    held = [await ledger.lock(ref) for ref in sorted(locked)]
    return [lock.but(held=False) for lock in held if lock and lock.held and lock.incident == incident.id]


async def incident_of(transaction: TransactionId, ledger: Ledger) -> IncidentId:
    """Return the incident that a transaction belongs to. Raises Problem (404)."""
    for incident_id in await ledger.incidents(limit=_SEARCHED):
        if (await ledger.fold(incident_id)).transaction_of(transaction):
            return incident_id
    raise Problem(
        404, f"there is no transaction {transaction[:80]}", "`primum show ID` names an incident's transactions"
    )


class Teller:
    """Tells people what they must know, until it was accepted; each thing once, if no gateway dies while it tells."""

    def __init__(  # noqa: PLR0913 - the ports that it works with
        self,
        ledger: Ledger,
        notifier: Notifier | None,
        url: str,
        *,
        claims: Claims,
        activities: Activities,
        clock: Clock,
        undo_late_s: float,
        log: FilteringBoundLogger,
    ) -> None:
        self._ledger, self._notifier, self._url, self._log = ledger, notifier, url, log
        self._claims, self._activities = claims, activities
        self._clock, self._undo_late = clock, timedelta(seconds=undo_late_s)
        self._told: set[str] = set()
        """What was accepted and could not be noted yet: that is no reason to tell it again."""

    async def reconcile(self, incident_id: IncidentId) -> None:
        """Tell what is due. Raises Retry if it was not accepted, or another gateway is at it: the loop comes again."""
        history = await self._ledger.history(incident_id)
        if (notice := notices.due(history, self._clock.now() - self._undo_late)) is None:
            return
        note = Noted(
            text=notice.told("a person was told" if self._notifier else "nobody to tell, no PRIMUM_NOTIFY_URL")
        )
        if note in await self._ledger.facts(incident_id):
            return
        name = notice.name(incident_id)
        if name not in self._told:
            if not await self._claims.take(name):
                raise Retry(f"another gateway is telling {name}", after_s=AGAIN_AFTER_S)
            incident = await self._ledger.fold(incident_id)
            await self._tell(name, notices.message(notice, incident, history, self._url))
        await self._ledger.note(incident_id, note)
        self._told.discard(name)

    async def _tell(self, name: str, message: JsonObject) -> None:
        await self._activities.doing(f"telling-a-person:{name}")
        try:
            await self._say(message)
            self._told.add(name)
        except Retry:
            await self._claims.let_go(name)
            raise
        finally:
            await self._activities.doing("idle")

    async def _say(self, message: JsonObject) -> None:
        self._log.warning("a person is needed", why=message["why"], notice=message["id"], text=message["text"])
        if self._notifier is not None:
            await self._notifier.notify(message)
