"""A service for tests to kill: writes the fingerprint of each alert to a file, and waits while the gate is shut."""

import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from shared.bus.service import Bus, Duties, serve
from shared.bus.settings import ServiceSettings
from shared.domain.alert import Alert
from shared.domain.events import Owner
from shared.domain.ids import IncidentId

_SEEN, _GATE = Path(os.environ["SEEN"]), Path(os.environ["GATE"])


def _see(alert: Alert) -> None:
    with _SEEN.open("a") as seen:
        seen.write(f"{alert.fingerprint}\n")


def _gate_is_open() -> bool:
    return _GATE.exists()


@asynccontextmanager
async def _build(bus: Bus) -> AsyncIterator[Duties]:
    async def on_alerts(alerts: Sequence[Alert]) -> None:
        for alert in alerts:
            _see(alert)
        while not _gate_is_open():
            await bus.clock.sleep(0.01)

    async def reconcile(_: IncidentId) -> None: ...

    yield Duties(wakes_on=frozenset(), reconcile=reconcile, on_alerts=on_alerts)


if __name__ == "__main__":
    sys.exit(serve(Owner.DETECTOR, ServiceSettings(), _build))
