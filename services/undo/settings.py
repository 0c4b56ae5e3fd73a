"""The undo service's settings, from the environment."""

from shared.bus.settings import ObserverSettings


class Settings(ObserverSettings):
    """PRIMUM_*; times in seconds. Those that speak of the cluster's own pace are divided by `pace`."""

    holder_check_every_s: float = 2
    """How often the heartbeat of a transaction's holder is looked at."""
    heartbeat_every_s: float = 1
    verify_every_s: float = 5
    """Between two looks at whether an undone scope is back."""
    max_transactions: int = 3
    """Attempts an incident has before a person is called."""
