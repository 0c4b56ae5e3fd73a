"""Health of a scope, read off one snapshot."""

from collections.abc import Sequence

from shared.domain.cluster import Kind, Ref
from shared.domain.health import Health, WorkloadHealth
from shared.domain.objects import Deployment, Pod
from shared.domain.snapshot import Snapshot

CRASHING = frozenset({"CrashLoopBackOff", "ErrImagePull", "ImagePullBackOff", "CreateContainerConfigError"})


def health_of(scope: Sequence[Ref], snapshot: Snapshot) -> Health:
    """Measure each Deployment of the scope, and each Service by its ready endpoints and its request counters."""
    deployments = [found for ref in scope if (found := snapshot.deployment(ref)) is not None]
    services = {ref for ref in scope if ref.kind is Kind.SERVICE} | {
        service.ref for deployment in deployments for service in snapshot.services_of(deployment)
    }
    known = [service for ref in sorted(services) if (service := snapshot.service(ref)) is not None]
    return Health(
        at=snapshot.taken_at,
        workloads=tuple(_workload(deployment, snapshot) for deployment in deployments),
        endpoints={_key(service.ref): snapshot.ready_endpoints(service) for service in known},
        traffic={key: snapshot.traffic[key] for service in known if (key := _key(service.ref)) in snapshot.traffic},
        recent={key: snapshot.recent[key] for service in known if (key := _key(service.ref)) in snapshot.recent},
    )


def _key(ref: Ref) -> str:
    return f"{ref.namespace}/{ref.name}"


def _workload(deployment: Deployment, snapshot: Snapshot) -> WorkloadHealth:
    pods = snapshot.pods_of(deployment)
    return WorkloadHealth(
        ref=deployment.ref,
        desired=deployment.spec.replicas,
        ready=sum(pod.ready for pod in pods),
        rolled_out=deployment.rolled_out and not any(pod.metadata.deletion_timestamp for pod in pods),
        crash_looping=sum(_crashing(pod) for pod in pods),
        restarts=sum(pod.restarts for pod in pods),
    )


def _crashing(pod: Pod) -> bool:
    return bool(pod.waiting_reasons & CRASHING)


def ailing(health: Health) -> str | None:
    """Say what is structurally wrong in the scope; None if all that is wanted is ready."""
    for workload in health.workloads:
        if workload.crash_looping:
            return f"{workload.crash_looping} pods of {workload.ref} fail to start"
        if workload.ready < workload.desired:
            return f"{workload.ready} of {workload.desired} pods of {workload.ref} are ready"
    return next((f"{service} has no ready endpoint" for service, ready in health.endpoints.items() if ready == 0), None)
