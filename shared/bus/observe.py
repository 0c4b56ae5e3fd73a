"""The two ways to look at a cluster, opened for a service by its settings."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple

from shared.adapters.kubernetes_api import connect
from shared.adapters.prometheus import Prometheus
from shared.bus.settings import ObserverSettings
from shared.domain.events import Owner
from shared.domain.ids import ClusterName
from shared.ports.clock import Clock
from shared.ports.cluster import Cluster
from shared.ports.logs import Logs
from shared.ports.metrics import Metrics


class Observed(NamedTuple):
    """The cluster, its metrics if there is a Prometheus, and what its containers write."""

    cluster: Cluster
    metrics: Metrics | None
    logs: Logs


@asynccontextmanager
async def observing(settings: ObserverSettings, owner: Owner, clock: Clock) -> AsyncIterator[Observed]:
    """Open both; what the service writes bears its name as field manager. Raises PrimumError for a bad kubeconfig."""
    async with AsyncExitStack() as stack:
        connected = connect(
            settings.kubeconfig,
            settings.kube_context,
            ClusterName(settings.cluster),
            settings.kube_timeout_s,
            manager=f"primum-{owner}",
            clock=clock,
        )
        cluster = await stack.enter_async_context(connected)
        metrics = None
        if settings.prometheus_url:
            prometheus = Prometheus(
                settings.prometheus_url, settings.prometheus_timeout_s, clock, settings.metrics_window_s
            )
            metrics = await stack.enter_async_context(prometheus)
        yield Observed(cluster, metrics, cluster.logs)
