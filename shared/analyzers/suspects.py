"""Whose log is worth reading."""

from collections.abc import Sequence
from typing import Final

from shared.domain.cluster import Ref
from shared.domain.objects import Deployment, Service
from shared.domain.snapshot import Snapshot

ERRING_RATIO: Final = 0.02
"""Below what alerts fire at, so that the way from a caller to what it fails on does not break off."""
ERRING_REQUESTS: Final = 20
"""Fewer requests within the metrics window say nothing of a ratio."""


def suspects(snapshot: Snapshot) -> Sequence[Ref]:
    """The workloads whose requests fail, the worst first: what failed them stands in their own log, or nowhere."""
    failing = [(ratio, each.ref) for each in snapshot.deployments if (ratio := failing_ratio(each, snapshot)) > 0]
    return [ref for _, ref in sorted(failing, key=lambda each: (-each[0], each[1]))]


def failing_ratio(deployment: Deployment, snapshot: Snapshot) -> float:
    """The part of the recent requests to a workload's Services that failed; 0 below what says anything."""
    return max((_ratio(service, snapshot) for service in snapshot.services_of(deployment)), default=0.0)


def errs(service: Service, snapshot: Snapshot) -> bool:
    """Whether enough of the recent requests to a Service failed to say so."""
    return _ratio(service, snapshot) > 0


def _ratio(service: Service, snapshot: Snapshot) -> float:
    recent = snapshot.credible(service.ref)
    if recent is None or recent.requests < ERRING_REQUESTS or recent.error_ratio < ERRING_RATIO:
        return 0.0
    return recent.error_ratio
