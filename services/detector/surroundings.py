"""The detector's view of the cluster: read once for the many alerts that arrive together."""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.detector.settings import Settings
from shared.analyzers.topology import Topology
from shared.domain.errors import ClusterForbidden, ClusterUnavailable
from shared.domain.snapshot import Snapshot
from shared.measure.enrich import with_metrics
from shared.ports.clock import Clock
from shared.ports.cluster import Cluster
from shared.ports.metrics import Metrics


@dataclass(frozen=True)
class View:
    """One snapshot and the topology in it."""

    snapshot: Snapshot
    topology: Topology


class Surroundings:
    """The newest view, refreshed when it is older than `surroundings_age_s`.

    That there was none is remembered as long: hundreds of alerts that each waited for a cluster that hangs, one after
    the other, would all be handled too late.
    """

    def __init__(self, cluster: Cluster, metrics: Metrics | None, clock: Clock, settings: Settings) -> None:
        self._cluster, self._metrics, self._clock = cluster, metrics, clock
        self._age, self._window_s = timedelta(seconds=settings.surroundings_age_s), settings.metrics_window_s
        self._view: View | ClusterUnavailable | ClusterForbidden | None = None
        self._read_at: datetime | None = None
        self._reading = asyncio.Lock()

    async def view(self) -> View:
        """Raises ClusterUnavailable, ClusterForbidden."""
        async with self._reading:
            now = self._clock.now()
            if self._view is None or self._read_at is None or now - self._read_at > self._age:
                self._view, self._read_at = await self._look(), now
            if isinstance(self._view, View):
                return self._view
            raise self._view

    async def _look(self) -> View | ClusterUnavailable | ClusterForbidden:
        try:
            snapshot = await self._cluster.snapshot()
        except (ClusterUnavailable, ClusterForbidden) as failure:
            return failure
        if self._metrics is not None:
            snapshot = await with_metrics(snapshot, self._metrics, self._window_s)
        return View(snapshot=snapshot, topology=Topology.of(snapshot))
