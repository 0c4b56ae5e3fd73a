"""Who of those that call a Service was rolled out lately."""

from collections.abc import Iterator
from typing import NamedTuple

from shared.analyzers.addresses import services_named
from shared.analyzers.crash_loop import AFTER_A_CHANGE
from shared.domain.objects import Deployment, ReplicaSet, Service
from shared.domain.revisions import known_good, rolled_out_within
from shared.domain.snapshot import Snapshot


class Changed(NamedTuple):
    """A caller that was rolled out within the hour, and the revision to go back to."""

    caller: Deployment
    before: ReplicaSet


def callers(service: Service, snapshot: Snapshot) -> Iterator[Deployment]:
    """Yield the Deployments whose environment names a Service that is not their own."""
    name = (service.ref.namespace, service.metadata.name)
    own = {each.ref for each in snapshot.workloads_behind(service)}
    return (each for each in snapshot.deployments if each.ref not in own and name in services_named(each))


def changed_callers(service: Service, snapshot: Snapshot) -> Iterator[Changed]:
    """Yield those of them that were rolled out lately."""
    for caller in callers(service, snapshot):
        recent = rolled_out_within(AFTER_A_CHANGE, caller, snapshot)
        if recent and (before := known_good(caller, snapshot)) is not None:
            yield Changed(caller, before)
