"""Time."""

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """Where time comes from; on virtual time in simulations."""

    def now(self) -> datetime:
        """The wall clock's moment, in UTC."""

    def monotonic_s(self) -> float:
        """Seconds that never go back, to measure spans with."""

    async def sleep(self, seconds: float) -> None: ...
