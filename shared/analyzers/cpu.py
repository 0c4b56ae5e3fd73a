"""How much of its CPU limit a workload uses."""

from typing import Final, NamedTuple

from shared.domain.objects import Deployment, Pod, quantity
from shared.domain.snapshot import Snapshot

SATURATED_RATIO: Final = 0.9
COMFORTABLE_RATIO: Final = 0.6


class CpuUse(NamedTuple):
    """Cores used and allowed, over the ready pods whose use was measured."""

    pods: int
    used_cores: float
    limit_cores: float
    starved: bool
    """Whether half of the pods or more do little but wait for CPU."""

    @property
    def ratio(self) -> float:
        return self.used_cores / self.limit_cores


def cpu_use(deployment: Deployment, snapshot: Snapshot) -> CpuUse | None:
    """Measure a Deployment's ready pods; None where use or limit of more than half of them is not known."""
    ready = [pod for pod in snapshot.pods_of(deployment) if pod.ready]
    known = [
        (snapshot.usage[key], limit)
        for pod in ready
        if (key := pod.ref.key) in snapshot.usage and (limit := _limit(pod)) is not None
    ]
    if not known or 2 * len(known) < len(ready):
        return None
    return CpuUse(
        pods=len(known),
        used_cores=sum(used.cpu_cores for used, _ in known),
        limit_cores=sum(limit for _, limit in known),
        starved=2 * sum(used.starved for used, _ in known) >= len(known),
    )


def is_unmeasured(deployment: Deployment, snapshot: Snapshot) -> bool:
    """Whether its pods have a limit and nobody knows yet how near to it they are, although others' use is measured."""
    limited = any(_limit(pod) is not None for pod in snapshot.pods_of(deployment) if pod.ready)
    return bool(snapshot.usage) and limited and cpu_use(deployment, snapshot) is None


def _limit(pod: Pod) -> float | None:
    """The pod's CPU limit in cores; None if a container has none, for then the pod has none."""
    limits = [container.resources.limits.get("cpu") for container in pod.spec.containers]
    known = [quantity(limit) for limit in limits if limit is not None]
    return sum(known) if known and len(known) == len(limits) and sum(known) > 0 else None
