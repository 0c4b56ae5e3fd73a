"""The undo service's composition root: which adapter stands behind which port."""

import functools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.undo import handlers
from services.undo.context import Context
from services.undo.listening import Listening
from services.undo.settings import Settings
from shared.bus.observe import observing
from shared.bus.service import Bus, Duties, serve
from shared.bus.settings import load as load_settings
from shared.domain.events import Owner


def main() -> int:
    """Run until SIGTERM; the exit status."""
    settings = load_settings(Settings)
    return serve(Owner.UNDO, settings, functools.partial(_duties, settings))


@asynccontextmanager
async def _duties(settings: Settings, bus: Bus) -> AsyncIterator[Duties]:
    async with observing(settings, Owner.UNDO, bus.clock) as (cluster, metrics, _):
        context = Context(
            ledger=bus.ledger,
            cluster=cluster,
            metrics=metrics,
            timers=bus.timers,
            heartbeats=bus.heartbeats,
            listening=Listening(settings.heartbeat_ttl_s / 2),
            activities=bus.activities,
            clock=bus.clock,
            holder=bus.holder,
            settings=settings,
        )
        yield Duties(
            wakes_on=handlers.WAKES_ON,
            reconcile=functools.partial(handlers.reconcile, context=context),
            background=(functools.partial(handlers.beat, context),),
        )
