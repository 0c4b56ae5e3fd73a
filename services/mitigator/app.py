"""The mitigator's composition root: which adapter stands behind which port."""

import functools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.mitigator import handlers
from services.mitigator.context import Context
from services.mitigator.settings import Settings
from shared.bus.observe import observing
from shared.bus.service import Bus, Duties, serve
from shared.bus.settings import load as load_settings
from shared.domain.events import Owner
from shared.runbooks.catalog import load


def main() -> int:
    """Run until SIGTERM; the exit status."""
    settings = load_settings(Settings)
    return serve(Owner.MITIGATOR, settings, functools.partial(_duties, settings))


@asynccontextmanager
async def _duties(settings: Settings, bus: Bus) -> AsyncIterator[Duties]:
    async with observing(settings, Owner.MITIGATOR, bus.clock) as (cluster, metrics, logs):
        context = Context(
            ledger=bus.ledger,
            cluster=cluster,
            metrics=metrics,
            timers=bus.timers,
            heartbeats=bus.heartbeats,
            activities=bus.activities,
            clock=bus.clock,
            identity=bus.identity,
            holder=bus.holder,
            catalog=load(settings.runbooks),
            settings=settings,
            log=bus.log,
            logs=logs,
        )
        yield Duties(
            wakes_on=handlers.WAKES_ON,
            reconcile=functools.partial(handlers.reconcile, context=context),
            background=(functools.partial(handlers.beat, context),),
        )
