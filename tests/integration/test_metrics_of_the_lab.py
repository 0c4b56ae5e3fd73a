"""The whole way of a measurement: the lab's Prometheus over HTTP, the adapter, and the snapshot beside it."""

import pytest

from eval.lab.lab import Lab
from shared.adapters.kubernetes_api import KubernetesCluster
from shared.adapters.prometheus import Prometheus
from shared.domain.errors import MetricsUnavailable
from shared.measure.enrich import with_metrics

WINDOW_S = 2.0


async def test_every_service_and_pod_of_the_shop_is_measured(cluster: KubernetesCluster, lab: Lab) -> None:
    """Traffic, its recent growth and resource use of all that runs, under the names of the objects."""
    await lab.until(lambda: lab.now_s > 90, timeout_s=20)  # several scrapes
    async with Prometheus(lab.prometheus_url, timeout_s=5) as prometheus:
        snapshot = await with_metrics(await cluster.snapshot(), prometheus, WINDOW_S)
    services = {f"{service.ref.namespace}/{service.ref.name}" for service in snapshot.services}
    assert set(snapshot.traffic) == services
    assert set(snapshot.recent) == services
    assert all(traffic.requests > traffic.errors >= 0 for traffic in snapshot.traffic.values())
    assert all(0 < snapshot.recent[name].requests <= snapshot.traffic[name].requests * 1.5 for name in services)
    assert set(snapshot.usage) == {f"{pod.ref.namespace}/{pod.ref.name}" for pod in snapshot.pods if pod.ready}
    assert all(usage.memory_bytes > 2**20 for usage in snapshot.usage.values())
    for service in snapshot.services:
        pods = snapshot.pods_matching(service.ref.namespace, service.spec.selector)
        assert all(snapshot.usage[f"{pod.ref.namespace}/{pod.ref.name}"].cpu_cores > 0 for pod in pods if pod.ready)


async def test_a_query_that_the_server_refuses_is_unavailable_and_quotes_it(lab: Lab) -> None:
    """A rule with a typing error is the rule's fault, and the error says so."""
    async with Prometheus(lab.prometheus_url, timeout_s=5) as prometheus:
        with pytest.raises(
            MetricsUnavailable, match=r"refuses the query 'sum by \('.*: correct the alert's expression"
        ):
            await prometheus.query("sum by (")
