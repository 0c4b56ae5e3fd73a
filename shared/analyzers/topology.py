"""Who depends on whom, read from the cluster itself, and where a failure starts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Self

import networkx as nx

from shared.analyzers.addresses import services_named
from shared.analyzers.astray import astray
from shared.analyzers.cpu import cpu_use
from shared.analyzers.failing_webhooks import failing_webhooks
from shared.analyzers.gray import gray_nodes
from shared.analyzers.lost import lost_nodes, word_on
from shared.analyzers.pressed import pressed_nodes
from shared.analyzers.shut_out import shut_lately
from shared.analyzers.unhealthy import Unwell, unwell
from shared.analyzers.unserved_names import dead_dns, harmed_without_names, unserved_lately
from shared.domain.cluster import Kind, Ref
from shared.domain.frozen import Frozen
from shared.domain.objects import Pod, ReplicaSet, Service
from shared.domain.snapshot import Snapshot

_LABELS: Final[Mapping[str, Kind]] = {
    "deployment": Kind.DEPLOYMENT,
    "pod": Kind.POD,
    "service": Kind.SERVICE,
    "node": Kind.NODE,
}
"""An alert's labels that name an object, the most telling first: `service` is often the exporter's own."""
_OF_OTHER_KINDS: Final = frozenset(
    {
        "certificate",
        "configmap",
        "cronjob",
        "daemonset",
        "endpoint",
        "horizontalpodautoscaler",
        "hpa",
        "ingress",
        "job_name",
        "persistentvolume",
        "persistentvolumeclaim",
        "poddisruptionbudget",
        "replicaset",
        "resourcequota",
        "secret",
        "statefulset",
    }
)
"""Labels that name what is not in the graph: an alert with one is about that, not about its namespace."""


class Root(Frozen):
    """Where a failure starts, and why that is thought."""

    ref: Ref
    because: str


@dataclass(frozen=True)
class Topology:
    """A graph of Deployments and Services, each with an edge to what it needs.

    And to what makes it look ill: a failing node under it, a workload that calls it in vain, a policy that keeps it
    from others, a DNS that lost its zone, a webhook that nobody answers.
    """

    snapshot: Snapshot
    graph: "nx.DiGraph[Ref]"

    @classmethod
    def of(cls, snapshot: Snapshot) -> Self:
        graph: nx.DiGraph[Ref] = nx.DiGraph()
        graph.add_nodes_from(view.ref for view in (*snapshot.deployments, *snapshot.services))
        graph.add_edges_from(_calls(snapshot))
        graph.add_edges_from(
            (service.ref, behind) for service in snapshot.services for behind in _behind(service, snapshot)
        )
        graph.add_edges_from(_made_ill(snapshot))
        return cls(snapshot, graph)

    @cached_property
    def unwell(self) -> Mapping[Ref, Unwell]:
        """Why each Deployment, Service and Node that is visibly unwell is."""
        return unwell(self.snapshot)

    def root_of(self, ref: Ref) -> Root:
        """Name the deepest unhealthy thing at or downstream of `ref`.

        It follows unhealthy ones first; where they do not begin at `ref`, errors may still have come through what
        looks well, so then the nearest unhealthy one downstream begins. A Service whose fault is its workload's
        stands for that workload.
        """
        if ref not in self._roots:
            self._roots[ref] = self._find_root(ref)
        return self._roots[ref]

    @cached_property
    def _roots(self) -> dict[Ref, Root]:
        """What was asked already: a storm asks hundreds of times for a few."""
        return {}

    def _find_root(self, ref: Ref) -> Root:
        if ref not in self.graph:
            return Root(ref=ref, because=f"{ref} is not in the topology")
        for start in (ref, *self._fronts_of(ref)):
            way = self._deepest_unwell_way(start)
            if way[-1] in self.unwell:
                return self._root(ref, way)
        if (nearest := self._nearest_unwell(ref)) is not None:
            return self._root(ref, (*self.way(ref, nearest)[:-1], *self._deepest_unwell_way(nearest)))
        if (witness := self._starved_caller(ref)) is not None:
            root = self.root_of(witness).ref
            return Root(ref=root, because=f"only {witness} may see it unhealthy, which has no CPU left to see it well")
        root = self._workload_under(ref)
        return Root(ref=root, because=f"nothing at or downstream of {ref} is visibly unhealthy")

    def _starved_caller(self, ref: Ref) -> Ref | None:
        """Who calls it, is unwell and has no CPU left: to such a one whatever it calls seems slow."""
        fronts = [ref] if ref.kind is Kind.SERVICE else self._fronts_of(ref)
        found = (caller for front in fronts for caller in self.callers(front) if caller in self.unwell)
        return next((caller for caller in found if self._is_starved(caller)), None)

    def _is_starved(self, ref: Ref) -> bool:
        deployment = self.snapshot.deployment(ref)
        use = None if deployment is None else cpu_use(deployment, self.snapshot)
        return use is not None and use.starved

    def only_root_in(self, namespace: str) -> Root | None:
        """Name what explains all that is unhealthy in a namespace; None if nothing does, or no one thing."""
        roots = {self.root_of(ref).ref for ref in self.unwell if ref.namespace == namespace}
        if len(roots) != 1:
            return None
        root = roots.pop()
        return Root(ref=root, because=f"all that is unhealthy in {namespace} comes from {root}")

    def needs(self, ref: Ref) -> frozenset[Ref]:
        """Everything that `ref` depends on, near or far."""
        return frozenset(nx.descendants(self.graph, ref)) if ref in self.graph else frozenset()

    def dependents(self, ref: Ref) -> frozenset[Ref]:
        """Everything that depends on `ref`, near or far: its Services, their callers, and so on."""
        return frozenset(nx.ancestors(self.graph, ref)) if ref in self.graph else frozenset()

    def callers(self, service: Ref) -> tuple[Ref, ...]:
        """The Deployments whose environment names a Service."""
        return tuple(sorted(self.graph.predecessors(service))) if service in self.graph else ()

    def kin(self, ref: Ref) -> tuple[Ref, ...]:
        """What is one with `ref` in a person's eyes: a workload's Services, a Service's workloads."""
        match ref.kind:
            case Kind.SERVICE if ref in self.graph:
                return tuple(sorted(self.graph.successors(ref)))
            case Kind.DEPLOYMENT if ref in self.graph:
                return tuple(self._fronts_of(ref))
            case _:
                return ()

    def way(self, start: Ref, end: Ref) -> tuple[Ref, ...]:
        """The shortest way downstream from one to the other, both included; empty if there is none."""
        if start not in self.graph or end not in self.graph or not nx.has_path(self.graph, start, end):
            return ()
        return tuple(nx.shortest_path(self.graph, start, end))

    def workload_of(self, labels: Mapping[str, str]) -> Ref | None:
        """The object that an alert's labels are about, if the cluster has it."""
        namespace = labels.get("namespace", "")
        for label, kind in _LABELS.items():
            if (name := labels.get(label)) and (found := self._find(kind, namespace, name)) is not None:
                return found
        return None

    @staticmethod
    def names_no_object(labels: Mapping[str, str]) -> bool:
        """Whether an alert is about a namespace as a whole: it names nothing in it."""
        named = {label for label, value in labels.items() if value}
        return "namespace" in named and named.isdisjoint(_LABELS.keys() | _OF_OTHER_KINDS)

    def _find(self, kind: Kind, namespace: str, name: str) -> Ref | None:
        """Find one by name; without a namespace only if no other has that name."""
        match kind:
            case Kind.POD:
                pods = [pod for pod in self._pods_by_name.get(name, ()) if _is(pod.ref, namespace, name)]
                if not pods:
                    return self._owner_by_name(namespace, name)
                return self._stands_for(pods[0]) if len(pods) == 1 else None
            case Kind.NODE:
                return next((node.ref for node in self.snapshot.nodes if node.metadata.name == name), None)
            case _:
                found = [ref for ref in self._by_name.get(name, ()) if ref.kind is kind and _is(ref, namespace, name)]
                return found[0] if len(found) == 1 else None

    def _stands_for(self, pod: Pod) -> Ref | None:
        """What an alert about a pod is about: its workload, or its node, if nobody hears from that."""
        if (lost := self._lost.get(pod.spec.node_name)) is not None:
            return lost
        owner = self.snapshot.owner_of(pod)
        return None if owner is None else owner.ref

    @cached_property
    def _lost(self) -> Mapping[str, Ref]:
        return {node.metadata.name: node.ref for node in self.snapshot.nodes if word_on(node) is not None}

    @cached_property
    def _pods_by_name(self) -> Mapping[str, Sequence[Pod]]:
        named: dict[str, list[Pod]] = {}
        for pod in self.snapshot.pods:
            named.setdefault(pod.metadata.name, []).append(pod)
        return named

    @cached_property
    def _replica_sets_by_name(self) -> Mapping[tuple[str, str], ReplicaSet]:
        return {(each.ref.namespace, each.metadata.name): each for each in self.snapshot.replica_sets}

    def _owner_by_name(self, namespace: str, pod: str) -> Ref | None:
        """The Deployment of a pod that is gone, which an alert may outlive: its name begins with its ReplicaSet's."""
        made_by = self._replica_sets_by_name.get((namespace, pod.rpartition("-")[0]))
        controller = made_by.controller if made_by else None
        if made_by is None or controller is None:
            return None
        return self._find(Kind.DEPLOYMENT, made_by.ref.namespace, controller.name)

    @cached_property
    def _by_name(self) -> Mapping[str, list[Ref]]:
        named: dict[str, list[Ref]] = {}
        for ref in self.graph:
            named.setdefault(ref.name, []).append(ref)
        return named

    def _fronts_of(self, ref: Ref) -> list[Ref]:
        """The Services in front of a workload, which may be what fails although the workload is well."""
        return sorted(front for front in self.graph.predecessors(ref) if front.kind is Kind.SERVICE)

    def _workload_under(self, ref: Ref) -> Ref:
        """A Service that is well stands for the one workload behind it."""
        behind = list(self.graph.successors(ref)) if ref.kind is Kind.SERVICE else []
        return behind[0] if len(behind) == 1 else ref

    def _deepest_unwell_way(self, start: Ref) -> tuple[Ref, ...]:
        """The way from `start` over unhealthy nodes to the one that nothing unhealthy below it explains.

        What shows in the cluster's objects goes before what only errs or is busy: that may be its doing. Equals go
        by distance, then by name.
        """
        ways = self._unwell_ways(start)
        sick = [ref for ref in ways if ref in self.unwell]
        grave = {ref for ref in sick if self.unwell[ref].structural} or set(sick)
        below = self.graph.subgraph(ways)
        deepest = [ref for ref in grave if not grave & nx.descendants(below, ref)] or list(grave) or [start]
        return ways[min(deepest, key=lambda ref: (-len(ways[ref]), ref))]

    def _unwell_ways(self, start: Ref) -> Mapping[Ref, tuple[Ref, ...]]:
        """The shortest way from `start` to each node that unhealthy ones lead to."""
        ways: dict[Ref, tuple[Ref, ...]] = {start: (start,)}
        front = [start]
        while front:
            reached: list[Ref] = []
            for here in front:
                if (found := self.unwell.get(here)) and found.first_hand:
                    continue
                for below in sorted(self.graph.successors(here)):
                    if below in self.unwell and below not in ways:
                        ways[below] = (*ways[here], below)
                        reached.append(below)
            front = reached
        return ways

    def _nearest_unwell(self, ref: Ref) -> Ref | None:
        distances: Mapping[Ref, int] = nx.single_source_shortest_path_length(self.graph, ref)
        reached = [(distance, below) for below, distance in distances.items() if below in self.unwell]
        return min(reached)[1] if reached else None

    def _root(self, ref: Ref, way: tuple[Ref, ...]) -> Root:
        deepest = way[-1]
        why = self.unwell[deepest].why
        root = deepest if self.unwell[deepest].own else self._workload_under(deepest)
        if deepest == ref:
            return Root(ref=root, because=f"{deepest} is unhealthy itself, and nothing downstream of it is: {why}")
        if way[0] != ref:
            return Root(ref=root, because=f"{ref} is well, but {deepest} in front of it is not: {why}")
        through = " -> ".join(str(step) for step in way)
        return Root(ref=root, because=f"{deepest} is the deepest unhealthy thing downstream ({through}): {why}")


def _is(ref: Ref, namespace: str, name: str) -> bool:
    return ref.name == name and namespace in {"", ref.namespace}


def _calls(snapshot: Snapshot) -> Iterator[tuple[Ref, Ref]]:
    services = {(service.ref.namespace, service.metadata.name): service.ref for service in snapshot.services}
    for deployment in snapshot.deployments:
        for named in services_named(deployment):
            if (service := services.get(named)) is not None and service not in _own_services(deployment.ref, snapshot):
                yield deployment.ref, service


def _made_ill(snapshot: Snapshot) -> Iterator[tuple[Ref, Ref]]:
    """From each workload to what makes it look ill although it does not call that."""
    yield from _made_ill_by_nodes(snapshot)
    for caller, found in astray(snapshot).items():  # requests that do not arrive are counted where they should have
        for service in found.called:
            yield from ((behind.ref, caller) for behind in snapshot.workloads_behind(service))
    for kept in shut_lately(snapshot):
        yield from ((side.ref, kept.policy.ref) for side in (kept.caller, kept.callee))
    for webhook in failing_webhooks(snapshot):
        if webhook.configuration is not None:
            yield webhook.workload.ref, webhook.configuration.ref
    if (dns := unserved_lately(snapshot)) is not None:
        yield from ((harmed, dns.config.ref) for harmed in dns.harmed)
    if (dead := dead_dns(snapshot)) is not None:
        yield from ((harmed, dead.ref) for harmed in harmed_without_names(snapshot))
        if dns is not None:
            yield dead.ref, dns.config.ref


def _made_ill_by_nodes(snapshot: Snapshot) -> Iterator[tuple[Ref, Ref]]:
    for gray in gray_nodes(snapshot):
        yield from ((workload, gray.node.ref) for workload in gray.workloads)
    for pressed in pressed_nodes(snapshot):
        yield from ((workload, pressed.node.ref) for workload in pressed.workloads)
    for lost in lost_nodes(snapshot):
        yield from ((workload, lost.node.ref) for workload in lost.workloads)


def _own_services(ref: Ref, snapshot: Snapshot) -> set[Ref]:
    deployment = snapshot.deployment(ref)
    return set() if deployment is None else {service.ref for service in snapshot.services_of(deployment)}


def _behind(service: Service, snapshot: Snapshot) -> Iterator[Ref]:
    """The workloads that the Service selects; where it selects nothing, the one that it was meant for."""
    behind = snapshot.workloads_behind(service)
    yield from (deployment.ref for deployment in behind)
    if behind or not service.spec.selector or snapshot.pods_matching(service.ref.namespace, service.spec.selector):
        return
    if (near := snapshot.nearest_workload(service)) is not None:
        yield near.ref
