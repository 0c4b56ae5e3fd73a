"""The undo service's settings, from the environment."""

from pathlib import Path

from shared.bus.settings import ServiceSettings


class Settings(ServiceSettings):
    """PRIMUM_*; times in seconds. Those that speak of the cluster's own pace are divided by `pace`."""

    kubeconfig: Path | None = None
    kube_context: str | None = None
    kube_timeout_s: float = 10
    prometheus_url: str = ""
    prometheus_timeout_s: float = 5
    metrics_window_s: float = 60

    holder_check_every_s: float = 2
    """How often the heartbeat of a transaction's holder is looked at."""
    heartbeat_every_s: float = 1
    verify_every_s: float = 5
    """Between two looks at whether an undone scope is back."""
    max_transactions: int = 3
    """Attempts an incident has before a person is called."""
