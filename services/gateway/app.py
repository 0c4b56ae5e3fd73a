"""The gateway's composition root: which adapter stands behind which port."""

import functools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.gateway.alertmanager import cluster_named
from services.gateway.api import Api
from services.gateway.authority import check_binding
from services.gateway.handlers import Teller
from services.gateway.intake import Intake
from services.gateway.settings import GatewaySettings
from shared.adapters.nats_unread import unread
from shared.adapters.webhook import WebhookNotifier
from shared.bus import wakes
from shared.bus.service import Bus, Duties, serve
from shared.bus.settings import load as load_settings
from shared.domain.events import (
    Owner,
)

WAKES_ON = wakes.WAKES_ON[Owner.GATEWAY]


def main() -> int:
    """Run until SIGTERM; the exit status."""
    settings = load_settings(GatewaySettings)
    return serve(Owner.GATEWAY, settings, functools.partial(_build, settings))


@asynccontextmanager
async def _build(settings: GatewaySettings, bus: Bus) -> AsyncIterator[Duties]:
    yield duties(settings, bus)


def duties(settings: GatewaySettings, bus: Bus) -> Duties:
    """What the gateway does. Raises PrimumError for settings that can never work."""
    check_binding(settings.host, settings.token.get_secret_value())
    cluster_named(settings.cluster)
    notifier = WebhookNotifier(settings.notify_url, settings.notify_timeout_s) if settings.notify_url else None
    url = settings.public_url.rstrip("/") or f"http://{settings.host}:{settings.port}"
    teller = Teller(
        bus.ledger,
        notifier,
        url,
        claims=bus.claims,
        activities=bus.activities,
        clock=bus.clock,
        undo_late_s=settings.undo_late_s / settings.pace,
        log=bus.log,
    )
    intake = Intake(bus.clock, max(settings.max_intake_bytes, settings.max_body_bytes), settings.store_timeout_s)
    api = Api(
        settings=settings,
        ledger=bus.ledger,
        inbox=bus.inbox,
        activities=bus.activities,
        clock=bus.clock,
        intake=intake,
        unread=functools.partial(unread, bus.connection, bus.seal.signer, settings.nats_timeout_s),
    )
    return Duties(wakes_on=WAKES_ON, reconcile=teller.reconcile, routes=api.routes())
