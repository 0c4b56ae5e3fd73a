"""How objects, patches and evictions look on the way to the Kubernetes API and back."""

from collections.abc import Mapping
from typing import Any, Final

from kubernetes.aio.dynamic import DynamicClient, Resource

from shared.domain.change import Evict, Patch
from shared.domain.cluster import CLUSTER_SCOPED, MARK, MARK_POINTER, Kind, Object, Ref
from shared.domain.frozen import JsonObject
from shared.domain.ids import ClusterName

PLURALS: Final[Mapping[Kind, tuple[str, str]]] = {
    Kind.NAMESPACE: ("", "namespaces"),
    Kind.NODE: ("", "nodes"),
    Kind.POD: ("", "pods"),
    Kind.SERVICE: ("", "services"),
    Kind.EVENT: ("", "events"),
    Kind.RESOURCE_QUOTA: ("", "resourcequotas"),
    Kind.CONFIG_MAP: ("", "configmaps"),
    Kind.VALIDATING_WEBHOOKS: ("admissionregistration.k8s.io", "validatingwebhookconfigurations"),
    Kind.MUTATING_WEBHOOKS: ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
    Kind.NETWORK_POLICY: ("networking.k8s.io", "networkpolicies"),
    Kind.ENDPOINT_SLICE: ("discovery.k8s.io", "endpointslices"),
    Kind.DEPLOYMENT: ("apps", "deployments"),
    Kind.REPLICA_SET: ("apps", "replicasets"),
}
"""Group and plural; all are `v1` since Kubernetes 1.21. A table instead of discovery: discovery costs six requests
before the first answer, and its cache file is named after the host, so clusters behind one address would share it."""
LABELS: Final = "/metadata/labels"
WITH_WRITERS: Final = frozenset({Kind.DEPLOYMENT, Kind.SERVICE, Kind.NETWORK_POLICY, Kind.CONFIG_MAP})
"""Where managedFields tell what somebody wrote lately, and who: a rollout, a port; elsewhere they are only most of the
bytes."""


def to_object(body: dict[str, Any], kind: Kind, cluster: ClusterName) -> Object:
    """Take over an object as the API server sent it; the body is kept, not copied."""
    metadata = body["metadata"]
    if kind not in WITH_WRITERS:
        metadata.pop("managedFields", None)
    # Not validated: it was parsed from JSON a moment ago, and walking 5,000 pods again costs more than parsing them.
    return Object.model_construct(
        ref=Ref(cluster=cluster, kind=kind, namespace=metadata.get("namespace", ""), name=metadata["name"]),
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        body=body,
    )


def to_objects(page: dict[str, Any], kind: Kind, cluster: ClusterName) -> list[Object]:
    """Take over a page of a list; its items carry neither kind nor apiVersion, so they get them here."""
    api_version = page["apiVersion"]
    return [
        to_object({"apiVersion": api_version, "kind": str(kind), **item}, kind, cluster) for item in page["items"] or ()
    ]


def resource_of(client: DynamicClient, kind: Kind) -> Resource:
    """Name the resource of a kind, without discovery."""
    group, plural = PLURALS[kind]
    return Resource(
        prefix="apis" if group else "api",
        group=group,
        api_version="v1",
        kind=str(kind),
        namespaced=kind not in CLUSTER_SCOPED,
        name=plural,
        client=client,
    )


def asked_for(verb: str, kind: Kind, namespace: str | None, name: str = "") -> str:
    """Say what is asked for, as `list pods/shop`: a bare 401 or a timeout names neither verb nor resource."""
    return f"{verb} {'/'.join(part for part in (PLURALS[kind][1], namespace, name) if part)}"


def operations_of(patch: Patch, seen: Object, mark: str) -> list[JsonObject]:
    """The JSON Patch: the version's fence, a test on each value that is replaced, and the mark."""
    if patch.ref != seen.ref:
        raise ValueError(f"a patch of {patch.ref} cannot be written to {seen.ref}")
    return [*patch.to_json_patch(seen), label(seen, mark)]


def label(seen: Object, mark: str) -> JsonObject:
    """The operation that sets the mark; `add` to a map replaces. The version's fence stands before it."""
    if isinstance(seen.at(LABELS), dict):
        return {"op": "add", "path": MARK_POINTER, "value": mark}
    return {"op": "add", "path": LABELS, "value": {MARK: mark}}


def eviction(evict: Evict) -> JsonObject:
    """The body; the precondition on the UID stands in its deleteOptions, and nowhere else counts."""
    return {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": evict.ref.name, "namespace": evict.ref.namespace},
        "deleteOptions": {"preconditions": {"uid": evict.uid}},
    }
