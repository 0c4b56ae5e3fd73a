"""Put the diagnoser together: settings, adapters, duties."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from services.diagnoser import handlers
from services.diagnoser.handlers import Context
from services.diagnoser.settings import Settings
from shared.bus.observe import observing
from shared.bus.service import Bus, Duties, serve
from shared.bus.settings import load as load_settings
from shared.domain.events import Owner


@asynccontextmanager
async def duties(settings: Settings, bus: Bus) -> AsyncIterator[Duties]:
    """What the diagnoser does, on one cluster and, where there is one, one Prometheus."""
    async with observing(settings, Owner.DIAGNOSER, bus.clock) as (cluster, metrics, logs):
        context = Context(
            ledger=bus.ledger,
            cluster=cluster,
            metrics=metrics,
            timers=bus.timers,
            activities=bus.activities,
            clock=bus.clock,
            settings=settings,
            log=bus.log,
            logs=logs,
        )
        yield Duties(wakes_on=handlers.WAKES_ON, reconcile=partial(handlers.reconcile, context=context))


def main() -> int:
    """Run the diagnoser until it is told to stop; return the exit status."""
    settings = load_settings(Settings)
    return serve(Owner.DIAGNOSER, settings, partial(duties, settings))
