"""All analyzers, and what they find together."""

from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

from shared.analyzers.anti_affinity_unsatisfiable import anti_affinity_unsatisfiable
from shared.analyzers.certificate_expired import certificate_expired
from shared.analyzers.command_not_found import command_not_found
from shared.analyzers.config_map_missing import config_map_missing
from shared.analyzers.connections_exhausted import connections_exhausted
from shared.analyzers.cpu_limit_too_low import cpu_limit_too_low
from shared.analyzers.cpu_saturated import cpu_saturated
from shared.analyzers.crash_loop import crash_loop
from shared.analyzers.credentials_refused import credentials_refused
from shared.analyzers.dependency_address_wrong import dependency_address_wrong
from shared.analyzers.dns_misconfigured import dns_misconfigured
from shared.analyzers.dns_policy_wrong import dns_policy_wrong
from shared.analyzers.image_pull_failed import image_pull_failed
from shared.analyzers.init_container_hanging import init_container_hanging
from shared.analyzers.limit_range_exceeded import limit_range_exceeded
from shared.analyzers.liveness_probe_misconfigured import liveness_probe_misconfigured
from shared.analyzers.memory_limit_too_low import memory_limit_too_low
from shared.analyzers.memory_use_grown import memory_use_grown
from shared.analyzers.network_policy_blocks import network_policy_blocks
from shared.analyzers.node_cordoned import node_cordoned
from shared.analyzers.node_gray_failure import node_gray_failure
from shared.analyzers.node_memory_pressure import node_memory_pressure
from shared.analyzers.node_not_ready import node_not_ready
from shared.analyzers.pods_killed import pods_killed
from shared.analyzers.port_conflict import port_conflict
from shared.analyzers.quota_exceeded import quota_exceeded
from shared.analyzers.readiness_probe_misconfigured import readiness_probe_misconfigured
from shared.analyzers.recent_rollout import recent_rollout
from shared.analyzers.requests_too_large import requests_too_large
from shared.analyzers.retry_storm import retry_storm
from shared.analyzers.rollout_stuck import rollout_stuck
from shared.analyzers.scaled_too_low import scaled_too_low
from shared.analyzers.secret_missing import secret_missing
from shared.analyzers.service_account_missing import service_account_missing
from shared.analyzers.service_port_mismatch import service_port_mismatch
from shared.analyzers.service_selector_mismatch import service_selector_mismatch
from shared.analyzers.service_target_port_mismatch import service_target_port_mismatch
from shared.analyzers.slow_dependency import slow_dependency
from shared.analyzers.taint_not_tolerated import taint_not_tolerated
from shared.analyzers.unhealthy_process import unhealthy_process
from shared.analyzers.unschedulable import unschedulable
from shared.analyzers.volume_claim_missing import volume_claim_missing
from shared.analyzers.volume_claim_unbound import volume_claim_unbound
from shared.analyzers.webhook_failing import webhook_failing
from shared.domain.cause import CauseCode, Finding
from shared.domain.cluster import Ref
from shared.domain.snapshot import Snapshot

Analyzer: TypeAlias = Callable[[Snapshot], Iterable[Finding]]

ANALYZERS: Final[tuple[Analyzer, ...]] = (
    anti_affinity_unsatisfiable,
    certificate_expired,
    command_not_found,
    config_map_missing,
    connections_exhausted,
    cpu_limit_too_low,
    cpu_saturated,
    crash_loop,
    credentials_refused,
    dependency_address_wrong,
    dns_misconfigured,
    dns_policy_wrong,
    image_pull_failed,
    init_container_hanging,
    limit_range_exceeded,
    liveness_probe_misconfigured,
    memory_limit_too_low,
    memory_use_grown,
    network_policy_blocks,
    node_cordoned,
    node_gray_failure,
    node_memory_pressure,
    node_not_ready,
    pods_killed,
    port_conflict,
    quota_exceeded,
    readiness_probe_misconfigured,
    recent_rollout,
    requests_too_large,
    retry_storm,
    rollout_stuck,
    scaled_too_low,
    secret_missing,
    service_account_missing,
    service_port_mismatch,
    service_selector_mismatch,
    service_target_port_mismatch,
    slow_dependency,
    taint_not_tolerated,
    unhealthy_process,
    unschedulable,
    volume_claim_missing,
    volume_claim_unbound,
    webhook_failing,
)


def findings(snapshot: Snapshot) -> tuple[Finding, ...]:
    """Run every analyzer; the surest first, one finding for each code, object and whom that harms."""
    found: dict[tuple[CauseCode, Ref, Ref | None], Finding] = {}
    for analyzer in ANALYZERS:
        for finding in analyzer(snapshot):
            known = found.get((finding.code, finding.object, finding.harms))
            if known is None or finding.confidence > known.confidence:
                found[finding.code, finding.object, finding.harms] = finding
    return tuple(sorted(found.values(), key=lambda finding: (-finding.confidence, finding.code, finding.object)))
