"""What is visibly unwell, in a sentence; topology follows it downstream to the root."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from shared.analyzers.astray import astray
from shared.analyzers.cpu import at_its_end
from shared.analyzers.dialled import Dialled, lost_ports
from shared.analyzers.failing_webhooks import failing_webhooks
from shared.analyzers.gray import gray_nodes
from shared.analyzers.lost import lost_nodes
from shared.analyzers.pods import NEVER_RAN, STUCK, live
from shared.analyzers.ports import unserved_ports
from shared.analyzers.pressed import pressed_nodes
from shared.analyzers.shut_out import shut_lately
from shared.analyzers.slow import slow_services
from shared.analyzers.suspects import errs
from shared.analyzers.unserved_names import unserved_lately
from shared.domain.cluster import Ref
from shared.domain.health import Latency
from shared.domain.objects import Deployment, Service
from shared.domain.snapshot import Snapshot


class Unwell(NamedTuple):
    """Why something is unwell."""

    why: str
    own: bool = True
    """Whether the fault can be its own: a Service that errs only shows its workload's."""
    structural: bool = True
    """Whether it shows in the cluster's objects; errors and load may be what a fault elsewhere does to it."""
    first_hand: bool = False
    """Whether nothing that it calls can be the reason: what has no image or no configuration has not called anybody."""


class _Measured(NamedTuple):
    """What is known of all Services at once."""

    slow: Mapping[Ref, Latency]
    lost: Mapping[Ref, Dialled]


def unwell(snapshot: Snapshot) -> Mapping[Ref, Unwell]:
    """Say of every Deployment, Service and Node that is unwell why."""
    measured = _Measured(slow_services(snapshot), lost_ports(snapshot))
    services = {view.ref: found for view in snapshot.services if (found := _service(view, measured, snapshot))}
    said = dict(_through(services, snapshot))
    said |= services
    said |= {view.ref: found for view in snapshot.deployments if (found := sick(view, snapshot))}
    said |= {
        ref: Unwell("its pods do not ask the cluster's DNS for the Services they call") for ref in astray(snapshot)
    }
    said |= {
        each.policy.ref: Unwell(f"it keeps {each.caller.ref} from {each.callee.ref}") for each in shut_lately(snapshot)
    }
    if (dns := unserved_lately(snapshot)) is not None:
        names = ", ".join(sorted(dns.domains))
        what = f"serves no names of {names}" if dns.down is None else "does not come up since it was written"
        said[dns.config.ref] = Unwell(f"the cluster's DNS {what}")
    said |= {
        each.configuration.ref: Unwell(f"its webhook {each.name} cannot be called")
        for each in failing_webhooks(snapshot)
        if each.configuration is not None
    }
    return said | dict(_nodes(snapshot))


def _nodes(snapshot: Snapshot) -> Iterator[tuple[Ref, Unwell]]:
    for gray in gray_nodes(snapshot):
        said = f"{len(gray.failing)} of its {gray.pods} pods fail while their siblings elsewhere are well"
        yield gray.node.ref, Unwell(said)
    for pressed in pressed_nodes(snapshot):
        said = f"it runs short of memory, and {len(pressed.evicted)} of its pods were evicted for that"
        yield pressed.node.ref, Unwell(said)
    for lost in lost_nodes(snapshot):
        yield lost.node.ref, Unwell(f"it is not ready: {lost.said.reason or lost.said.status}: {lost.said.message}")


def why_unwell(root: Ref | None, said: Mapping[Ref, Unwell], snapshot: Snapshot) -> str | None:
    """Say why a root, or a Service in front of it, is unwell: as long as it is, its incident is not over.

    Who clears an incident and who acts on it ask the same: else one waits for the other for ever.
    """
    if root is None:
        return None
    workload = snapshot.deployment(root)
    fronts = [service.ref for service in snapshot.services_of(workload)] if workload else []
    return next((f"{ref}: {said[ref].why}" for ref in (root, *fronts) if ref in said), None)


def _through(services: Mapping[Ref, Unwell], snapshot: Snapshot) -> Iterator[tuple[Ref, Unwell]]:
    """The workloads behind Services whose fault is not their own: they fail, though their pods look well."""
    for ref, found in services.items():
        service = snapshot.service(ref)
        if service is not None and not found.own:
            for workload in snapshot.workloads_behind(service):
                yield workload.ref, found._replace(own=True)


def sick(deployment: Deployment, snapshot: Snapshot) -> Unwell | None:
    """Say why a workload is unwell by what its own objects and its use show."""
    wanted, available = deployment.spec.replicas, deployment.status.available_replicas
    stuck = {reason for pod in live(snapshot.pods_of(deployment)) for reason in pod.waiting_reasons & STUCK}
    if stuck:
        return Unwell(f"it has pods in {', '.join(sorted(stuck))}", first_hand=bool(stuck & NEVER_RAN))
    if available < wanted:
        return Unwell(f"{available} of {wanted} replicas are available")
    if (use := at_its_end(deployment, snapshot)) is not None:
        return Unwell(f"its pods {use.in_words}", structural=False)
    return None


def _service(service: Service, measured: _Measured, snapshot: Snapshot) -> Unwell | None:
    if not service.spec.selector:
        return None
    if dialled := measured.lost.get(service.ref):
        return Unwell(f"it is dialled at port {min(dialled)}, which it does not have")
    if unserved := unserved_ports(service, snapshot):
        return Unwell(f"its target port {unserved[0].target} is served by no container")
    if snapshot.ready_endpoints(service) == 0:
        if snapshot.workloads_behind(service):
            return Unwell("it has no ready endpoint", own=False)
        pods = snapshot.pods_matching(service.ref.namespace, service.spec.selector)
        if not pods and (near := snapshot.nearest_workload(service)) is not None:
            return Unwell(f"its selector matches no pod, while {near.ref} is near")
    return _by_measure(service, measured.slow, snapshot)


def _by_measure(service: Service, slow: Mapping[Ref, Latency], snapshot: Snapshot) -> Unwell | None:
    """What its requests show: errors and waiting, which may be what a fault elsewhere does to it."""
    recent = snapshot.credible(service.ref)
    if recent is not None and errs(service, snapshot):
        return Unwell(f"{recent.error_ratio:.0%} of its recent requests failed", own=False, structural=False)
    if (latency := slow.get(service.ref)) is not None:
        said = f"its answers take {1000 * latency.now_s:.0f} ms, {1000 * latency.before_s:.0f} ms before"
        return Unwell(said, own=False, structural=False)
    return None
