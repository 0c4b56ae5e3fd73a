"""The rules of the team that runs the shop: the lab's, for what a real cluster's exporters say, and its machines'."""

from typing import Final

from eval.lab.rules import WINDOW_S, Rule, rules
from eval.monitoring.monitoring import Intervals, Recorded, duration, rules_file

PACE: Final = 1.0
INTERVALS: Final = Intervals(scrape_s=2.0, group_wait_s=2.0, group_interval_s=15.0)
"""Shorter than a team's: nobody wants to wait for an evaluation."""
# Applications export histograms; a summary's quantile, which the lab's mesh exports, cannot be summed over pods.
P99: Final = Recorded(
    "http_request_duration_seconds",
    "histogram_quantile(0.99, sum by (namespace, service, le)"
    f" (rate(http_request_duration_seconds_bucket[{duration(WINDOW_S)}])))",
    {"quantile": "0.99"},
)


def team_rules() -> tuple[Rule, ...]:
    """All alerting rules."""
    return (
        *rules(PACE),
        Rule(
            "TargetDown",
            "up == 0",
            "warning",
            "Prometheus cannot scrape a target.",
            "Target {{ $labels.instance }} of the job {{ $labels.job }} cannot be scraped.",
        ),
        Rule(
            "KubeNodeNotReady",
            'kube_node_status_condition{condition="Ready",status="true"} == 0',
            "critical",
            "Node is not ready.",
            "Node {{ $labels.node }} is not ready.",
        ),
        Rule(
            "KubeNodePressure",
            'kube_node_status_condition{condition=~"(Memory|Disk|PID)Pressure",status="true"} == 1',
            "warning",
            "Node runs short of something.",
            "Node {{ $labels.node }} says {{ $labels.condition }}.",
        ),
    )


def team_rules_file() -> str:
    """The file for Prometheus, recording rules included."""
    return rules_file(team_rules(), PACE, [P99])
