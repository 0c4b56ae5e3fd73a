"""A cluster that stands still, drawn from a seed: who calls whom is known, and a fault shows when it is told to.

The objects stand in the lab's store, so that the lab's API serves them; no controller moves them.
"""

import copy
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from eval.lab.kinds import Obj
from eval.lab.shop import CALLS
from eval.lab.store import Deletion, Store
from shared.domain.cluster import Kind, Object
from shared.testing.manifests import (
    a_deployment,
    a_node,
    a_pod,
    a_replica_set,
    a_service,
    a_template,
    an_endpoint_slice,
)

Where = tuple[str, str]
"""Namespace and name, of a Deployment and of the Service in front of it."""
PORT: Final = 8080
_NAMESPACES: Final = ("billing", "search", "media", "accounts")
_LETTERS: Final = "abcdefgh"


@dataclass(frozen=True)
class Workload:
    """A Deployment with a Service of the same name."""

    where: Where
    needs: Mapping[Where, float]
    """The Services it calls, and in which part of its requests."""
    nodes: tuple[str, ...]
    """The node of each of its pods."""

    @property
    def namespace(self) -> str:
        return self.where[0]

    @property
    def name(self) -> str:
        return self.where[1]

    @property
    def replica_set(self) -> str:
        return f"{self.name}-1"

    @property
    def pods(self) -> Sequence[str]:
        return [f"{self.replica_set}-{letter}" for letter in _LETTERS[: len(self.nodes)]]


@dataclass(frozen=True)
class Cluster:
    """All workloads; callers come before those that they call."""

    workloads: Mapping[Where, Workload]

    @cached_property
    def nodes(self) -> Sequence[str]:
        return sorted({node for workload in self.workloads.values() for node in workload.nodes})

    def dependents(self, roots: frozenset[Where]) -> frozenset[Where]:
        """Everything that needs one of these, near or far, without these."""
        found = set(roots)
        for where, workload in reversed(tuple(self.workloads.items())):
            if found & workload.needs.keys():
                found.add(where)
        return frozenset(found - roots)

    def error_ratios(self, own: Mapping[Where, float]) -> Mapping[Where, float]:
        """Which part of each Service's requests fails, when these fail by themselves so often."""
        ratios: dict[Where, float] = {}
        for where, workload in reversed(tuple(self.workloads.items())):
            fine = 1 - own.get(where, 0.0)
            for below, share in workload.needs.items():
                fine *= 1 - share * ratios[below]
            ratios[where] = 1 - fine
        return ratios


def draw(rng: random.Random) -> Cluster:
    """Draw one: the lab's shop, or a larger one of several namespaces and layers."""
    return _shop(rng) if rng.random() < 0.25 else _larger(rng)


def _shop(rng: random.Random) -> Cluster:
    names = {role: f"{role}-{rng.randrange(100)}" for role in CALLS}
    nodes = [f"node-{letter}" for letter in _LETTERS[:3]]
    return Cluster(
        {
            ("shop", names[role]): Workload(
                ("shop", names[role]),
                {("shop", names[callee]): share for callee, share in calls.items()},
                _places(rng, nodes),
            )
            for role, calls in CALLS.items()
        }
    )


def _larger(rng: random.Random) -> Cluster:
    namespaces = _NAMESPACES[: rng.randint(2, len(_NAMESPACES))]
    layers = [[_named(rng, namespaces, f"l{depth}") for _ in range(rng.randint(3, 12))] for depth in range(5)]
    nodes = [f"node-{number}" for number in range(rng.randint(4, 10))]
    workloads: dict[Where, Workload] = {}
    for depth, layer in enumerate(layers):
        below = [where for deeper in layers[depth + 1 :] for where in deeper]
        for where in layer:
            called = rng.sample(below, min(len(below), rng.choice((0, 1, 1, 2, 3))))
            workloads[where] = Workload(
                where, {each: round(rng.uniform(0.4, 1), 2) for each in called}, _places(rng, nodes)
            )
    return Cluster(workloads)


def _named(rng: random.Random, namespaces: Sequence[str], layer: str) -> Where:
    return rng.choice(namespaces), f"{layer}-{rng.getrandbits(24):06x}"


def _places(rng: random.Random, nodes: Sequence[str]) -> tuple[str, ...]:
    """Two to four pods, on different nodes as far as there are any."""
    count = rng.randint(2, 4)
    return tuple((rng.sample(list(nodes), len(nodes)) * 2)[:count])


def plant(cluster: Cluster, store: Store) -> None:
    """Put all of it into the store, well."""
    for namespace in sorted({where[0] for where in cluster.workloads}):
        store.plant("Namespace", {"metadata": {"name": namespace}, "status": {"phase": "Active"}})
    for node in cluster.nodes:
        _put(store, a_node(node))
    for workload in cluster.workloads.values():
        plant_workload(store, workload)


def plant_workload(store: Store, workload: Workload) -> None:
    """Put one workload's objects into the store, well; its namespace and nodes are there."""
    for each in _objects(workload):
        _put(store, each)


def uproot(store: Store, workload: Workload) -> None:
    """Take them all away, at once."""
    namespace, name = workload.where
    store.delete("EndpointSlice", namespace, _slice_of(store, workload)["metadata"]["name"])
    store.delete("Service", namespace, name)
    for pod in workload.pods:
        store.delete("Pod", namespace, pod, how=Deletion(grace_s=0))
    store.delete("ReplicaSet", namespace, workload.replica_set)
    store.delete("Deployment", namespace, name)


def _objects(workload: Workload) -> Sequence[Object]:
    namespace, name = workload.where
    urls = {f"URL_{number}": f"http://{called}.{where}:{PORT}" for number, (where, called) in enumerate(workload.needs)}
    template = a_template(name, image=f"registry.example/{name}:1", env=urls)
    deployment = a_deployment(name, namespace=namespace, replicas=len(workload.nodes), template=template)
    current = a_replica_set(deployment)
    pods = [a_pod(pod, owner=current, node=node) for pod, node in zip(workload.pods, workload.nodes, strict=True)]
    endpoints = an_endpoint_slice(name, namespace=namespace, ready=len(workload.nodes))
    return [deployment, current, *pods, a_service(name, namespace=namespace, port=PORT), endpoints]


def _put(store: Store, seen: Object) -> None:
    body: Obj = copy.deepcopy(dict(seen.body))
    if seen.ref.kind is Kind.REPLICA_SET:
        body["spec"]["selector"] = {"matchLabels": body["spec"]["template"]["metadata"]["labels"]}
    store.plant(str(seen.ref.kind), body)


def break_pods(store: Store, workload: Workload, broken: Sequence[str], waiting: str) -> None:
    """Let these pods fail to start, or only not be ready if `waiting` is empty; the counts of others follow."""
    deployment = store.get("Deployment", *workload.where)
    ready = len(workload.nodes) - len(broken)
    for pod in broken:
        old = store.get("Pod", workload.namespace, pod)
        node = old["spec"]["nodeName"]
        owner = a_replica_set(a_deployment(workload.name, namespace=workload.namespace))
        failing = a_pod(pod, owner=owner, node=node, ready=False, restarts=5 if waiting else 0, waiting=waiting)
        body: Obj = dict(failing.body)
        store.set_status("Pod", workload.namespace, pod, body["status"], "kubelet")
    status = {**deployment["status"], "readyReplicas": ready, "availableReplicas": ready}
    status["unavailableReplicas"] = len(broken)
    store.set_status("Deployment", *workload.where, status, "deployment-controller")
    _endpoints(store, workload, ready, len(broken))


def break_selector(store: Store, workload: Workload) -> None:
    """Let the Service select nothing, although its pods are well."""
    store.patch("Service", *workload.where, {"spec": {"selector": {"app": f"{workload.name}-next"}}})
    _endpoints(store, workload, 0, 0)


def mend(store: Store, workload: Workload) -> None:
    """Let all of it be well again, whatever was wrong; its Service selects its pods."""
    namespace, name = workload.where
    for seen in _objects(workload):
        if seen.ref.kind in (Kind.POD, Kind.DEPLOYMENT):
            body: Obj = dict(seen.body)
            store.set_status(str(seen.ref.kind), namespace, seen.ref.name, body["status"], "kubelet")
    store.patch("Service", namespace, name, {"spec": {"selector": {"app": name}}})
    _endpoints(store, workload, len(workload.nodes), 0)


def selects_its_pods(store: Store, workload: Workload) -> bool:
    """Whether the Service's selector is the one that it should have."""
    selector: Obj = store.get("Service", *workload.where)["spec"]["selector"]
    return selector == {"app": workload.name}


def _endpoints(store: Store, workload: Workload, ready: int, unready: int) -> None:
    namespace, name = workload.where
    wanted: Obj = dict(an_endpoint_slice(name, namespace=namespace, ready=ready, unready=unready).body)
    known = _slice_of(store, workload)
    store.amend("EndpointSlice", namespace, known["metadata"]["name"], "endpoints", endpoints=wanted["endpoints"])


def _slice_of(store: Store, workload: Workload) -> Obj:
    namespace, name = workload.where
    return next(
        item
        for item in store.all("EndpointSlice")
        if item["metadata"]["namespace"] == namespace
        and item["metadata"]["labels"].get("kubernetes.io/service-name") == name
    )
