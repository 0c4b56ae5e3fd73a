"""Ports by the handful: what a contract test or a simulation asks for, whatever the technology behind them."""

from collections.abc import Callable
from dataclasses import dataclass

from shared.domain.events import Owner
from shared.ports.ledger import Activities, Claims, Heartbeats, Inbox, Ledger
from shared.testing.memory_ledger import (
    MemoryActivities,
    MemoryBus,
    MemoryClaims,
    MemoryHeartbeats,
    MemoryInbox,
    MemoryLedger,
)
from shared.testing.virtual_clock import SeededIdentity, VirtualClock


@dataclass(frozen=True)
class Ports:
    """One technology's way to make each port for a service."""

    ledger: Callable[[Owner], Ledger]
    inbox: Callable[[], Inbox]
    heartbeats: Callable[[], Heartbeats]
    claims: Callable[[], Claims]
    activities: Callable[[str], Activities]


def in_memory(bus: MemoryBus | None = None) -> Ports:
    """Make the fakes, on a bus of their own unless one is given."""
    bus = bus or MemoryBus(VirtualClock(), SeededIdentity())
    return Ports(
        ledger=lambda owner: MemoryLedger(bus, owner),
        inbox=lambda: MemoryInbox(bus),
        heartbeats=lambda: MemoryHeartbeats(bus),
        claims=lambda: MemoryClaims(bus),
        activities=lambda agent: MemoryActivities(bus, agent),
    )
