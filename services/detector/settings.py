"""The detector's settings, from the environment."""

from shared.bus.settings import ObserverSettings, Seconds


class Settings(ObserverSettings):
    """PRIMUM_*; times in seconds. Those that speak of the cluster's own pace are divided by `pace`."""

    surroundings_age_s: Seconds = 10
    """How old the view of the cluster may be that alerts are grouped by: a storm costs one read, not hundreds."""
    symptom_every_s: Seconds = 15
    """Between two looks at an open incident's symptom."""
    relapse_after_s: Seconds = 120
    """How long after it was resolved a symptom may still linger (rates trail a fix) before it is a relapse."""
    watch_s: Seconds = 600
    """How long a resolved incident is watched before it is closed."""
