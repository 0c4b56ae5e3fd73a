"""A liveness probe that kills what is well."""

from collections.abc import Iterator

from shared.analyzers.evidence import seen, told
from shared.analyzers.pods import current_pods, probe_failures
from shared.analyzers.probes import wrong_probe
from shared.domain.cause import CauseCode, Finding
from shared.domain.snapshot import Snapshot


def liveness_probe_misconfigured(snapshot: Snapshot) -> Iterator[Finding]:
    """A Deployment all of whose newest pods are restarted again and again, by a probe that asks what nobody answers."""
    for deployment in snapshot.deployments:
        pods = current_pods(deployment, snapshot)
        killed = [
            (pod, failures[-1])
            for pod in pods
            if pod.restarts and (failures := probe_failures("Liveness", pod, snapshot))
        ]
        if not killed or len(killed) < len(pods):
            continue
        if (wrong := wrong_probe("livenessProbe", deployment, snapshot)) is not None:
            yield Finding(
                code=CauseCode.LIVENESS_PROBE_MISCONFIGURED,
                object=deployment.ref,
                evidence=(
                    *wrong.evidence,
                    *(told(failure) for _, failure in killed[:3]),
                    *(seen(pod, "/status/containerStatuses", f"{pod.restarts} restarts") for pod, _ in killed[:3]),
                ),
                summary=f"{len(killed)} pods of {deployment.ref} are killed by their liveness probe: it {wrong.why}",
                confidence=0.95,
                remedy={} if wrong.good is None else {"revision": wrong.good.revision},
            )
