"""What the mitigator's handlers work with."""

from dataclasses import dataclass, field

from structlog.typing import FilteringBoundLogger

from services.mitigator.lately import Lately
from services.mitigator.settings import Settings
from shared.domain.ids import HolderId
from shared.ports.clock import Clock
from shared.ports.cluster import Cluster
from shared.ports.identity import Identity
from shared.ports.ledger import Activities, Heartbeats, Ledger, Timers
from shared.ports.logs import Logs
from shared.ports.metrics import Metrics
from shared.runbooks.catalog import Catalog


@dataclass(frozen=True)
class Context:
    """The ports, the contracts and the settings of one running mitigator."""

    ledger: Ledger
    cluster: Cluster
    metrics: Metrics | None
    timers: Timers
    heartbeats: Heartbeats
    activities: Activities
    clock: Clock
    identity: Identity
    holder: HolderId
    catalog: Catalog
    settings: Settings
    log: FilteringBoundLogger
    logs: Logs | None = None
    lately: Lately = field(default_factory=Lately)
