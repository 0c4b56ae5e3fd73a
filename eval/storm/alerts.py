"""The alerts that causes make downstream, and for each which causes may explain it: the truth of a storm.

Classes, fixed before any result was seen:

- *clear*: exactly one cause explains what the alert is about. Two causes' clear alerts in one incident are a wrong
  merge; a cause's clear alerts in two incidents are a split.
- *shared*: it is about something that depends on several causes (or its namespace shows several). It may be in the
  incident of any of them. In an incident of none of them it is misplaced.
- *unattributable*: it names only a namespace, and several causes show there. Nobody could say whose it is: an incident
  of its own, grouped by namespace and name, is right for it, too, and is counted as `unattributed`, not as a split.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Final

from eval.lab.alertmanager import NEVER, fingerprint, stamp
from eval.lab.kinds import Obj
from eval.lab.rules import generator_url
from eval.lab.shop import ROUTES, ZONES
from eval.storm.causes import Cause, Fault
from eval.storm.cluster import Cluster, Where

VISIBLE_RATIO: Final = 0.05
"""A namespace shows a cause if something there fails so often, or is its root."""
_ON_PODS: Final = (
    "KubePodNotReady", "KubePodCrashLooping", "PodRestartsHigh", "ContainerWaiting", "CPUThrottlingHigh",
    "ContainerMemoryHigh", "ProbeFailing", "PodNetworkErrors",
)  # fmt: skip
_ON_DEPLOYMENTS: Final = ("DeploymentReplicasMismatch", "DeploymentRolloutStuck", "HpaAtItsMost", "PdbViolated")
_ON_SERVICES: Final = ("RequestErrorRatioHigh", "LatencyHigh", "AvailabilityBurnFast", "AvailabilityBurnSlow")
_ON_NODES: Final = ("NodeNetworkErrors", "NodePodsNotReady", "NodeConntrackFull")
_LITTLE: Final = ("NamespaceErrorBudgetBurn", "NamespacePodsNotReady")
_CODES: Final = ("500", "502", "503", "504")
_CONTAINERS: Final = ("main", "sidecar", "init")
_OLDEST_S: Final = 90.0


@dataclass(frozen=True)
class Told:
    """One alert of a storm."""

    labels: Mapping[str, str]
    causes: frozenset[int]
    starts_at: datetime
    expression: str = ""
    little: bool = False

    @cached_property
    def fingerprint(self) -> str:
        return fingerprint(self.labels)

    @property
    def unattributable(self) -> bool:
        return self.little and len(self.causes) > 1

    def payload(self, url: str, ended: datetime | None = None) -> Obj:
        """Make it one alert of a webhook call."""
        return {
            "status": "resolved" if ended else "firing",
            "labels": dict(self.labels),
            "annotations": {"summary": f"{self.labels['alertname']} for a storm"},
            "startsAt": stamp(self.starts_at),
            "endsAt": stamp(ended) if ended else NEVER,
            "generatorURL": generator_url(url, self.expression) if self.expression else "",
            "fingerprint": self.fingerprint,
        }


class Draw:
    """Draws the alerts of a storm; the same random numbers draw the same."""

    def __init__(self, rng: random.Random, cluster: Cluster, causes: Sequence[Cause], window: str) -> None:
        self._rng, self._cluster, self._causes = rng, cluster, causes
        self._errors = f'sum by (namespace, service) (rate(http_requests_total{{code=~"5.."}}[{window}])) > 0'
        self._below = {cause.number: sorted(cluster.dependents(cause.roots)) for cause in causes}
        self.ratios = cluster.error_ratios({where: own for each in causes for where, own in each.own_errors.items()})

    def storm(self, count: int, at: datetime) -> list[Told]:
        """Draw so many with different fingerprints, in no order, the causes having about equal parts."""
        found: dict[str, Told] = {}
        while len(found) < count:
            told = self._one(self._causes[len(found) % len(self._causes)], at)
            found.setdefault(told.fingerprint, told)
        return self._rng.sample(list(found.values()), count)

    def _one(self, cause: Cause, at: datetime) -> Told:
        starts_at = at - timedelta(milliseconds=round(self._rng.uniform(0, _OLDEST_S * 1000)))
        if cause.fault is Fault.NODE and self._rng.random() < 0.1:
            labels = self._named(_ON_NODES, node=cause.node, device=f"eth{self._rng.randrange(4)}")
            return Told(labels, frozenset({cause.number}), starts_at)
        below = self._below[cause.number]
        where = self._rng.choice(below if below and self._rng.random() < 0.5 else sorted(cause.roots))
        if self._rng.random() < 0.04:
            return self._little(where[0], starts_at)
        kind: Callable[[Where], Mapping[str, str]] = self._rng.choices(
            (self._pod, self._gone_pod, self._deployment, self._service), (4, 1, 1, 4)
        )[0]
        expression = self._errors if kind == self._service else ""
        return Told(kind(where), self._explained_by(where), starts_at, expression)

    # --- who explains it

    def _explained_by(self, where: Where) -> frozenset[int]:
        return frozenset(
            cause.number for cause in self._causes if where in cause.roots or where in self._below[cause.number]
        )

    def _showing_in(self, namespace: str) -> frozenset[int]:
        return frozenset(
            number
            for where in self._cluster.workloads
            if where[0] == namespace
            for number in self._explained_by(where)
            if where in self._causes[number].roots or self.ratios[where] >= VISIBLE_RATIO
        )

    # --- what it says

    def _little(self, namespace: str, starts_at: datetime) -> Told:
        labels = self._named(_LITTLE, namespace=namespace)
        return Told(labels, self._showing_in(namespace), starts_at, little=True)

    def _pod(self, where: Where) -> Mapping[str, str]:
        return self._of_a_pod(where, self._rng.choice(self._cluster.workloads[where].pods))

    def _gone_pod(self, where: Where) -> Mapping[str, str]:
        """One that is gone: only its ReplicaSet's name tells whose it was."""
        letters = "".join(self._rng.choices("bcdfghjklmnpqrstvwxz2456789", k=5))
        return self._of_a_pod(where, f"{self._cluster.workloads[where].replica_set}-{letters}")

    def _of_a_pod(self, where: Where, pod: str) -> Mapping[str, str]:
        """As kube-state-metrics tells it, with the exporter's own `service`."""
        exporter = {"service": "kube-state-metrics", "job": "kube-state-metrics"} if self._rng.random() < 0.5 else {}
        container = self._rng.choice(_CONTAINERS)
        return self._named(_ON_PODS, namespace=where[0], pod=pod, container=container, **exporter)

    def _deployment(self, where: Where) -> Mapping[str, str]:
        return self._named(_ON_DEPLOYMENTS, namespace=where[0], deployment=where[1])

    def _service(self, where: Where) -> Mapping[str, str]:
        route, zone, code = (self._rng.choice(words) for words in (ROUTES, ZONES, _CODES))
        return self._named(_ON_SERVICES, namespace=where[0], service=where[1], route=route, zone=zone, code=code)

    def _named(self, rules: Sequence[str], **labels: str) -> Mapping[str, str]:
        """Add the rule's name, and the instance that was scraped: it makes thousands of a few."""
        instance = f"10.0.{self._rng.randrange(64)}.{self._rng.randrange(250)}:9090"
        severity = self._rng.choice(("warning", "critical"))
        return {"alertname": self._rng.choice(rules), "severity": severity, "instance": instance, **labels}
