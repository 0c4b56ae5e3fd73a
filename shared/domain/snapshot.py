"""One consistent read of a scope: what analyzers, actions and runbooks' conditions look at."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Final, TypeVar

from pydantic import AwareDatetime

from shared.domain.cluster import Kind, Object, Ref
from shared.domain.frozen import Frozen
from shared.domain.health import Latency, Traffic
from shared.domain.ids import ClusterName
from shared.domain.objects import (
    AdmissionWebhooks,
    ConfigMap,
    Deployment,
    EndpointSlice,
    Event,
    NetworkPolicy,
    Node,
    Pod,
    ReplicaSet,
    ResourceQuota,
    Service,
    View,
)

AnyView = TypeVar("AnyView", bound=View)


STARVED: Final = 0.5
"""Who has to wait in so many of its CPU periods does little but wait."""


class Usage(Frozen):
    """What a pod uses: cores as a rate over the metrics window, bytes of working set."""

    cpu_cores: float
    memory_bytes: float
    throttled: float = 0.0
    """The part of its CPU periods in which it had to wait for the next; 0 also where nobody measures that."""

    @property
    def starved(self) -> bool:
        return self.throttled >= STARVED


class Unread(Frozen):
    """A list that could not be had, in one namespace or (None) in all, and why: what it holds is not known."""

    kind: Kind
    namespace: str | None
    reason: str


class Snapshot(Frozen):
    """The objects of a scope at one moment, with what the metrics say of them. Keys of maps are `namespace/name`."""

    cluster: ClusterName
    taken_at: AwareDatetime
    objects: tuple[Object, ...]
    traffic: dict[str, Traffic] = {}
    """Request counters by Service, since they began."""
    recent: dict[str, Traffic] = {}
    """What those counters grew by within the metrics window that ends now."""
    doubtful: dict[str, Traffic] = {}
    """What of that only pods counted that have no CPU left: to them whatever they call seems slow, or not to answer."""
    usage: dict[str, Usage] = {}
    """By pod."""
    latency: dict[str, Latency] = {}
    """How long answers take, by Service, as who has CPU left measured it both lately and before."""
    logs: dict[str, tuple[str, ...]] = {}
    """What containers wrote lately, by `namespace/pod/container`: of suspects only, nobody reads them all."""
    unheard: tuple[str, ...] = ()
    """The containers whose log was asked for and could not be had."""
    looked_at: tuple[str, ...] = ()
    """What was read, and what could not be, in words: a person is told it when nothing is found."""
    unread: tuple[Unread, ...] = ()
    """What could not be read. Nothing may be concluded from its absence."""

    def _views(self, kind: Kind, view: type[AnyView]) -> tuple[AnyView, ...]:
        return tuple(view.of(seen) for seen in self._by_kind.get(kind, ()))

    @cached_property
    def _by_kind(self) -> Mapping[Kind, Sequence[Object]]:
        kinds: dict[Kind, list[Object]] = {}
        for seen in self.objects:
            kinds.setdefault(seen.ref.kind, []).append(seen)
        return kinds

    @cached_property
    def deployments(self) -> tuple[Deployment, ...]:
        return self._views(Kind.DEPLOYMENT, Deployment)

    @cached_property
    def replica_sets(self) -> tuple[ReplicaSet, ...]:
        return self._views(Kind.REPLICA_SET, ReplicaSet)

    @cached_property
    def pods(self) -> tuple[Pod, ...]:
        return self._views(Kind.POD, Pod)

    @cached_property
    def services(self) -> tuple[Service, ...]:
        return self._views(Kind.SERVICE, Service)

    @cached_property
    def endpoint_slices(self) -> tuple[EndpointSlice, ...]:
        return self._views(Kind.ENDPOINT_SLICE, EndpointSlice)

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        return self._views(Kind.NODE, Node)

    @cached_property
    def events(self) -> tuple[Event, ...]:
        return self._views(Kind.EVENT, Event)

    @cached_property
    def resource_quotas(self) -> tuple[ResourceQuota, ...]:
        return self._views(Kind.RESOURCE_QUOTA, ResourceQuota)

    @cached_property
    def network_policies(self) -> tuple[NetworkPolicy, ...]:
        return self._views(Kind.NETWORK_POLICY, NetworkPolicy)

    @cached_property
    def config_maps(self) -> tuple[ConfigMap, ...]:
        return self._views(Kind.CONFIG_MAP, ConfigMap)

    @cached_property
    def admission_webhooks(self) -> tuple[AdmissionWebhooks, ...]:
        kinds = (Kind.VALIDATING_WEBHOOKS, Kind.MUTATING_WEBHOOKS)
        return tuple(each for kind in kinds for each in self._views(kind, AdmissionWebhooks))

    @cached_property
    def _by_ref(self) -> Mapping[Ref, Object]:
        return {seen.ref: seen for seen in self.objects}

    def find(self, ref: Ref) -> Object | None:
        return self._by_ref.get(ref)

    def unread_in(self, namespace: str, *kinds: Kind) -> str | None:
        """Why these kinds could not all be read in a namespace; None if they were."""
        return next(
            (
                f"{part.kind.plural} could not be read ({part.reason})"
                for part in self.unread
                if part.kind in kinds and part.namespace in (None, namespace)
            ),
            None,
        )

    def credible(self, service: Ref) -> Traffic | None:
        """The recent requests to a Service, but for those that only a doubtful witness counted; None if nobody did."""
        key = service.key
        counted, doubtful = self.recent.get(key), self.doubtful.get(key)
        return counted if counted is None or doubtful is None else counted.without(doubtful)

    def deployment(self, ref: Ref) -> Deployment | None:
        return self._deployments_by_ref.get(ref)

    def service(self, ref: Ref) -> Service | None:
        return self._services_by_ref.get(ref)

    # --- who belongs to whom

    def revisions_of(self, deployment: Deployment) -> Sequence[ReplicaSet]:
        """The Deployment's ReplicaSets, newest revision first."""
        return self._replica_sets_by_owner.get((deployment.ref.namespace, deployment.metadata.name), ())

    def pods_of(self, deployment: Deployment) -> Sequence[Pod]:
        return [pod for replica_set in self.revisions_of(deployment) for pod in self.pods_of_revision(replica_set)]

    def pods_of_revision(self, replica_set: ReplicaSet) -> Sequence[Pod]:
        return self._pods_by_owner.get((replica_set.ref.namespace, replica_set.metadata.name), ())

    def owner_of(self, pod: Pod) -> Deployment | None:
        """The Deployment that a pod belongs to through its ReplicaSet."""
        if (controller := pod.controller) is None or controller.kind != Kind.REPLICA_SET:
            return None
        owner = self._owner_of_replica_set.get((pod.ref.namespace, controller.name))
        return None if owner is None else self._deployments_by_ref.get(owner)

    def pods_matching(self, namespace: str, selector: Mapping[str, str]) -> Sequence[Pod]:
        """The pods that carry every label; an empty selector means all of the namespace."""
        rarest: Sequence[Pod] = self._pods_in.get(namespace, ())
        for label in selector.items():
            carriers = self._pods_by_label.get((namespace, *label), ())
            rarest = min(rarest, carriers, key=len)
        return [pod for pod in rarest if matches(selector, pod.metadata.labels)]

    def pods_on(self, node: Node) -> Sequence[Pod]:
        return self._pods_by_node.get(node.metadata.name, ())

    def deployments_in(self, namespace: str) -> Sequence[Deployment]:
        return self._deployments_in.get(namespace, ())

    def workloads_behind(self, service: Service) -> Sequence[Deployment]:
        """The Deployments whose pods the Service's selector means; by the template, so also those without a pod."""
        return self._workloads_behind.get(service.ref, ())

    def services_of(self, deployment: Deployment) -> Sequence[Service]:
        return self._services_of.get(deployment.ref, ())

    def ready_endpoints(self, service: Service) -> int:
        return self._ready_endpoints[service.ref.key]

    def nearest_workload(self, service: Service) -> Deployment | None:
        """The one Deployment that the Service was most likely meant for, when its selector matches nothing.

        Of the same namespace, by the number of selector labels that agree, then by an equal name; None if two are
        as near, or if nothing speaks for any.
        """
        ranked = sorted(
            ((_nearness(service, near), near) for near in self.deployments_in(service.ref.namespace)),
            key=lambda pair: pair[0],
            reverse=True,
        )
        if not ranked or ranked[0][0] == 0 or (len(ranked) > 1 and ranked[1][0] == ranked[0][0]):
            return None
        return ranked[0][1]

    def lines_of(self, pod: Pod) -> Iterator[tuple[str, str]]:
        """Yield (container, line) of what was heard of a pod."""
        for container in pod.spec.containers:
            for line in self.logs.get(f"{pod.ref.key}/{container.name}", ()):
                yield container.name, line

    def events_about(self, ref: Ref) -> Sequence[Event]:
        return self._events_by_object.get((ref.kind, ref.namespace, ref.name), ())

    @cached_property
    def _deployments_by_ref(self) -> Mapping[Ref, Deployment]:
        return {deployment.ref: deployment for deployment in self.deployments}

    @cached_property
    def _services_by_ref(self) -> Mapping[Ref, Service]:
        return {service.ref: service for service in self.services}

    @cached_property
    def _deployments_in(self) -> Mapping[str, Sequence[Deployment]]:
        return _grouped(self.deployments, lambda deployment: deployment.ref.namespace)

    @cached_property
    def _pods_in(self) -> Mapping[str, Sequence[Pod]]:
        return _grouped(self.pods, lambda pod: pod.ref.namespace)

    @cached_property
    def _pods_by_label(self) -> Mapping[tuple[str, str, str], Sequence[Pod]]:
        carriers: dict[tuple[str, str, str], list[Pod]] = {}
        for pod in self.pods:
            for key, value in pod.metadata.labels.items():
                carriers.setdefault((pod.ref.namespace, key, value), []).append(pod)
        return carriers

    @cached_property
    def _pods_by_node(self) -> Mapping[str, Sequence[Pod]]:
        return _grouped(self.pods, lambda pod: pod.spec.node_name)

    @cached_property
    def _owner_of_replica_set(self) -> Mapping[tuple[str, str], Ref]:
        return {
            (replica_set.ref.namespace, replica_set.metadata.name): Ref(
                cluster=self.cluster,
                kind=Kind.DEPLOYMENT,
                namespace=replica_set.ref.namespace,
                name=controller.name,
            )
            for replica_set in self.replica_sets
            if (controller := replica_set.controller) is not None and controller.kind == Kind.DEPLOYMENT
        }

    @cached_property
    def _workloads_behind(self) -> Mapping[Ref, Sequence[Deployment]]:
        return {
            service.ref: [
                deployment
                for deployment in self.deployments_in(service.ref.namespace)
                if matches(service.spec.selector, deployment.spec.template.metadata.labels)
            ]
            for service in self.services
            if service.spec.selector
        }

    @cached_property
    def _services_of(self) -> Mapping[Ref, Sequence[Service]]:
        serving: dict[Ref, list[Service]] = {}
        for service in self.services:
            for deployment in self.workloads_behind(service):
                serving.setdefault(deployment.ref, []).append(service)
        return serving

    @cached_property
    def _replica_sets_by_owner(self) -> Mapping[tuple[str, str], Sequence[ReplicaSet]]:
        return {
            owner: sorted(owned, key=lambda replica_set: replica_set.revision, reverse=True)
            for owner, owned in _by_controller(self.replica_sets).items()
        }

    @cached_property
    def _pods_by_owner(self) -> Mapping[tuple[str, str], Sequence[Pod]]:
        return _by_controller(self.pods)

    @cached_property
    def _ready_endpoints(self) -> Counter[str]:
        ready: Counter[str] = Counter()
        for part in self.endpoint_slices:
            ready[f"{part.ref.namespace}/{part.service_name}"] += part.ready_count
        return ready

    @cached_property
    def _events_by_object(self) -> Mapping[tuple[str, str, str], Sequence[Event]]:
        about: dict[tuple[str, str, str], list[Event]] = {}
        for event in self.events:
            involved = event.involved_object
            about.setdefault((involved.kind, involved.namespace, involved.name), []).append(event)
        return about


def matches(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Whether every label that the selector asks for is there."""
    return all(labels.get(key) == value for key, value in selector.items())


def _nearness(service: Service, deployment: Deployment) -> int:
    """How much speaks for it; an equal name counts for half a label."""
    labels = deployment.spec.template.metadata.labels
    agreeing = sum(labels.get(key) == value for key, value in service.spec.selector.items())
    return 2 * agreeing + (deployment.metadata.name == service.metadata.name)


def _grouped(views: Sequence[AnyView], key: Callable[[AnyView], str]) -> Mapping[str, Sequence[AnyView]]:
    groups: dict[str, list[AnyView]] = {}
    for view in views:
        groups.setdefault(key(view), []).append(view)
    return groups


def _by_controller(views: Sequence[AnyView]) -> Mapping[tuple[str, str], Sequence[AnyView]]:
    owned: dict[tuple[str, str], list[AnyView]] = {}
    for view in views:
        if (controller := view.controller) is not None:
            owned.setdefault((view.ref.namespace, controller.name), []).append(view)
    return owned
