"""The lab's Prometheus storage: the last samples of every series, stale as soon as a scrape lacks it."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

Labels = tuple[tuple[str, str], ...]  # sorted pairs, without __name__
Sample = tuple[str, Labels, float]
KEPT: Final = 120


@dataclass
class Series:
    """One series' ring of samples: wall-clock seconds and values."""

    name: str
    labels: Labels
    times: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    still_since_s: float = 0.0
    """When it was first sampled with the value that it has."""
    fell_s: float = -math.inf
    """When its value was last below the one before it."""
    grown: tuple[float, float, float, float | None] | None = None
    """The increase that was asked for last: of which time, range and newest sample, and what it was."""

    def by(self, names: tuple[str, ...]) -> Labels:
        """The labels that an aggregation by these names keeps."""
        return tuple(pair for pair in self.labels if pair[0] in names)

    def window(self, after: float, until: float) -> tuple[list[float], list[float]]:
        """Samples in (after, until]."""
        low, high = bisect_right(self.times, after), bisect_right(self.times, until)
        return self.times[low:high], self.values[low:high]


def labels(**pairs: str) -> Labels:
    """Label pairs in the order that makes them a key."""
    return tuple(sorted(pairs.items()))


class SeriesStore:
    """All series, by name and labels."""

    def __init__(self) -> None:
        self._series: dict[str, dict[Labels, Series]] = {}
        self._scrapes: list[float] = []
        self.scrapes = 0
        self.generation = 0  # moves when a series is born or dies, so that selections can be remembered

    def scrape(self, at: float, samples: Iterable[Sample]) -> None:
        """Append one scrape; series that were silent for the whole ring are forgotten."""
        for name, pairs, value in samples:
            family = self._series.setdefault(name, {})
            series = family.get(pairs)
            if series is None:
                series = family[pairs] = Series(name, pairs, still_since_s=at)
                self.generation += 1
            elif value != (last := series.values[-1]):
                series.still_since_s = at
                if value < last:
                    series.fell_s = at
            series.times.append(at)
            series.values.append(value)
            if len(series.times) > 2 * KEPT:
                del series.times[:-KEPT], series.values[:-KEPT]
        self.scrapes += 1
        self._scrapes.append(at)
        if len(self._scrapes) > 2 * KEPT:
            del self._scrapes[:-KEPT]
            self._forget(self._scrapes[0])

    def _forget(self, before: float) -> None:
        for family in self._series.values():
            for pairs in [pairs for pairs, series in family.items() if series.times[-1] < before]:
                del family[pairs]
                self.generation += 1

    def family(self, name: str) -> Iterable[Series]:
        return self._series.get(name, {}).values()

    def last_scrape(self, at: float) -> float | None:
        """The newest scrape that is not after `at`."""
        index = bisect_right(self._scrapes, at)
        return self._scrapes[index - 1] if index else None

    def values(self, selected: Iterable[Series], at: float) -> Iterator[tuple[Series, float]]:
        """The value of each at a time, without those that were absent from the scrape before it."""
        scraped = self.last_scrape(at)
        if scraped is None:
            return
        for series in selected:
            if series.times[-1] == scraped:
                yield series, series.values[-1]
                continue
            index = bisect_left(series.times, scraped)
            if index < len(series.times) and series.times[index] == scraped:
                yield series, series.values[index]

    def names(self) -> list[str]:
        return sorted(self._series)
