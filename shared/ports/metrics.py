"""The Prometheus query API."""

from typing import Protocol

from pydantic import AwareDatetime

from shared.domain.frozen import Frozen


class Series(Frozen):
    """One element of an instant vector."""

    labels: dict[str, str]
    value: float
    at: AwareDatetime


class Metrics(Protocol):
    """Instant queries."""

    async def query(self, expression: str) -> tuple[Series, ...]:
        """Evaluate now. An empty vector is an answer; a failed query raises MetricsUnavailable."""
