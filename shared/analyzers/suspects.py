"""Whose log is worth reading."""

from collections.abc import Sequence

from shared.analyzers.unhealthy import ERRING_RATIO, ERRING_REQUESTS
from shared.domain.cluster import Ref
from shared.domain.objects import Deployment
from shared.domain.snapshot import Snapshot


def suspects(snapshot: Snapshot) -> Sequence[Ref]:
    """The workloads whose requests fail, the worst first: what failed them stands in their own log, or nowhere."""
    failing = [(ratio, each.ref) for each in snapshot.deployments if (ratio := failing_ratio(each, snapshot)) > 0]
    return [ref for _, ref in sorted(failing, key=lambda each: (-each[0], each[1]))]


def failing_ratio(deployment: Deployment, snapshot: Snapshot) -> float:
    """The part of the recent requests to a workload's Services that failed; 0 below what says anything."""
    recent = [
        measured
        for service in snapshot.services_of(deployment)
        if (measured := snapshot.recent.get(f"{service.ref.namespace}/{service.metadata.name}")) is not None
    ]
    ratios = (each.error_ratio for each in recent if each.requests >= ERRING_REQUESTS)
    return max((ratio for ratio in ratios if ratio >= ERRING_RATIO), default=0.0)
