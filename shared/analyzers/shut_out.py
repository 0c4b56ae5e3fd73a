"""Who is kept from whom by NetworkPolicies, while requests fail."""

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from shared.analyzers.addresses import addresses
from shared.analyzers.callers import callers
from shared.analyzers.labels import may_select_namespace, selects
from shared.analyzers.pods import live
from shared.analyzers.suspects import ERRING_REQUESTS, errs, failing_ratio
from shared.analyzers.written import Written, last_written
from shared.domain.objects import Deployment, NetworkPeer, NetworkPolicy, NetworkRule, PolicyPort, Service, ServicePort
from shared.domain.revisions import current_revision, earlier_revisions, rolled_out_at
from shared.domain.snapshot import Snapshot

_Labels = Sequence[Mapping[str, str]]
"""Of each pod of a workload."""


class Direction(StrEnum):
    """Whose pods a policy is about: those that are called, or those that call."""

    INGRESS = "Ingress"
    EGRESS = "Egress"


class ShutOut(NamedTuple):
    """A policy that keeps a caller's pods from those behind a Service, and on which ports of those."""

    policy: NetworkPolicy
    direction: Direction
    caller: Deployment
    callee: Deployment
    service: Service
    ports: Sequence[int]


class _Target(NamedTuple):
    """A port of pods: by what number and names a policy may mean it; without a number it is not known which."""

    protocol: str
    number: int | None
    names: frozenset[str]


class _Side(NamedTuple):
    """The pods of one side of a call."""

    workload: Deployment
    pods: _Labels

    @property
    def namespace(self) -> str:
        return self.workload.ref.namespace


class _Call(NamedTuple):
    """What a policy has to let through, on at least one of these ports."""

    caller: _Side
    callee: _Side
    targets: Sequence[_Target]


def written(policy: NetworkPolicy) -> Written | None:
    """Who wrote it last; where that is not kept, when it was made."""
    made = policy.metadata.creation_timestamp
    return last_written(policy, "f:spec") or (None if made is None else Written(made, "somebody"))


def shut_out(snapshot: Snapshot) -> Sequence[ShutOut]:
    """The calls that policies let through on no port, while requests fail.

    All policies that choose a pod add up to what it may do, so the one that was written last is blamed. It is not if
    the caller or the callee was let through before a rollout of its own, which came later: that changed its labels.
    """
    if not snapshot.network_policies:
        return []
    return [
        found
        for service in snapshot.services
        if len(behind := snapshot.workloads_behind(service)) == 1
        for caller in callers(service, snapshot)
        if caller.spec.replicas
        and _fails(caller, service, snapshot)
        and (found := _shut_out(caller, behind[0], service, snapshot)) is not None
    ]


def shut_lately(snapshot: Snapshot) -> Sequence[ShutOut]:
    """Those by policies that somebody wrote lately, which then is where the failure starts."""
    return [each for each in shut_out(snapshot) if (since := written(each.policy)) and since.lately(snapshot)]


def _fails(caller: Deployment, service: Service, snapshot: Snapshot) -> bool:
    """Whether its requests fail, or where nobody counts them, the caller's."""
    recent = snapshot.credible(service.ref)
    counted = recent is not None and recent.requests >= ERRING_REQUESTS
    return errs(service, snapshot) if counted else failing_ratio(caller, snapshot) > 0


def _shut_out(caller: Deployment, callee: Deployment, service: Service, snapshot: Snapshot) -> ShutOut | None:
    if caller.spec.template.spec.host_network or callee.spec.template.spec.host_network:
        return None  # a node's own network: policies are not about that
    targets = _targets(caller, callee, service)
    call = _Call(_side(caller, snapshot), _side(callee, snapshot), targets)
    for direction in Direction:
        isolating = [each for each in snapshot.network_policies if _isolates(each, direction, call)]
        if not targets or not isolating or any(_may_let_through(each, direction, call) for each in isolating):
            continue
        policy = max(isolating, key=lambda each: (_since(each), each.ref))
        if not _changed_itself(policy, direction, call, snapshot):
            numbers = sorted({each.number for each in targets if each.number is not None})
            return ShutOut(policy, direction, caller, callee, service, numbers)
    return None


def _since(policy: NetworkPolicy) -> str:
    found = written(policy)
    return "" if found is None else found.at.isoformat()


# --- whose pods, and which ports


def _side(workload: Deployment, snapshot: Snapshot) -> _Side:
    """Its pods as they are: admission may have added labels; else as they will be."""
    pods = [pod.metadata.labels for pod in live(snapshot.pods_of(workload))]
    return _Side(workload, pods or [workload.spec.template.metadata.labels])


def _targets(caller: Deployment, callee: Deployment, service: Service) -> Sequence[_Target]:
    """The ports of the callee's pods that the caller's addresses of a Service lead to; all if they name none."""
    where = (service.ref.namespace, service.metadata.name)
    dialled = {
        each.port
        for each in addresses(caller.spec.template, caller.ref.namespace)
        if (each.namespace, each.name) == where
    }
    ports = [port for port in service.spec.ports if None in dialled or port.port in dialled]
    return [_target(port, callee) for port in ports]


def _target(port: ServicePort, callee: Deployment) -> _Target:
    declared = [each for container in callee.spec.template.spec.containers for each in container.ports]
    wanted = port.port if port.target_port is None else port.target_port
    if isinstance(wanted, str):
        numbers = [each.container_port for each in declared if each.name == wanted]
        return _Target(port.protocol, numbers[0] if numbers else None, frozenset({wanted}))
    names = frozenset(each.name for each in declared if each.container_port == wanted and each.name)
    return _Target(port.protocol, wanted, names)


# --- what a policy says


def _isolates(policy: NetworkPolicy, direction: Direction, call: _Call) -> bool:
    """Whether it chooses all pods of the side that it is about: then nothing passes that no policy lets through."""
    side = call.callee if direction is Direction.INGRESS else call.caller
    return (
        policy.ref.namespace == side.namespace
        and direction in policy.spec.directions
        and all(selects(policy.spec.pod_selector, labels) for labels in side.pods)
    )


def _may_let_through(policy: NetworkPolicy, direction: Direction, call: _Call) -> bool:
    rules = policy.spec.ingress if direction is Direction.INGRESS else policy.spec.egress
    other = call.caller if direction is Direction.INGRESS else call.callee
    return any(_rule_may(rule, policy.ref.namespace, other, call.targets) for rule in rules or ())


def _rule_may(rule: NetworkRule, namespace: str, other: _Side, targets: Sequence[_Target]) -> bool:
    peers, ports = rule.peers or (), rule.ports or ()
    fits = not peers or any(_peer_may(peer, namespace, other) for peer in peers)
    return fits and (not ports or any(_port_may(port, target) for port in ports for target in targets))


def _peer_may(peer: NetworkPeer, namespace: str, other: _Side) -> bool:
    """Whether any pod of the other side may be meant; addresses may be anybody's."""
    if peer.ip_block is not None:
        return True
    if peer.namespace_selector is None:
        there = other.namespace == namespace
    else:
        there = may_select_namespace(peer.namespace_selector, other.namespace)
    return there and (peer.pod_selector is None or any(selects(peer.pod_selector, labels) for labels in other.pods))


def _port_may(port: PolicyPort, target: _Target) -> bool:
    if port.protocol != target.protocol:
        return False
    match port.port:
        case None:
            return True
        case int() as first:
            return target.number is None or first <= target.number <= (port.end_port or first)
        case name:
            return name in target.names


# --- whose doing


def _changed_itself(policy: NetworkPolicy, direction: Direction, call: _Call, snapshot: Snapshot) -> bool:
    """Whether one side went to labels with which it is not let through after the policy was written."""
    of_caller = [call._replace(caller=each) for each in _before(call.caller.workload, policy, snapshot)]
    of_callee = [call._replace(callee=each) for each in _before(call.callee.workload, policy, snapshot)]
    return any(
        not _isolates(policy, direction, earlier) or _may_let_through(policy, direction, earlier)
        for earlier in (*of_caller, *of_callee)
    )


def _before(workload: Deployment, policy: NetworkPolicy, snapshot: Snapshot) -> Iterator[_Side]:
    """Its pods as they were before a rollout that came after the policy."""
    current, since = current_revision(workload, snapshot), written(policy)
    went = None if current is None else rolled_out_at(current, snapshot)
    if went is not None and (since is None or went > since.at):
        for made in earlier_revisions(workload, snapshot)[:1]:
            yield _Side(workload, [made.spec.template.metadata.labels])
