"""The gateway with its promise broken: it answers before the alerts are stored. The bench must find them lost."""

import asyncio
import sys
from collections.abc import Sequence

from services.gateway import handlers
from services.gateway.app import main
from shared.domain.alert import Alert
from shared.ports.ledger import Inbox

_store = handlers.store
_later: set[asyncio.Task[None]] = set()


async def store_later(alerts: Sequence[Alert], inbox: Inbox) -> None:
    """Return at once, and store when there is time."""
    task = asyncio.create_task(_store(alerts, inbox))
    _later.add(task)
    task.add_done_callback(_forget)


def _forget(task: asyncio.Task[None]) -> None:
    _later.discard(task)
    if task.exception() is not None:
        sys.stderr.write("alerts that were acknowledged are gone\n")


if __name__ == "__main__":
    handlers.store = store_later
    sys.exit(main())
