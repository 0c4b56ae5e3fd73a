"""The order of things in the mitigator: fold, look at the state, do what is owed in it."""

from services.mitigator.context import Context
from services.mitigator.mitigating import on_mitigating
from services.mitigator.planning import on_awaiting_approval, on_planning
from services.mitigator.validating import on_resolved, on_validating
from shared.bus import wakes
from shared.domain.events import (
    Owner,
)
from shared.domain.ids import IncidentId
from shared.domain.incident import State

WAKES_ON = wakes.WAKES_ON[Owner.MITIGATOR]

_OWED = {
    State.PLANNING: on_planning,
    State.AWAITING_APPROVAL: on_awaiting_approval,
    State.MITIGATING: on_mitigating,
    State.VALIDATING: on_validating,
    State.RESOLVED: on_resolved,
}


async def reconcile(incident_id: IncidentId, context: Context) -> None:
    """Do what the mitigator owes this incident now."""
    incident = (await context.ledger.fold(incident_id)).understood()
    owed = _OWED.get(incident.state) if incident.state else None
    if owed is None:
        return
    await context.activities.doing(f"{incident.state}:{incident.id}")
    try:
        await owed(incident, context)
    finally:
        await context.activities.doing("idle")


async def beat(context: Context) -> None:
    """Say that this process lives, and that a mitigator does, for ever.

    When it falls silent undo takes over what it was writing; when all have, what was to be judged.
    """
    while True:
        await context.heartbeats.beat(context.holder)
        await context.heartbeats.beat(Owner.MITIGATOR)
        await context.clock.sleep(context.settings.heartbeat_every_s)
