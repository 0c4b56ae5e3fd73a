"""What the gateway counts, beside the counters of the bus, on /metrics."""

from typing import Final

from prometheus_client import Counter, Histogram

ALERTS_STORED: Final = Counter("primum_alerts_stored", "Alerts that were durable before their call was answered.")
ALERTS_REFUSED: Final = Counter("primum_alerts_refused", "Alerts that can never be taken, of calls that could be read.")
ALERTS_TRUNCATED: Final = Counter("primum_alerts_truncated", "Alerts that senders cut off by their own max_alerts.")
CALLS_REFUSED: Final = Counter("primum_calls_refused", "Calls answered with 4xx or 503, by reason.", ["path", "reason"])
STORING_S: Final = Histogram(
    "primum_alerts_storing_seconds",
    "How long a webhook call took until its alerts were durable.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
