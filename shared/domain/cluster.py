"""Names and bodies of Kubernetes objects."""

from enum import StrEnum
from typing import Final

from shared.domain.frozen import Frozen, Json, JsonObject
from shared.domain.ids import ClusterName
from shared.domain.path import join, value

MARK: Final = "primum.dev/transaction"
"""The label on every object that a transaction wrote: `<transaction>.<epoch>`, and `.back-<step>` once that step is
undone. A label, because a Deployment's annotations are copied to its ReplicaSets and bump its generation."""
MARK_POINTER: Final = "/metadata/labels" + join(MARK)
HOLD: Final = "primum.dev/hold"
"""On a namespace or an object: Primum keeps its hands off."""
RESTARTED_AT: Final = "kubectl.kubernetes.io/restartedAt"


class Kind(StrEnum):
    """The kinds that Primum reads or writes."""

    NAMESPACE = "Namespace"
    NODE = "Node"
    POD = "Pod"
    SERVICE = "Service"
    ENDPOINT_SLICE = "EndpointSlice"
    EVENT = "Event"
    DEPLOYMENT = "Deployment"
    REPLICA_SET = "ReplicaSet"
    RESOURCE_QUOTA = "ResourceQuota"
    NETWORK_POLICY = "NetworkPolicy"
    CONFIG_MAP = "ConfigMap"
    VALIDATING_WEBHOOKS = "ValidatingWebhookConfiguration"
    MUTATING_WEBHOOKS = "MutatingWebhookConfiguration"

    @property
    def plural(self) -> str:
        """Several of them, in a sentence."""
        return f"{self.removesuffix('y')}ies" if self.endswith("y") else f"{self}s"


COREFILE: Final = ("kube-system", "coredns")
"""The one ConfigMap that is read: what the cluster's DNS is told, where kubeadm and most distributions keep it."""
CLUSTER_SCOPED: Final = frozenset({Kind.NAMESPACE, Kind.NODE, Kind.VALIDATING_WEBHOOKS, Kind.MUTATING_WEBHOOKS})


class Ref(Frozen):
    """The name of one object of one cluster; `namespace` is empty for cluster-scoped kinds."""

    cluster: ClusterName
    kind: Kind
    namespace: str
    name: str

    @property
    def key(self) -> str:
        """`namespace/name`: how metrics and logs call a Service or a pod."""
        return f"{self.namespace}/{self.name}"

    def __str__(self) -> str:
        return "/".join(part for part in (self.kind, self.namespace, self.name) if part)

    def __lt__(self, other: "Ref") -> bool:
        return (self.cluster, str(self)) < (other.cluster, str(other))


class Object(Frozen):
    """One object as the API server stored it."""

    ref: Ref
    uid: str
    resource_version: str
    body: JsonObject

    def at(self, path: str) -> Json:
        """Return the value at a JSON pointer, or None where nothing stands. Lists are addressed by name."""
        return value(self.body, path)

    @property
    def mark(self) -> Json:
        """The label of the transaction that wrote it last, if one did."""
        return self.at(MARK_POINTER)
