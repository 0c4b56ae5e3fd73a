"""What happened in a run, in order: kept as plain values, told in lines when somebody asks."""

import hashlib
from collections import Counter
from collections.abc import Callable
from typing import Final, NamedTuple

WHO_WIDTH: Final = 14


class Line(NamedTuple):
    """One thing that happened: when (seconds of virtual time), what kind of thing, who, and what."""

    at_s: float
    kind: str
    who: str
    text: str


class Story:
    """Everything that was told, in order."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self.lines: list[Line] = []

    def tell(self, kind: str, who: str, text: str) -> None:
        self.lines.append(Line(self._now_s(), kind, who, text))

    def count(self) -> Counter[str]:
        """How many lines there are of each kind."""
        return Counter(line.kind for line in self.lines)

    def told(self) -> list[str]:
        """The timeline, a line each."""
        return [f"{at_s:9.3f} s  {kind:<7} {who:<{WHO_WIDTH}} {text}" for at_s, kind, who, text in self.lines]

    def digest(self) -> str:
        """SHA-256 over the timeline: two runs are the same if this is."""
        return hashlib.sha256("\n".join(self.told()).encode()).hexdigest()
