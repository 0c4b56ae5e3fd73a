"""Whom silence accuses: only who could hear may say that somebody else said nothing."""

import math


class Listening:
    """Since when this process has spoken to the bus, at least every so many seconds: until then it had no ear either.

    After an outage of the bus, or when this process was frozen itself, every heartbeat is gone, and most of their
    holders live.
    """

    def __init__(self, longest_gap_s: float) -> None:
        self._longest_gap_s = longest_gap_s
        self._since_s = self._last_s = -math.inf

    def spoke(self, now_s: float) -> None:
        """Take note that the bus confirmed something of ours, by the monotonic clock."""
        if self._cut_off(now_s):
            self._since_s = now_s
        self._last_s = now_s

    def for_s(self, now_s: float) -> float:
        """For how long it has heard all there was to hear."""
        return 0.0 if self._cut_off(now_s) else now_s - self._since_s

    def _cut_off(self, now_s: float) -> bool:
        return now_s - self._last_s > self._longest_gap_s
