"""Names for new things."""

from typing import Protocol


class Identity(Protocol):
    """Where new ids come from: random in production, from a seed in simulations."""

    def new(self, prefix: str) -> str:
        """A name that nobody else has, safe as a token of a subject and as a label's value: `<prefix>-<letters>`."""
