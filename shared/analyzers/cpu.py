"""How much of its CPU limit a workload uses."""

from typing import Final, NamedTuple

from shared.analyzers.slow import slow_services
from shared.analyzers.suspects import failing_ratio
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

    @property
    def wanted_ratio(self) -> float:
        """What they would use at least: who waits for more wants all of it."""
        return max(self.ratio, 1.0) if self.starved else self.ratio

    @property
    def in_words(self) -> str:
        """What its pods do, to stand behind their name."""
        waiting = " and wait for more" if self.starved and self.ratio < SATURATED_RATIO else ""
        return f"use {self.ratio:.0%} of their CPU limit{waiting}"


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


def at_its_end(deployment: Deployment, snapshot: Snapshot) -> CpuUse | None:
    """Measure a Deployment whose pods use nearly all, or do little but wait for more while it is slow or fails.

    A rate says of a pod half as old as its window that it uses half of what it does, and of others up to a third
    too little, as a kubelet measures when it likes; that they had to wait shows at once.
    """
    use = cpu_use(deployment, snapshot)
    if use is None or use.ratio >= SATURATED_RATIO:
        return use
    return use if use.starved and _is_felt(deployment, snapshot) else None


def _is_felt(deployment: Deployment, snapshot: Snapshot) -> bool:
    slow = slow_services(snapshot).keys() & {service.ref for service in snapshot.services_of(deployment)}
    return bool(slow) or failing_ratio(deployment, snapshot) > 0


def is_unmeasured(deployment: Deployment, snapshot: Snapshot) -> bool:
    """Whether its pods have a limit and nobody knows yet how near to it they are, although others' use is measured."""
    limited = any(_limit(pod) is not None for pod in snapshot.pods_of(deployment) if pod.ready)
    return bool(snapshot.usage) and limited and cpu_use(deployment, snapshot) is None


def _limit(pod: Pod) -> float | None:
    """The pod's CPU limit in cores; None if a container has none, for then the pod has none."""
    limits = [container.resources.limits.get("cpu") for container in pod.spec.containers]
    known = [quantity(limit) for limit in limits if limit is not None]
    return sum(known) if known and len(known) == len(limits) and sum(known) > 0 else None
