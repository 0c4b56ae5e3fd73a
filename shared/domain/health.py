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
    """Raw request counters of one Service since its counters began; deltas of two are what is judged."""

    requests: float
    errors: float


class WorkloadHealth(Frozen):
    """One workload or Service of the scope at one moment."""

    ref: Ref
    desired: int
    ready: int
    rolled_out: bool
    crash_looping: int
    restarts: int
    traffic: Traffic | None = None
    """None: no request metrics for it (which is not the same as no requests)."""


class Health(Frozen):
    """The scope at one moment."""

    at: AwareDatetime
    workloads: tuple[WorkloadHealth, ...]
    endpoints: dict[str, int] = {}
    """Ready endpoints by Service, `namespace/name`."""

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
