"""What is offered: alerts as a Prometheus of a large cluster fires them, in the groups that Alertmanager sends.

Everything is drawn from the seed, so that whoever sends and whoever counts make the same alerts on their own.
"""

import hashlib
import json
import random
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

_RULES: Final = (
    ("KubePodCrashLooping", "critical", 'max_over_time(kube_pod_container_status_waiting_reason{reason="x"}[5m]) >= 1'),
    ("KubePodNotReady", "warning", 'sum by (namespace, pod) (kube_pod_status_phase{phase=~"Pending|Unknown"}) > 0'),
    ("HighErrorRate", "critical", 'sum(rate(http_requests_total{code=~"5.."}[5m])) / sum(rate(x[5m])) > 0.05'),
    ("CPUThrottlingHigh", "info", "sum(increase(container_cpu_cfs_throttled_periods_total[5m])) > 0.25"),
)
_STARTS_AT: Final = "2026-01-01T12:00:00.123Z"


class Traffic(NamedTuple):
    """`alerts` distinct ones, numbered from `first`, in groups of up to `group`; `pair`: two senders send everything.

    Each sender repeats a share of its calls (`repeats`) a little later, as after a lost answer.
    """

    seed: int
    first: int
    alerts: int
    group: int
    pair: bool
    repeats: float


def posted(seed: int, number: int) -> dict[str, Any]:
    """Make one alert as Alertmanager posts it, about 1,000 bytes long."""
    name, severity, expression = _RULES[(seed + number) % len(_RULES)]
    namespace, pod = f"team-{number % 40}", f"api-{seed}-{number}"
    labels = {
        "alertname": name,
        "cluster": "production",
        "container": "app",
        "job": "kube-state-metrics",
        "namespace": namespace,
        "pod": pod,
        "prometheus": "monitoring/k8s",
        "severity": severity,
    }
    return {
        "status": "firing",
        "labels": labels,
        "annotations": {
            "summary": f"{name} in {namespace}.",
            "description": f"Pod {namespace}/{pod} (app) has been in this state for longer than 15 minutes.",
            "runbook_url": f"https://runbooks.example.com/kubernetes/{name.lower()}",
        },
        "startsAt": _STARTS_AT,
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": f"http://prometheus.example.com/graph?g0.expr={expression}&g0.tab=1",
        "fingerprint": hashlib.sha256(json.dumps(labels).encode()).hexdigest()[:16],
    }


def groups(traffic: Traffic) -> Sequence[range]:
    """Cut the numbers into groups; sizes are log-uniform from 1 to `group`: many small ones and a few large."""
    rng, found = random.Random(f"{traffic.seed}/{traffic.first}/groups"), list[range]()
    start, end = traffic.first, traffic.first + traffic.alerts
    while start < end:
        size = min(round(traffic.group ** rng.random()), end - start)
        found.append(range(start, start + size))
        start += size
    return found


def calls(traffic: Traffic) -> Sequence[Sequence[int]]:
    """Say for each sender which groups it sends, by index and in order; each group at least once."""
    rng = random.Random(f"{traffic.seed}/{traffic.first}/calls")
    count = len(groups(traffic))
    return [_one_sender(rng, count, traffic.repeats) for _ in range(2 if traffic.pair else 1)]


def _one_sender(rng: random.Random, count: int, repeats: float) -> Sequence[int]:
    """Groups in order, some of them again after up to twenty others."""
    order = [(float(index), index) for index in range(count)]
    order += [(index + rng.uniform(1, 20), index) for index in range(count) if rng.random() < repeats]
    return [index for _, index in sorted(order)]


def body(seed: int, numbers: range) -> bytes:
    """Write a call of Alertmanager's webhook, version 4."""
    alerts = [posted(seed, number) for number in numbers]
    said = {
        "version": "4",
        "groupKey": f'{{}}:{{number="{numbers.start}"}}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "primum",
        "groupLabels": {"cluster": "production"},
        "commonLabels": {"cluster": "production", "prometheus": "monitoring/k8s"},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager.example.com",
        "alerts": alerts,
    }
    return json.dumps(said).encode()


def deliveries(traffic: Traffic) -> Iterator[range]:
    """Give the calls of all senders as they come: one of each in turn."""
    cut, orders = groups(traffic), [list(order) for order in calls(traffic)]
    for place in range(max(map(len, orders))):
        for order in orders:
            if place < len(order):
                yield cut[order[place]]
