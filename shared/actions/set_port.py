"""Let a Service serve a port under the number that its callers dial."""

from pydantic import Field

from shared.actions.action import NotApplicable, action, patch, service_of
from shared.domain.change import Change, replace
from shared.domain.cluster import Kind, Ref
from shared.domain.frozen import Frozen
from shared.domain.path import join
from shared.domain.snapshot import Snapshot


class SetPort(Frozen):
    """`port` is the Service port's name: one that has none goes by the number that changes."""

    service: Ref
    port: str
    number: int = Field(ge=1, le=65535)


@action("service.set-port", params=SetPort, writes=[Kind.SERVICE])
def set_port(params: SetPort, snapshot: Snapshot) -> list[Change]:
    """Set the number of one port of a Service; what it leads to stays."""
    service = service_of(params.service, snapshot)
    if params.port not in {port.name for port in service.spec.ports}:
        raise NotApplicable(f"{service.ref} has no port of the name {params.port!r}")
    if params.number in {port.port for port in service.spec.ports if port.name != params.port}:
        raise NotApplicable(f"{service.ref} has port {params.number} under another name already")
    edit = replace(service.object, join("spec", "ports", params.port, "port"), params.number)
    return patch(service.object, [edit], f"serves {params.number} already")
