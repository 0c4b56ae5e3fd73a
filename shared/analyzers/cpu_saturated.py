"""A workload at the end of its CPU limit."""

from collections.abc import Iterator
from math import ceil
from typing import Final

from shared.analyzers.cpu import COMFORTABLE_RATIO, CpuUse, at_its_end
from shared.analyzers.evidence import at, measured
from shared.domain.cause import CauseCode, Finding
from shared.domain.objects import Deployment
from shared.domain.snapshot import Snapshot

MOST_GROWTH: Final = 3.0
"""One step at most triples a workload: more than that is for a person to decide."""


def cpu_saturated(snapshot: Snapshot) -> Iterator[Finding]:
    """A Deployment whose ready pods are at the end of the CPU that they may use: more of them would share the load."""
    for deployment in snapshot.deployments:
        if (use := at_its_end(deployment, snapshot)) is not None:
            yield _finding(deployment, use, _refused_ratio(deployment, snapshot))


def _refused_ratio(deployment: Deployment, snapshot: Snapshot) -> float:
    """The part of the recent requests that failed: at the limit, use says what is served, not what is wanted."""
    keys = [front.ref.key for front in snapshot.services_of(deployment)]
    return max((snapshot.recent[key].error_ratio for key in keys if key in snapshot.recent), default=0.0)


def _finding(deployment: Deployment, use: CpuUse, refused_ratio: float) -> Finding:
    wanted_ratio = use.wanted_ratio / max(1.0 - refused_ratio, 1.0 / MOST_GROWTH)
    replicas = ceil(deployment.spec.replicas * min(wanted_ratio / COMFORTABLE_RATIO, MOST_GROWTH))
    namespace, name = deployment.ref.namespace, deployment.metadata.name
    return Finding(
        code=CauseCode.CPU_SATURATED,
        object=deployment.ref,
        evidence=(
            measured(
                f'rate(container_cpu_usage_seconds_total{{namespace="{namespace}",pod=~"{name}-.*"}})',
                f"{use.used_cores:.2f} of {use.limit_cores:.2f} cores, over {use.pods} ready pods",
            ),
            at(deployment, "/spec/replicas"),
        ),
        summary=f"the pods of {deployment.ref} {use.in_words}",
        confidence=0.6,
        remedy={"replicas": replicas},
    )
