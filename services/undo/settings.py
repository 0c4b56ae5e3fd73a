"""The undo service's settings, from the environment."""

from pydantic import Field

from shared.bus.settings import HolderSettings, Seconds


class Settings(HolderSettings):
    """PRIMUM_*; times in seconds. Those that speak of the cluster's own pace are divided by `pace`."""

    holder_check_every_s: Seconds = 2
    """How often the heartbeat of a transaction's holder is looked at."""
    verify_every_s: Seconds = 5
    """Between two looks at whether an undone scope is back."""
    max_transactions: int = Field(default=3, ge=1)
    """Attempts an incident has before a person is called."""
