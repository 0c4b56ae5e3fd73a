"""A Service that sends its requests to a port where nobody listens."""

from collections.abc import Iterator

from shared.analyzers.evidence import at
from shared.analyzers.ports import UnservedPort, unserved_ports
from shared.domain.cause import CauseCode, Finding
from shared.domain.objects import Service
from shared.domain.path import join
from shared.domain.snapshot import Snapshot


def service_target_port_mismatch(snapshot: Snapshot) -> Iterator[Finding]:
    """A Service whose target port no container behind it declares, although they declare others."""
    for service in snapshot.services:
        for unserved in unserved_ports(service, snapshot)[:1]:
            yield _finding(service, unserved)


def _finding(service: Service, unserved: UnservedPort) -> Finding:
    declared = [
        at(unserved.workload, join("spec", "template", "spec", "containers", container.name, "ports"))
        for container in unserved.workload.spec.template.spec.containers
        if container.ports
    ]
    named = isinstance(unserved.target, str)
    return Finding(
        code=CauseCode.SERVICE_TARGET_PORT_MISMATCH,
        object=service.ref,
        evidence=(at(service, join("spec", "ports", unserved.port.key, "targetPort")), *declared),
        summary=f"{service.ref} sends requests to port {unserved.target}, which {unserved.workload.ref} does not serve",
        confidence=0.95 if named else 0.85,
        remedy={}
        if unserved.meant is None
        else {
            "workload": unserved.workload.ref.model_dump(mode="json"),
            "port": unserved.port.key,
            "target_port": unserved.meant,
        },
    )
