"""What the undo service's handlers work with."""

from dataclasses import dataclass

from services.undo.listening import Listening
from services.undo.settings import Settings
from shared.domain.ids import HolderId
from shared.ports.clock import Clock
from shared.ports.cluster import Cluster
from shared.ports.ledger import Activities, Heartbeats, Ledger, Timers
from shared.ports.metrics import Metrics


@dataclass(frozen=True)
class Context:
    """The ports and the settings of one running undo service."""

    ledger: Ledger
    cluster: Cluster
    metrics: Metrics | None
    timers: Timers
    heartbeats: Heartbeats
    listening: Listening
    activities: Activities
    clock: Clock
    holder: HolderId
    settings: Settings
