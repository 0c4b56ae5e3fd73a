"""The detector's composition root: which adapter stands behind which port."""

import functools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.detector import handlers
from services.detector.settings import Settings
from services.detector.surroundings import Surroundings
from shared.bus.observe import observing
from shared.bus.service import Bus, Duties, serve
from shared.bus.settings import load as load_settings
from shared.domain.events import Owner


def main() -> int:
    """Run until SIGTERM; the exit status."""
    settings = load_settings(Settings)
    return serve(Owner.DETECTOR, settings, functools.partial(_duties, settings))


@asynccontextmanager
async def _duties(settings: Settings, bus: Bus) -> AsyncIterator[Duties]:
    async with observing(settings, Owner.DETECTOR, bus.clock) as (cluster, metrics, _):
        context = handlers.Context(
            ledger=bus.ledger,
            surroundings=Surroundings(cluster, metrics, bus.clock, settings),
            metrics=metrics,
            timers=bus.timers,
            activities=bus.activities,
            clock=bus.clock,
            identity=bus.identity,
            settings=settings,
            log=bus.log,
        )
        yield Duties(
            wakes_on=handlers.WAKES_ON,
            reconcile=functools.partial(handlers.reconcile, context=context),
            on_alerts=functools.partial(handlers.on_alerts, context=context),
        )
