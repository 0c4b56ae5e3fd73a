"""Services whose answers take longer than they did."""

from collections.abc import Mapping
from typing import Final

from shared.domain.cluster import Ref
from shared.domain.health import Latency
from shared.domain.snapshot import Snapshot

SLOWER: Final = 2.0
LEAST_EXCESS_S: Final = 0.1
"""Twice nothing is nothing: less than this nobody feels."""
LEAST_REQUESTS: Final = 20


def slow_services(snapshot: Snapshot) -> Mapping[Ref, Latency]:
    """The Services whose answers take at least twice as long as before, and a tenth of a second more."""
    return {
        service.ref: latency
        for service in snapshot.services
        if (latency := snapshot.latency.get(service.ref.key)) is not None
        and _enough(service.ref, snapshot)
        and latency.now_s >= SLOWER * latency.before_s
        and latency.excess_s >= LEAST_EXCESS_S
    }


def _enough(service: Ref, snapshot: Snapshot) -> bool:
    """Whether an average of its recent requests says anything."""
    recent = snapshot.credible(service)
    return recent is not None and recent.requests >= LEAST_REQUESTS
