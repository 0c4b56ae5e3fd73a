"""A Service that serves another port than its callers dial."""

from collections.abc import Iterator
from typing import Final

from shared.analyzers.dialled import Dialled, lost_ports, ports_written
from shared.analyzers.evidence import at, measured, seen
from shared.analyzers.suspects import failing_ratio
from shared.domain.cause import CauseCode, Evidence, Finding
from shared.domain.objects import Service, ServicePort
from shared.domain.path import join
from shared.domain.snapshot import Snapshot

_INSIDE: Final = "ClusterIP"


def service_port_mismatch(snapshot: Snapshot) -> Iterator[Finding]:
    """A Service that all of its callers dial at a port which it does not have, while their requests fail."""
    lost = lost_ports(snapshot)
    for service in snapshot.services:
        if service.ref in lost:
            yield _finding(service, lost[service.ref], snapshot)


def _finding(service: Service, dialled: Dialled, snapshot: Snapshot) -> Finding:
    meant, written = _meant(service, dialled), ports_written(service)
    return Finding(
        code=CauseCode.SERVICE_PORT_MISMATCH,
        object=service.ref,
        evidence=(
            *(at(service, join("spec", "ports", port.key, "port")) for port in service.spec.ports[:3]),
            *([seen(service, "/spec/ports", str(written))] if written else []),
            *_addresses(service, dialled, snapshot),
        ),
        summary=f"{service.ref} is dialled at port {', '.join(map(str, sorted(dialled)))}, which it does not have",
        confidence=0.9 if meant is not None else 0.6,
        remedy={} if meant is None else {"port": meant.key, "number": next(iter(dialled))},
    )


def _addresses(service: Service, dialled: Dialled, snapshot: Snapshot) -> Iterator[Evidence]:
    """What its callers have, and how they fare."""
    for port, callers in sorted(dialled.items()):
        for caller in callers[:3]:
            yield seen(caller, "/spec/template/spec/containers", f"its address of {service.ref} has port {port}")
            if failing := failing_ratio(caller, snapshot):
                yield measured(f"requests to {caller.ref}", f"{failing:.0%} of the recent ones failed")


def _meant(service: Service, dialled: Dialled) -> ServicePort | None:
    """The port that should have that number, if it can be only one.

    It must have a name to be found by once its number is another, and nobody outside of the cluster may dial it.
    """
    if len(dialled) != 1 or len(service.spec.ports) != 1 or service.spec.type != _INSIDE:
        return None
    (port,) = service.spec.ports
    return port if port.name[:1].isalpha() else None
