"""A Service that selects nothing."""

from collections.abc import Iterator

from shared.analyzers.evidence import at, seen
from shared.domain.cause import CauseCode, Finding
from shared.domain.objects import Deployment, Service
from shared.domain.snapshot import Snapshot


def service_selector_mismatch(snapshot: Snapshot) -> Iterator[Finding]:
    """A Service whose selector matches no pod, while one workload is near that no other Service serves."""
    for service in snapshot.services:
        if not _selects_nothing(service, snapshot):
            continue
        near = snapshot.nearest_workload(service)
        if near is not None and _meant(service, near, snapshot):
            yield Finding(
                code=CauseCode.SERVICE_SELECTOR_MISMATCH,
                object=service.ref,
                evidence=(
                    at(service, "/spec/selector"),
                    at(near, "/spec/template/metadata/labels"),
                    seen(service, "", f"{snapshot.ready_endpoints(service)} ready endpoints"),
                ),
                summary=f"the selector of {service.ref} matches no pod; {near.ref} is the one workload near it",
                confidence=0.95,
                remedy={"workload": near.ref.model_dump(mode="json")},
            )


def _selects_nothing(service: Service, snapshot: Snapshot) -> bool:
    """Neither a pod nor a workload that is scaled to nothing: its template would match."""
    selector = service.spec.selector
    return (
        bool(selector)
        and not snapshot.workloads_behind(service)
        and not snapshot.pods_matching(service.ref.namespace, selector)
    )


def _meant(service: Service, near: Deployment, snapshot: Snapshot) -> bool:
    """A workload of the Service's own name, or one that has no Service at all."""
    return near.metadata.name == service.metadata.name or not snapshot.services_of(near)
