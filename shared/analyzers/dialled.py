"""At which ports Services are looked for by those who call them."""

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

from shared.analyzers.addresses import addresses
from shared.analyzers.suspects import errs, failing_ratio
from shared.analyzers.written import Written, last_written
from shared.domain.cluster import Ref
from shared.domain.objects import Deployment, Service
from shared.domain.snapshot import Snapshot

Dialled: TypeAlias = Mapping[int, Sequence[Deployment]]
"""By port, who has an address with it."""
_HEADLESS: Final = "None"


def lost_ports(snapshot: Snapshot) -> Mapping[Ref, Dialled]:
    """The Services that all of their callers dial at ports which they do not have, as they always did; and it fails.

    A caller that dialled one of its ports before has changed itself: then the Service is not at fault. A headless one
    has the ports that its pods listen on, whatever it says.
    """
    callers = _callers(snapshot)
    found: dict[Ref, Dialled] = {}
    for service in snapshot.services:
        dialled = callers.get((service.ref.namespace, service.metadata.name), {})
        has = {port.port for port in service.spec.ports}
        if (
            service.spec.selector
            and has
            and dialled
            and not has & dialled.keys()
            and _fails(service, dialled, snapshot)
        ):
            found[service.ref] = dialled
    return found


def _callers(snapshot: Snapshot) -> Mapping[tuple[str, str], Dialled]:
    """By Service, at which ports it is looked for."""
    found: dict[tuple[str, str], dict[int, list[Deployment]]] = {}
    for deployment in snapshot.deployments:
        named = {*addresses(deployment.spec.template, deployment.ref.namespace)}
        for namespace, name, port in named if deployment.spec.replicas else ():
            if port is not None:
                found.setdefault((namespace, name), {}).setdefault(port, []).append(deployment)
    return found


def _fails(service: Service, dialled: Dialled, snapshot: Snapshot) -> bool:
    """Whether requests fail on either side of it since it changed, and nobody who calls it."""
    callers = [caller for who in dialled.values() for caller in who]
    written = ports_written(service)
    if written is None or not written.lately(snapshot):
        return False
    if service.spec.cluster_ip == _HEADLESS or any(_dialled_before(each, service, snapshot) for each in callers):
        return False
    return errs(service, snapshot) or any(failing_ratio(caller, snapshot) for caller in callers)


def _dialled_before(caller: Deployment, service: Service, snapshot: Snapshot) -> bool:
    """Whether an older revision of the caller dialled a port that the Service has."""
    has = {(service.ref.namespace, service.metadata.name, port.port) for port in service.spec.ports}
    return any(has & {*addresses(made.spec.template, made.ref.namespace)} for made in snapshot.revisions_of(caller))


def ports_written(service: Service) -> Written | None:
    """Who wrote a Service's ports last, as the API server keeps it; None where it does not say."""
    return last_written(service, "f:spec", "f:ports")
