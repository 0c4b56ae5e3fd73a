"""The diagnoser's settings, from the environment."""

from pydantic import Field

from shared.bus.settings import ObserverSettings, Seconds


class Settings(ObserverSettings):
    """PRIMUM_*; times in seconds. Those that speak of the cluster's own pace are divided by `pace`."""

    look_deadline_s: Seconds = 60
    """How long the Kubernetes API may stay silent before a person is told that nobody could look."""
    look_again_s: Seconds = 5
    """Between two looks, where the alert came ahead of the state that explains it."""
    looks: int = Field(default=4, ge=1)
    """At most, before nothing found is the answer."""
