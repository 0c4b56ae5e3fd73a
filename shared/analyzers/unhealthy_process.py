"""A process that runs and does not answer."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Final

from shared.analyzers.evidence import seen, told
from shared.analyzers.gray import gray_nodes, unheard
from shared.analyzers.pods import current_pods, probe_failures, runs_unready, starting
from shared.domain.cause import CauseCode, Finding
from shared.domain.objects import Deployment, Event, Pod
from shared.domain.revisions import current_revision, rolled_out_at
from shared.domain.snapshot import Snapshot

SETTLED: Final = timedelta(minutes=15)
"""A revision younger than this is still proving itself: then its rollout is the suspect, not its processes."""


def unhealthy_process(snapshot: Snapshot) -> Iterator[Finding]:
    """A Deployment of long standing whose containers run, while its pods fail their readiness probe."""
    elsewhere = {pod.ref for node in gray_nodes(snapshot) for pod in node.failing} | unheard(snapshot)
    for deployment in snapshot.deployments:
        if _settled(deployment, snapshot):
            hanging = [
                (pod, failures[-1])
                for pod in current_pods(deployment, snapshot)
                if pod.ref not in elsewhere
                and not starting(pod, snapshot)
                and runs_unready(pod)
                and (failures := probe_failures("Readiness", pod, snapshot))
            ]
            if hanging:
                yield _finding(deployment, hanging)


def _settled(deployment: Deployment, snapshot: Snapshot) -> bool:
    current = current_revision(deployment, snapshot)
    since = None if current is None else rolled_out_at(current, snapshot)
    return since is not None and snapshot.taken_at - since > SETTLED


def _finding(deployment: Deployment, hanging: Sequence[tuple[Pod, Event]]) -> Finding:
    return Finding(
        code=CauseCode.UNHEALTHY_PROCESS,
        object=deployment.ref,
        evidence=(
            *(seen(pod, "/status/conditions/Ready", "not ready, its containers run") for pod, _ in hanging[:3]),
            *(told(event) for _, event in hanging[:3]),
        ),
        summary=f"{len(hanging)} pods of {deployment.ref} run and do not answer their readiness probe",
        confidence=0.6,
    )
