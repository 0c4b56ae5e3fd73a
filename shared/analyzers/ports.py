"""Which ports of a Service lead nowhere."""

from collections.abc import Sequence
from typing import NamedTuple

from shared.domain.objects import ContainerPort, Deployment, Service, ServicePort
from shared.domain.snapshot import Snapshot


class UnservedPort(NamedTuple):
    """A Service's port that no container behind it serves, and the port that was meant if only one can be."""

    port: ServicePort
    target: int | str
    workload: Deployment
    meant: int | str | None


def unserved_ports(service: Service, snapshot: Snapshot) -> Sequence[UnservedPort]:
    """Compare the target ports with what the one workload behind the Service declares.

    Where it declares none, nothing is known: a number may be served undeclared.
    """
    behind = snapshot.workloads_behind(service)
    if len(behind) != 1:
        return []
    declared = [port for container in behind[0].spec.template.spec.containers for port in container.ports]
    if not declared:
        return []
    return [
        UnservedPort(port, target, behind[0], _meant(port, declared, named=isinstance(port.target_port, str)))
        for port in service.spec.ports
        if not _served(target := port.port if port.target_port is None else port.target_port, declared)
    ]


def _served(target: int | str, declared: Sequence[ContainerPort]) -> bool:
    return any(target in {port.container_port, port.name or None} for port in declared)


def _meant(port: ServicePort, declared: Sequence[ContainerPort], *, named: bool) -> int | str | None:
    """By the Service port's own name, else by its number, else the only one there is."""
    by_name = [candidate for candidate in declared if port.name and candidate.name == port.name]
    by_number = [candidate for candidate in declared if candidate.container_port == port.port]
    candidates = by_name or by_number or declared
    if len(candidates) != 1:
        return None
    return candidates[0].name if named and candidates[0].name else candidates[0].container_port
