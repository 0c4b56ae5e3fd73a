"""The machine's own clock and chance: the one place where real time and random names come in."""

import asyncio
import secrets
import time
from datetime import UTC, datetime
from typing import Final

_LETTERS: Final = "bcdfghjkmnpqrstvwxz23456789"
"""No vowels and no look-alikes: names are read aloud at 2 AM and must spell nothing."""


class SystemClock:
    """The port Clock, on the system's time."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic_s(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class RandomIdentity:
    """The port Identity: fourteen letters of chance, about 66 bits."""

    def new(self, prefix: str) -> str:
        return f"{prefix}-{''.join(secrets.choice(_LETTERS) for _ in range(14))}"
