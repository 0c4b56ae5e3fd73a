"""A readiness probe that can never succeed."""

from collections.abc import Iterator

from shared.analyzers.evidence import seen, told
from shared.analyzers.pods import current_pods, probe_failures, runs_unready
from shared.analyzers.probes import wrong_probe
from shared.domain.cause import CauseCode, Finding
from shared.domain.snapshot import Snapshot


def readiness_probe_misconfigured(snapshot: Snapshot) -> Iterator[Finding]:
    """A Deployment none of whose newest pods gets ready, though they run: their probe asks what nobody answers."""
    for deployment in snapshot.deployments:
        pods = current_pods(deployment, snapshot)
        hanging = [
            (pod, failures[-1])
            for pod in pods
            if runs_unready(pod) and (failures := probe_failures("Readiness", pod, snapshot))
        ]
        if not hanging or any(pod.ready for pod in pods):
            continue
        if (wrong := wrong_probe("readinessProbe", deployment, snapshot)) is not None:
            yield Finding(
                code=CauseCode.READINESS_PROBE_MISCONFIGURED,
                object=deployment.ref,
                evidence=(
                    *wrong.evidence,
                    *(told(failure) for _, failure in hanging[:3]),
                    *(seen(pod, "/status/conditions/Ready", "not ready, its containers run") for pod, _ in hanging[:3]),
                ),
                summary=f"{len(hanging)} pods of {deployment.ref} run and are never ready: their probe {wrong.why}",
                confidence=0.95,
                remedy={} if wrong.good is None else {"revision": wrong.good.revision},
            )
