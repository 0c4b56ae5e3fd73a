"""A Service that serves another port than its callers dial."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from shared.analyzers.addresses import addresses
from shared.analyzers.evidence import at, measured, seen
from shared.analyzers.unhealthy import ERRING_RATIO, ERRING_REQUESTS
from shared.domain.cause import CauseCode, Finding
from shared.domain.objects import Deployment, Service, ServicePort
from shared.domain.path import join
from shared.domain.snapshot import Snapshot

_INSIDE: Final = "ClusterIP"


def service_port_mismatch(snapshot: Snapshot) -> Iterator[Finding]:
    """A Service whose requests fail, while those who call it dial a port that it does not have, as they always did.

    A caller that dialled one of its ports before has changed itself: then the Service is not at fault.
    """
    callers = _callers(snapshot)
    for service in snapshot.services:
        has = {port.port for port in service.spec.ports}
        dialled = callers.get((service.ref.namespace, service.metadata.name), {})
        lost = {port: who for port, who in dialled.items() if port not in has}
        changed = any(_dialled_before(each, service, snapshot) for who in lost.values() for each in who)
        if has and lost and not changed and _fails(service, snapshot):
            yield _finding(service, dialled, lost, snapshot)


def _callers(snapshot: Snapshot) -> Mapping[tuple[str, str], Mapping[int, Sequence[Deployment]]]:
    """By Service and port, who has an address of it."""
    found: dict[tuple[str, str], dict[int, list[Deployment]]] = {}
    for deployment in snapshot.deployments:
        named = {*addresses(deployment.spec.template, deployment.ref.namespace)}
        for namespace, name, port in named if deployment.spec.replicas else ():
            if port is not None:
                found.setdefault((namespace, name), {}).setdefault(port, []).append(deployment)
    return found


def _fails(service: Service, snapshot: Snapshot) -> bool:
    recent = snapshot.recent.get(f"{service.ref.namespace}/{service.metadata.name}")
    return recent is not None and recent.requests >= ERRING_REQUESTS and recent.error_ratio >= ERRING_RATIO


def _dialled_before(caller: Deployment, service: Service, snapshot: Snapshot) -> bool:
    """Whether an older revision of the caller dialled a port that the Service has."""
    has = {(service.ref.namespace, service.metadata.name, port.port) for port in service.spec.ports}
    return any(has & {*addresses(made.spec.template, made.ref.namespace)} for made in snapshot.revisions_of(caller))


def _finding(
    service: Service,
    dialled: Mapping[int, Sequence[Deployment]],
    lost: Mapping[int, Sequence[Deployment]],
    snapshot: Snapshot,
) -> Finding:
    meant = _meant(service, dialled, lost)
    recent = snapshot.recent[f"{service.ref.namespace}/{service.metadata.name}"]
    ports = ", ".join(str(port) for port in sorted(lost))
    return Finding(
        code=CauseCode.SERVICE_PORT_MISMATCH,
        object=service.ref,
        evidence=(
            *(at(service, join("spec", "ports", port.key, "port")) for port in service.spec.ports[:3]),
            *(
                seen(caller, "/spec/template/spec/containers", f"its address of {service.ref} has port {port}")
                for port, who in sorted(lost.items())
                for caller in who[:3]
            ),
            measured(f"requests to {service.ref}", f"{recent.error_ratio:.0%} of the recent ones failed"),
        ),
        summary=f"{service.ref} is dialled at port {ports}, which it does not have",
        confidence=0.9 if meant is not None else 0.6,
        remedy={} if meant is None else {"port": meant.key, "number": next(iter(lost))},
    )


def _meant(
    service: Service, dialled: Mapping[int, Sequence[Deployment]], lost: Mapping[int, Sequence[Deployment]]
) -> ServicePort | None:
    """The port that should have the lost number, if it can be only one: nobody here dials it as it is.

    It must have a name to be found by once its number is another, and nobody outside may dial it.
    """
    unused = [port for port in service.spec.ports if port.port not in dialled]
    if len(lost) != 1 or len(unused) != 1 or service.spec.type != _INSIDE:
        return None
    return unused[0] if unused[0].name[:1].isalpha() else None
