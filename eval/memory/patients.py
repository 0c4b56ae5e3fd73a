"""Workloads that fall ill, each once: what is wrong, the alerts it makes, and what makes it well again."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from eval.storm.alerts import Told
from eval.storm.cluster import Cluster, Workload, break_pods, break_selector, mend, selects_its_pods
from eval.storm.standing import Standing
from shared.domain.ids import IncidentId

NAMESPACES: Final = tuple(f"team-{number}" for number in range(8))
_NODES: Final = tuple(f"node-{number}" for number in range(40))
_SHARES: Final = (0.25, 0.05, 0.7)
_ERRORS: Final = 0.6
_REPAIRED_AFTER_S: Final = 2.0
"""How long people take to mend what Primum cannot."""


class Fate(StrEnum):
    """How an illness ends."""

    MENDED = "mended"
    """A selector that matches nothing: Primum mends it, it helps, it is kept."""
    WORSE = "worse"
    """The same, but what it lets through kills the pods: Primum takes it back, and people mend it."""
    REPAIRED = "repaired"
    """Pods crash: Primum has no plan, and people mend it."""


def empty_cluster() -> Cluster:
    """Return a cluster with nodes and namespaces, and a workload in each that is always well."""
    return Cluster({(name, "steady"): Workload((name, "steady"), {}, _NODES[:1]) for name in NAMESPACES})


@dataclass
class Patient:
    """One workload, from its deployment to its removal."""

    workload: Workload
    fate: Fate
    told: int
    """How many alerts it makes."""
    errors: str
    """The expression of all of them: one that has none is never seen to be over, and waits for a person."""
    incidents: set[IncidentId] = field(default_factory=set)
    deployed_s: float = 0.0
    opened_s: float | None = None
    ill_s: float | None = None
    """Since when, by the monotonic clock."""
    told_of: bool = False
    left_to_people: bool = False
    well: bool = False
    broke: bool = False

    def fall_ill(self, standing: Standing, now_s: float) -> None:
        """Let it show: it was deployed before."""
        self.ill_s = now_s
        if self.fate is Fate.REPAIRED:
            break_pods(standing.store, self.workload, self.workload.pods, "CrashLoopBackOff")
        else:
            break_selector(standing.store, self.workload)
        self._fail(standing, _ERRORS)

    def alerts(self, rng: random.Random, now: datetime) -> list[Told]:
        """Make its alerts, which began to fire a moment ago."""
        self.told_of = True
        began = [now - timedelta(milliseconds=rng.randrange(1000)) for _ in range(self.told)]
        cut = [at.replace(microsecond=at.microsecond // 1000 * 1000) for at in began]
        return [self._alert(number, at) for number, at in enumerate(cut)]

    def _alert(self, number: int, at: datetime) -> Told:
        namespace, name = self.workload.where
        on_requests = number % 2 == 0
        labels = {
            "alertname": "RequestErrorRatioHigh" if on_requests else "KubePodNotReady",
            "severity": "critical",
            "namespace": namespace,
            "instance": f"10.0.{number // 250}.{number % 250}:9090",
            **({"service": name} if on_requests else {"pod": self.workload.pods[0]}),
        }
        return Told(labels, frozenset(), at, self.errors)

    def live(self, standing: Standing, now_s: float) -> None:
        """Do what follows from what was done to it."""
        if self.well or self.ill_s is None:
            return
        selected = self.fate is not Fate.REPAIRED and selects_its_pods(standing.store, self.workload)
        repaired = self.opened_s is not None and now_s - self.opened_s > _REPAIRED_AFTER_S
        match self.fate:
            case Fate.MENDED if selected:
                self._recover(standing)
            case Fate.WORSE if self.left_to_people:
                self._recover(standing)
            case Fate.WORSE if selected and not self.broke:
                break_pods(standing.store, self.workload, self.workload.pods, "CrashLoopBackOff")
                self._fail(standing, 1.0)
                self.broke = True
            case Fate.REPAIRED if repaired:
                self._recover(standing)
            case _:
                pass

    def _recover(self, standing: Standing) -> None:
        mend(standing.store, self.workload)
        self._fail(standing, 0.0)
        self.well = True

    def _fail(self, standing: Standing, ratio: float) -> None:
        standing.error_ratios = {**standing.error_ratios, self.workload.where: ratio}


def admissions(rng: random.Random, incidents: int, alerts: int, window_s: int) -> Iterator[Patient]:
    """Draw the patients, each with its part of the alerts."""
    errors = f'sum by (namespace, service) (rate(http_requests_total{{code=~"5.."}}[{window_s}s])) > 0'
    for number in range(incidents):
        where = rng.choice(NAMESPACES), f"w{number:05}-{rng.getrandbits(16):04x}"
        count = alerts // incidents + (number < alerts % incidents)
        workload = Workload(where, {}, (rng.choice(_NODES),))
        fate = rng.choices(tuple(Fate), _SHARES)[0]
        yield Patient(workload, fate, count, errors)
