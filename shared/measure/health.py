"""Health of a scope, read off one snapshot."""

from collections.abc import Iterator, Sequence

from shared.domain.cluster import Kind, Ref
from shared.domain.health import Health, Unmeasured, WorkloadHealth
from shared.domain.objects import Deployment, Pod
from shared.domain.snapshot import Snapshot

CRASHING = frozenset({"CrashLoopBackOff", "ErrImagePull", "ImagePullBackOff", "CreateContainerConfigError"})


def health_of(scope: Sequence[Ref], snapshot: Snapshot) -> Health:
    """Measure each Deployment of the scope, and each Service by its ready endpoints and its request counters.

    What could not be read is unmeasured, never absent or zero.
    """
    unmeasured = tuple(_unmeasured(scope, snapshot))
    unknown = {part.what for part in unmeasured}
    deployments = [found for ref in scope if (found := snapshot.deployment(ref)) is not None]
    services = {ref for ref in scope if ref.kind is Kind.SERVICE} | {
        service.ref for deployment in deployments for service in snapshot.services_of(deployment)
    }
    known = [
        service
        for ref in sorted(services)
        if (service := snapshot.service(ref)) is not None and _services_of(ref.namespace) not in unknown
    ]
    return Health(
        at=snapshot.taken_at,
        workloads=tuple(
            _workload(deployment, snapshot) for deployment in deployments if str(deployment.ref) not in unknown
        ),
        endpoints={service.ref.key: snapshot.ready_endpoints(service) for service in known},
        traffic={key: snapshot.traffic[key] for service in known if (key := service.ref.key) in snapshot.traffic},
        recent={key: snapshot.recent[key] for service in known if (key := service.ref.key) in snapshot.recent},
        unmeasured=unmeasured,
    )


def _unmeasured(scope: Sequence[Ref], snapshot: Snapshot) -> Iterator[Unmeasured]:
    for ref in scope:
        kinds = (Kind.DEPLOYMENT, Kind.REPLICA_SET, Kind.POD)
        if ref.kind is Kind.DEPLOYMENT and (why := snapshot.unread_in(ref.namespace, *kinds)):
            yield Unmeasured(what=str(ref), reason=why)
    for namespace in sorted({ref.namespace for ref in scope if ref.namespace}):
        if why := snapshot.unread_in(namespace, Kind.SERVICE, Kind.ENDPOINT_SLICE):
            yield Unmeasured(what=_services_of(namespace), reason=why)


def _services_of(namespace: str) -> str:
    return f"the Services of {namespace}"


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
