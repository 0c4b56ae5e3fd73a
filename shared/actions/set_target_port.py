"""Point a Service's port at a port that its pods serve."""

from shared.actions.action import NotApplicable, action, patch, service_of
from shared.domain.change import Change, replace
from shared.domain.cluster import Kind, Ref
from shared.domain.frozen import Frozen
from shared.domain.path import join
from shared.domain.snapshot import Snapshot


class SetTargetPort(Frozen):
    """`port` is the Service port's name, or its number where it has none; `target_port` a container port's."""

    service: Ref
    port: str
    target_port: int | str


@action("service.set-target-port", params=SetTargetPort, writes=[Kind.SERVICE])
def set_target_port(params: SetTargetPort, snapshot: Snapshot) -> list[Change]:
    """Set the target port of one port of a Service."""
    service = service_of(params.service, snapshot)
    if params.port not in {port.key for port in service.spec.ports}:
        raise NotApplicable(f"{service.ref} has no port {params.port!r}")
    edit = replace(service.object, join("spec", "ports", params.port, "targetPort"), params.target_port)
    return patch(service.object, [edit], f"targets {params.target_port} already")
