"""The undo service's composition root: which adapter stands behind which port."""

import functools
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from services.undo import handlers
from services.undo.context import Context
from services.undo.settings import Settings
from shared.adapters import kubernetes_api
from shared.adapters.prometheus import Prometheus
from shared.bus.service import Bus, Duties, serve
from shared.bus.settings import load as load_settings
from shared.domain.events import Owner
from shared.domain.ids import ClusterName


def main() -> int:
    """Run until SIGTERM; the exit status."""
    settings = load_settings(Settings)
    return serve(Owner.UNDO, settings, functools.partial(_duties, settings))


@asynccontextmanager
async def _duties(settings: Settings, bus: Bus) -> AsyncIterator[Duties]:
    async with AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(
            kubernetes_api.connect(
                settings.kubeconfig,
                settings.kube_context,
                ClusterName(settings.cluster),
                settings.kube_timeout_s,
                manager="primum-undo",
            )
        )
        metrics = None
        if settings.prometheus_url:
            metrics = await stack.enter_async_context(
                Prometheus(settings.prometheus_url, settings.prometheus_timeout_s)
            )
        context = Context(
            ledger=bus.ledger,
            cluster=cluster,
            metrics=metrics,
            timers=bus.timers,
            heartbeats=bus.heartbeats,
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
