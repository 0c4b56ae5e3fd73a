"""All analyzers, and what they find together."""

from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

from shared.analyzers.cpu_saturated import cpu_saturated
from shared.analyzers.crash_loop import crash_loop
from shared.analyzers.image_pull_failed import image_pull_failed
from shared.analyzers.memory_limit_too_low import memory_limit_too_low
from shared.analyzers.node_gray_failure import node_gray_failure
from shared.analyzers.recent_rollout import recent_rollout
from shared.analyzers.scaled_too_low import scaled_too_low
from shared.analyzers.service_selector_mismatch import service_selector_mismatch
from shared.analyzers.service_target_port_mismatch import service_target_port_mismatch
from shared.analyzers.unhealthy_process import unhealthy_process
from shared.domain.cause import CauseCode, Finding
from shared.domain.cluster import Ref
from shared.domain.snapshot import Snapshot

Analyzer: TypeAlias = Callable[[Snapshot], Iterable[Finding]]

ANALYZERS: Final[tuple[Analyzer, ...]] = (
    cpu_saturated,
    crash_loop,
    image_pull_failed,
    memory_limit_too_low,
    node_gray_failure,
    recent_rollout,
    scaled_too_low,
    service_selector_mismatch,
    service_target_port_mismatch,
    unhealthy_process,
)


def findings(snapshot: Snapshot) -> tuple[Finding, ...]:
    """Run every analyzer; the surest first, one finding for each (code, object)."""
    found: dict[tuple[CauseCode, Ref], Finding] = {}
    for analyzer in ANALYZERS:
        for finding in analyzer(snapshot):
            known = found.get((finding.code, finding.object))
            if known is None or finding.confidence > known.confidence:
                found[finding.code, finding.object] = finding
    return tuple(sorted(found.values(), key=lambda finding: (-finding.confidence, finding.code, finding.object)))
