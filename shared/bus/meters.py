"""What the loop counts of itself, on /metrics."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

HANDLED: Final = Counter(
    "primum_handled", "Runs of a handler by how they ended: done, later, dead.", ["service", "work", "outcome"]
)
NAKS: Final = Counter("primum_naks", "Messages given back to be delivered again.", ["service", "work"])
DEAD_LETTERS: Final = Counter("primum_dead_letters", "Messages copied to DEAD.", ["service", "work"])
BUGS: Final = Counter("primum_handler_bugs", "Handlers that failed in a way nobody foresaw.", ["service", "work"])
OLDEST_S: Final = Gauge(
    "primum_oldest_unhandled_seconds", "Age of the oldest message that this process holds unhandled.", ["service"]
)
WAITING: Final = Gauge(
    "primum_messages_waiting", "Messages in the stream behind those this process holds.", ["service", "stream"]
)
RECONCILE_S: Final = Histogram(
    "primum_handler_seconds",
    "How long a run of a handler took.",
    ["service", "work"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
REFUSED: Final = Counter(
    "primum_refused_events", "Messages without effect: forged, altered, replayed, foreign, out of place.", ["reason"]
)
