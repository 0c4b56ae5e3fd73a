"""How well a scope does, and what comparing two moments of it says."""

from enum import StrEnum

from pydantic import AwareDatetime

from shared.domain.cluster import Ref
from shared.domain.frozen import Frozen


class Symptom(StrEnum):
    """What the alert's own expression says now."""

    PRESENT = "present"
    RECEDING = "receding"
    GONE = "gone"
    UNKNOWN = "unknown"


class SymptomReading(Frozen):
    """One measurement of the symptom. `firing` counts the series that still match; `level` sums their values."""

    symptom: Symptom
    reason: str
    firing: int = 0
    level: float = 0.0


class Traffic(Frozen):
    """Requests to one Service and how many of them failed, as counted by its clients' side."""

    requests: float
    errors: float

    @property
    def error_ratio(self) -> float:
        """Between 0 and 1: errors are asked for a moment after requests, and may be a scrape ahead of them."""
        return min(1.0, self.errors / self.requests) if self.requests > 0 else 0.0

    def without(self, others: "Traffic") -> "Traffic":
        """What is left when some of it does not count."""
        return Traffic(requests=max(0.0, self.requests - others.requests), errors=max(0.0, self.errors - others.errors))

    def since(self, earlier: "Traffic") -> "Traffic":
        """What was counted since an earlier reading; a counter that fell was reset, and counts from zero."""
        if self.requests < earlier.requests:
            return self
        return Traffic(requests=self.requests - earlier.requests, errors=max(0.0, self.errors - earlier.errors))


class Latency(Frozen):
    """How long one Service's answers take on average, in seconds: lately, and at their best in the time before."""

    now_s: float
    before_s: float

    @property
    def excess_s(self) -> float:
        return self.now_s - self.before_s


class WorkloadHealth(Frozen):
    """One workload of the scope at one moment; the numbers count pods, `restarts` their containers' restarts."""

    ref: Ref
    desired: int
    ready: int
    rolled_out: bool
    crash_looping: int
    restarts: int


class Unmeasured(Frozen):
    """What could not be measured, and why: it is not worse, not better, and not the same either."""

    what: str
    reason: str

    def __str__(self) -> str:
        return f"{self.what} could not be measured: {self.reason}"


class Health(Frozen):
    """The scope at one moment. Keys of the maps are Services, `namespace/name`."""

    at: AwareDatetime
    workloads: tuple[WorkloadHealth, ...]
    endpoints: dict[str, int] = {}
    """Ready endpoints."""
    traffic: dict[str, Traffic] = {}
    """Counters since they began. A Service without request metrics is missing: not the same as no requests."""
    recent: dict[str, Traffic] = {}
    """What the counters grew by within the metrics window that ends at `at`: the level before an action."""
    unmeasured: tuple[Unmeasured, ...] = ()
    """Parts of the scope that could not be read: a list that is forbidden is no outage, and no health."""

    def of(self, ref: Ref) -> WorkloadHealth | None:
        return next((workload for workload in self.workloads if workload.ref == ref), None)


class VerdictWord(StrEnum):
    """Better, same, worse, or not known; never a number."""

    BETTER = "better"
    SAME = "same"
    WORSE = "worse"
    INCONCLUSIVE = "inconclusive"


class Verdict(Frozen):
    """What the measurement says of an action, with its reasons."""

    word: VerdictWord
    reasons: tuple[str, ...]

    @property
    def reason(self) -> str:
        return "; ".join(self.reasons)
