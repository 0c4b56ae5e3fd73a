"""The lab's image registry: what each image needs and how it behaves; a tag that is not here cannot be pulled."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Image:
    """An application as the cluster meets it."""

    memory_mib: float  # working set under traffic
    port: int | None  # where it listens; None for a worker
    rps_per_core: float = 0.0
    latency_s: float = 0.02  # p99 of an idle instance, without its dependencies
    start_s: float = 4.0
    needs: Mapping[str, float] = field(default_factory=dict)  # environment variable -> calls for each request
    crashes: bool = False  # exits 1 right after its start
    unhealthy: bool = False  # answers 500 to its probes
    error_ratio: float = 0.0  # share of requests that it answers with 500 by itself
    signs_in: bool = False  # callers must have the STORE_USER and STORE_PASSWORD that it has; others get a 401


class Registry:
    """Images by `repository:tag`."""

    def __init__(self) -> None:
        self._images: dict[str, Image] = {}

    def push(self, reference: str, image: Image) -> None:
        self._images[reference] = image

    def find(self, reference: str) -> Image | None:
        return self._images.get(reference)
