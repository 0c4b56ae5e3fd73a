"""The closed taxonomy of causes, and what a cause must bring: an object at fault and evidence."""

from enum import StrEnum
from typing import Final

from pydantic import Field

from shared.domain.cluster import Ref
from shared.domain.frozen import Frozen, Json


class CauseCode(StrEnum):
    """What can be wrong, as the field names it."""

    IMAGE_PULL_FAILED = "image-pull-failed"
    MEMORY_LIMIT_TOO_LOW = "memory-limit-too-low"
    CRASH_LOOP = "crash-loop"
    SERVICE_SELECTOR_MISMATCH = "service-selector-mismatch"
    SERVICE_TARGET_PORT_MISMATCH = "service-target-port-mismatch"
    SCALED_TOO_LOW = "scaled-too-low"
    CPU_SATURATED = "cpu-saturated"
    RECENT_ROLLOUT = "recent-rollout"
    NODE_GRAY_FAILURE = "node-gray-failure"
    UNHEALTHY_PROCESS = "unhealthy-process"
    CONFIG_MAP_MISSING = "config-map-missing"
    SECRET_MISSING = "secret-missing"  # noqa: S105 - the name of a cause
    READINESS_PROBE_MISCONFIGURED = "readiness-probe-misconfigured"
    UNSCHEDULABLE = "unschedulable"
    QUOTA_EXCEEDED = "quota-exceeded"
    CREDENTIALS_REFUSED = "credentials-refused"
    SLOW_DEPENDENCY = "slow-dependency"
    SERVICE_ACCOUNT_MISSING = "service-account-missing"
    LIMIT_RANGE_EXCEEDED = "limit-range-exceeded"
    VOLUME_CLAIM_MISSING = "volume-claim-missing"
    VOLUME_CLAIM_UNBOUND = "volume-claim-unbound"
    REQUESTS_TOO_LARGE = "requests-too-large"
    TAINT_NOT_TOLERATED = "taint-not-tolerated"
    LIVENESS_PROBE_MISCONFIGURED = "liveness-probe-misconfigured"
    INIT_CONTAINER_HANGING = "init-container-hanging"
    COMMAND_NOT_FOUND = "command-not-found"
    ANTI_AFFINITY_UNSATISFIABLE = "anti-affinity-unsatisfiable"
    CPU_LIMIT_TOO_LOW = "cpu-limit-too-low"
    DEPENDENCY_ADDRESS_WRONG = "dependency-address-wrong"
    PORT_CONFLICT = "port-conflict"
    ROLLOUT_STUCK = "rollout-stuck"
    MEMORY_USE_GROWN = "memory-use-grown"
    SERVICE_PORT_MISMATCH = "service-port-mismatch"
    CONNECTIONS_EXHAUSTED = "connections-exhausted"
    CERTIFICATE_EXPIRED = "certificate-expired"
    RETRY_STORM = "retry-storm"
    DNS_POLICY_WRONG = "dns-policy-wrong"
    NETWORK_POLICY_BLOCKS = "network-policy-blocks"
    DNS_MISCONFIGURED = "dns-misconfigured"
    WEBHOOK_FAILING = "webhook-failing"
    NODE_NOT_READY = "node-not-ready"
    NODE_CORDONED = "node-cordoned"
    PODS_KILLED = "pods-killed"
    NODE_MEMORY_PRESSURE = "node-memory-pressure"


CIRCUMSTANTIAL: Final = frozenset({CauseCode.RECENT_ROLLOUT})
"""Causes named by timing alone. That they are gone after an action proves nothing: only the symptom can."""


LOAD: Final = frozenset({CauseCode.CPU_SATURATED})
"""Causes that are load. More replicas share any load, whatever sends it: that it weighs less on each proves nothing."""


HEARD: Final = frozenset(
    {CauseCode.CREDENTIALS_REFUSED, CauseCode.CERTIFICATE_EXPIRED, CauseCode.CONNECTIONS_EXHAUSTED}
)
"""Causes that only log lines show: where nobody listened, they are not gone."""


MEASURED: Final = frozenset({CauseCode.SLOW_DEPENDENCY})
"""Causes that only show in how a workload does: beside what is worse with it they are not named, and yet not gone."""


OUT_OF_REACH: Final = frozenset(
    {
        CauseCode.NODE_NOT_READY,
        CauseCode.NODE_CORDONED,
        CauseCode.PODS_KILLED,
        CauseCode.NODE_MEMORY_PRESSURE,
    }
)
"""Causes that only a person can end, outside of what Primum writes: to act on what they explain would mend nothing."""


class EvidenceSource(StrEnum):
    """Where a piece of evidence can be looked up."""

    OBJECT = "object"
    EVENT = "event"
    LOG = "log"
    METRIC = "metric"


class Evidence(Frozen):
    """A pointer and what was seen there: an object's path, an event, a log line, a series."""

    source: EvidenceSource
    pointer: str
    value: str


class Finding(Frozen):
    """What one analyzer saw. `remedy` names what a runbook needs beyond the object at fault."""

    code: CauseCode
    object: Ref
    evidence: tuple[Evidence, ...] = Field(min_length=1)
    summary: str
    confidence: float = Field(ge=0.0, le=1.0)
    remedy: dict[str, Json] = {}
    harms: Ref | None = None
    """Whom it makes ill besides, by calling it: where that one is the root of an incident, this is its cause."""


class Cause(Finding):
    """A finding that diagnosis stands by, with its rank and why it has it."""

    rank_reasons: tuple[str, ...] = ()

    @property
    def circumstantial(self) -> bool:
        return self.code in CIRCUMSTANTIAL

    @property
    def load(self) -> bool:
        return self.code in LOAD

    @property
    def heard(self) -> bool:
        return self.code in HEARD

    @property
    def felt_by(self) -> Ref | None:
        """Who is ill as long as it lasts; None where its own evidence says so."""
        return self.harms or (self.object if self.code in MEASURED else None)

    def is_same(self, finding: Finding) -> bool:
        return (self.code, self.object) == (finding.code, finding.object)
