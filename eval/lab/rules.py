"""Alert rules as data, and their evaluation: pending for a while, firing, resolved, as Prometheus does it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from urllib.parse import quote

from eval.lab.query import QueryEngine
from eval.lab.series import Labels

FOR_S: Final = 15.0
WINDOW_S: Final = 30.0  # how far back rates look, in model time
_TEMPLATE: Final = re.compile(r"\{\{\s*\$(?:labels\.(\w+)|(value))\s*\}\}")


@dataclass(frozen=True)
class Rule:
    """One alerting rule, as a PrometheusRule would write it."""

    alert: str
    expr: str
    severity: str
    summary: str
    description: str
    labels: Mapping[str, str] = field(default_factory=dict)
    for_s: float = FOR_S


@dataclass
class Alert:
    """One instance of a rule: a label set, and since when it holds."""

    rule: Rule
    labels: dict[str, str]
    annotations: dict[str, str]
    active_s: float
    value: float
    fired_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def firing(self) -> bool:
        return self.fired_at is not None and self.ended_at is None


def rules(pace: float) -> tuple[Rule, ...]:
    """The lab's rules. Metrics carry wall-clock times, so a window of model time is shorter by the pace."""
    window = f"{max(1, round(WINDOW_S / pace * 1000))}ms"
    by = "sum by (namespace, service, route, zone)"
    return (
        Rule(
            "DeploymentReplicasMismatch",
            "kube_deployment_status_replicas_available < kube_deployment_spec_replicas",
            "warning",
            "Deployment has fewer available replicas than it wants.",
            "Deployment {{ $labels.namespace }}/{{ $labels.deployment }} has only {{ $value }} replicas available.",
        ),
        Rule(
            "PodCrashLooping",
            f'max_over_time(kube_pod_container_status_waiting_reason{{reason="CrashLoopBackOff"}}[{window}]) >= 1',
            "warning",
            "Pod is crash looping.",
            "Pod {{ $labels.namespace }}/{{ $labels.pod }} ({{ $labels.container }}) is in CrashLoopBackOff.",
        ),
        Rule(
            "ServiceNoEndpoints",
            "kube_endpoint_address_available == 0",
            "critical",
            "Service has no ready endpoints.",
            "Service {{ $labels.namespace }}/{{ $labels.endpoint }} has no ready endpoint address.",
            {"service": "{{ $labels.endpoint }}"},
        ),
        Rule(
            "RequestErrorRatioHigh",
            # The floor keeps one stray error of a route that nobody calls from being half of its requests.
            f'{by} (rate(http_requests_total{{code=~"5.."}}[{window}]))'
            f" / ({by} (rate(http_requests_total[{window}])) + {pace:g}) > 0.05",
            "critical",
            "Requests to a service fail.",
            "{{ $value }} of the requests to {{ $labels.namespace }}/{{ $labels.service }} {{ $labels.route }} fail.",
        ),
        Rule(
            "RequestLatencyHigh",
            'http_request_duration_seconds{quantile="0.99"} > 0.5',
            "warning",
            "Requests to a service are slow.",
            "The p99 of {{ $labels.namespace }}/{{ $labels.service }} is {{ $value }} s.",
        ),
    )


def _fill(text: str, labels: Mapping[str, str], value: float) -> str:
    return _TEMPLATE.sub(lambda found: f"{value:.4g}" if found[2] else labels.get(found[1], ""), text)


def generator_url(base: str, expr: str) -> str:
    """The link that Prometheus puts into an alert: its graph page for the expression."""
    return f"{base}/graph?g0.expr={quote(expr, safe='')}&g0.tab=1"


class RuleEngine:
    """Evaluates all rules, and keeps what is pending or firing."""

    def __init__(self, queries: QueryEngine, pace: float) -> None:
        self.rules = rules(pace)
        self._queries = queries
        self.active: dict[tuple[str, Labels], Alert] = {}

    def evaluate(self, now_s: float, sampled_at: datetime, wall: datetime) -> list[Alert]:
        """Return every alert that fires, and once those that have just ended; their times are the wall's."""
        ended: list[Alert] = []
        for rule in self.rules:
            found = self._queries.instant(rule.expr, sampled_at.timestamp())
            vector = found if isinstance(found, dict) else {}
            keys = {(rule.alert, pairs) for pairs in vector}
            for key in [key for key in self.active if key[0] == rule.alert and key not in keys]:
                gone = self.active.pop(key)
                if gone.fired_at is not None:
                    gone.ended_at = wall
                    ended.append(gone)
            for pairs, value in vector.items():
                self._hold(rule, pairs, value, now_s, wall)
        return [alert for alert in self.active.values() if alert.firing] + ended

    def _hold(self, rule: Rule, pairs: Labels, value: float, now_s: float, wall: datetime) -> None:
        key = (rule.alert, pairs)
        alert = self.active.get(key)
        if alert is None:
            plain = {name: text for name, text in pairs if name != "__name__"}
            extra = {name: _fill(text, plain, value) for name, text in rule.labels.items()}
            named = {**plain, **extra, "alertname": rule.alert, "severity": rule.severity}
            texts = {"summary": rule.summary, "description": rule.description}
            notes = {name: _fill(text, plain, value) for name, text in texts.items()}
            alert = self.active[key] = Alert(rule, named, notes, now_s, value)
        alert.value = value
        if alert.fired_at is None and now_s - alert.active_s >= rule.for_s:
            alert.fired_at = wall
