"""The way to a person who is not looking."""

from typing import Protocol

from shared.domain.frozen import JsonObject


class Notifier(Protocol):
    """Delivers a message with its full context."""

    async def notify(self, message: JsonObject) -> None:
        """Return once it was accepted. Raises Retry if it was not."""
