"""Kubernetes objects with defaults, and snapshots of them.

Kubernetes objects come as `Object`, as the cluster port gives them (`Deployment.of(a_deployment())` is the typed view).
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from shared.domain.cluster import CLUSTER_SCOPED, Kind, Object, Ref
from shared.domain.frozen import Json, JsonObject
from shared.domain.health import Traffic
from shared.domain.ids import ClusterName
from shared.domain.objects import Deployment
from shared.domain.snapshot import Snapshot, Usage

CLUSTER: Final = ClusterName("test")
NAMESPACE: Final = "shop"
T0: Final = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
"""The moment at which tests begin."""


def a_ref(name: str = "cart", kind: Kind = Kind.DEPLOYMENT, namespace: str = NAMESPACE) -> Ref:
    """Name an object of the test cluster."""
    return Ref(cluster=CLUSTER, kind=kind, namespace="" if kind in CLUSTER_SCOPED else namespace, name=name)


def an_object(ref: Ref, body: JsonObject, *, resource_version: str = "1", **metadata: Json) -> Object:
    """Wrap a body as the API server stores it; `metadata` goes over the default metadata."""
    written: JsonObject = {"name": ref.name, "uid": f"uid-{ref.kind}-{ref.name}".lower(), "generation": 1}
    if ref.namespace:
        written["namespace"] = ref.namespace
    written |= metadata
    return Object(
        ref=ref,
        uid=str(written["uid"]),
        resource_version=resource_version,
        body={**body, "kind": str(ref.kind), "metadata": {**written, "resourceVersion": resource_version}},
    )


def a_template(
    name: str = "cart",
    *,
    image: str = "registry.example/cart:1",
    memory_limit: str = "128Mi",
    cpu_limit: str = "500m",
    port: int = 8080,
    env: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
) -> JsonObject:
    """Make a pod template of one container."""
    container: JsonObject = {
        "name": "main",
        "image": image,
        "ports": [{"name": "http", "containerPort": port}],
        "env": [{"name": key, "value": value} for key, value in (env or {}).items()],
        "resources": {
            "limits": {"cpu": cpu_limit, "memory": memory_limit},
            "requests": {"cpu": "100m", "memory": "64Mi"},
        },
    }
    return {"metadata": {"labels": dict(labels or {"app": name})}, "spec": {"containers": [container]}}


def a_deployment(
    name: str = "cart",
    *,
    namespace: str = NAMESPACE,
    replicas: int = 3,
    ready: int | None = None,
    template: JsonObject | None = None,
    resource_version: str = "1",
) -> Object:
    """Make a Deployment, rolled out unless `ready` says fewer than `replicas`."""
    template = template or a_template(name)
    count = replicas if ready is None else ready
    status: JsonObject = {
        "observedGeneration": 1,
        "replicas": replicas,
        "updatedReplicas": replicas,
        "readyReplicas": count,
        "availableReplicas": count,
        "unavailableReplicas": replicas - count,
    }
    spec: JsonObject = {"replicas": replicas, "selector": {"matchLabels": _labels(template)}, "template": template}
    ref = a_ref(name, Kind.DEPLOYMENT, namespace)
    return an_object(ref, {"apiVersion": "apps/v1", "spec": spec, "status": status}, resource_version=resource_version)


def a_replica_set(
    deployment: Object,
    *,
    revision: int = 1,
    replicas: int | None = None,
    template: JsonObject | None = None,
    created_at: datetime = T0 - timedelta(days=1),
) -> Object:
    """Make one revision of a Deployment; its newest has as many replicas as the Deployment wants."""
    view = Deployment.of(deployment)
    name = f"{deployment.ref.name}-{revision}"
    own_template = template if template is not None else deployment.at("/spec/template")
    return an_object(
        a_ref(name, Kind.REPLICA_SET, deployment.ref.namespace),
        {
            "apiVersion": "apps/v1",
            "spec": {"replicas": view.spec.replicas if replicas is None else replicas, "template": own_template},
        },
        annotations={"deployment.kubernetes.io/revision": str(revision)},
        ownerReferences=[_owner(deployment)],
        creationTimestamp=created_at.isoformat(),
    )


def a_pod(
    name: str = "cart-1-a",
    *,
    owner: Object | None = None,
    namespace: str = NAMESPACE,
    labels: Mapping[str, str] | None = None,
    ready: bool = True,
    restarts: int = 0,
    waiting: str = "",
    waiting_message: str = "",
    last_terminated: str = "",
    node: str = "node-1",
    template: JsonObject | None = None,
) -> Object:
    """Make a pod; `waiting` and `last_terminated` are its container's reasons (`CrashLoopBackOff`, `OOMKilled`)."""
    if owner is not None:
        owned = owner.at("/spec/template")
        template = template or (owned if isinstance(owned, dict) else None)
        namespace = owner.ref.namespace
    template = template or a_template(name.split("-", maxsplit=1)[0])
    spec = template["spec"]
    status: JsonObject = {"name": "main", "ready": ready, "restartCount": restarts, "state": {"running": {}}}
    if waiting:
        status["state"] = {"waiting": {"reason": waiting, "message": waiting_message}}
    if last_terminated:
        status["lastState"] = {"terminated": {"reason": last_terminated, "exitCode": 137, "finishedAt": T0.isoformat()}}
    pod_labels: JsonObject = dict(labels) if labels is not None else _labels(template)
    references: list[Json] = [_owner(owner)] if owner is not None else []
    return an_object(
        a_ref(name, Kind.POD, namespace),
        {
            "apiVersion": "v1",
            "spec": {**spec, "nodeName": node} if isinstance(spec, dict) else {},
            "status": {
                "phase": "Running",
                "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
                "containerStatuses": [status],
            },
        },
        labels=pod_labels,
        ownerReferences=references,
    )


def a_service(
    name: str = "cart",
    *,
    namespace: str = NAMESPACE,
    selector: Mapping[str, str] | None = None,
    port: int = 80,
    target_port: int | str = 8080,
    resource_version: str = "1",
) -> Object:
    """Make a Service that selects `app: <name>` unless told otherwise."""
    return an_object(
        a_ref(name, Kind.SERVICE, namespace),
        {
            "apiVersion": "v1",
            "spec": {
                "selector": dict(selector if selector is not None else {"app": name}),
                "ports": [{"name": "http", "port": port, "targetPort": target_port}],
            },
        },
        resource_version=resource_version,
    )


def an_endpoint_slice(service: str = "cart", *, namespace: str = NAMESPACE, ready: int = 3, unready: int = 0) -> Object:
    """Make the EndpointSlice of a Service."""
    endpoints: list[Json] = [{"conditions": {"ready": True}} for _ in range(ready)]
    endpoints += [{"conditions": {"ready": False}} for _ in range(unready)]
    return an_object(
        a_ref(f"{service}-slice", Kind.ENDPOINT_SLICE, namespace),
        {"apiVersion": "discovery.k8s.io/v1", "endpoints": endpoints},
        labels={"kubernetes.io/service-name": service},
    )


def a_node(name: str = "node-1", *, unschedulable: bool = False, ready: bool = True) -> Object:
    """Make a Node."""
    return an_object(
        a_ref(name, Kind.NODE),
        {
            "apiVersion": "v1",
            "spec": {"unschedulable": unschedulable},
            "status": {"conditions": [{"type": "Ready", "status": "True" if ready else "False"}]},
        },
    )


def a_kubernetes_event(about: Ref, reason: str, message: str = "", *, count: int = 1, at: datetime = T0) -> Object:
    """Make a Warning event about an object."""
    return an_object(
        a_ref(f"{about.name}.{reason.lower()}", Kind.EVENT, about.namespace),
        {
            "apiVersion": "v1",
            "involvedObject": {"kind": str(about.kind), "name": about.name, "namespace": about.namespace},
            "type": "Warning",
            "reason": reason,
            "message": message,
            "count": count,
            "lastTimestamp": at.isoformat(),
        },
    )


def a_workload(
    name: str = "cart", *, namespace: str = NAMESPACE, replicas: int = 3, template: JsonObject | None = None
) -> tuple[Object, ...]:
    """Make a healthy Deployment with its ReplicaSet, pods, Service and EndpointSlice."""
    deployment = a_deployment(name, namespace=namespace, replicas=replicas, template=template)
    current = a_replica_set(deployment)
    pods = (a_pod(f"{name}-1-{letter}", owner=current) for letter in "abcdefghijklmnopqrstuvwxyz"[:replicas])
    slices = an_endpoint_slice(name, namespace=namespace, ready=replicas)
    return (deployment, current, *pods, a_service(name, namespace=namespace), slices)


def a_snapshot(
    *objects: Object | Sequence[Object],
    at: datetime = T0,
    traffic: Mapping[str, Traffic] | None = None,
    usage: Mapping[str, Usage] | None = None,
) -> Snapshot:
    """Make a snapshot of objects; sequences of them, such as `a_workload()`, are flattened."""
    flat = [item for given in objects for item in ([given] if isinstance(given, Object) else given)]
    return Snapshot(
        cluster=CLUSTER,
        taken_at=at,
        objects=tuple(flat),
        traffic=dict(traffic or {}),
        usage=dict(usage or {}),
        looked_at=("what the test put there",),
    )


def _labels(template: JsonObject) -> JsonObject:
    metadata = template.get("metadata")
    labels = metadata.get("labels") if isinstance(metadata, dict) else None
    return dict(labels) if isinstance(labels, dict) else {}


def _owner(owner: Object) -> JsonObject:
    return {"kind": str(owner.ref.kind), "name": owner.ref.name, "uid": owner.uid, "controller": True}
