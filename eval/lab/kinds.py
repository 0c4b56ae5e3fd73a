"""The kinds that the lab serves, as data: one row each, and what the API says about them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

Obj = dict[str, Any]
Objs = list[Obj]


@dataclass(frozen=True)
class Kind:
    """One row of the API: how a kind is called, where it lives, what the server keeps for it."""

    name: str
    plural: str
    group: str = ""
    version: str = "v1"
    namespaced: bool = True
    has_generation: bool = False
    has_status: bool = False
    modelled: bool = True  # False: discoverable and always empty, because nothing in the lab would act on it.
    subresources: tuple[tuple[str, str, str], ...] = ()  # (name, kind, verb)

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """The resource as error messages write it: `deployments.apps`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


_ROWS: Final = (
    Kind("Namespace", "namespaces", namespaced=False, has_status=True),
    Kind("Node", "nodes", namespaced=False, has_status=True),
    Kind(
        "Pod",
        "pods",
        has_status=True,
        subresources=(("log", "Pod", "get"), ("eviction", "Eviction", "create")),
    ),
    Kind("Service", "services", has_status=True),
    Kind("Endpoints", "endpoints"),
    Kind("Event", "events"),
    Kind("ConfigMap", "configmaps"),
    Kind("Secret", "secrets"),
    Kind("ResourceQuota", "resourcequotas", has_status=True),
    Kind("LimitRange", "limitranges", modelled=False),
    Kind("PersistentVolumeClaim", "persistentvolumeclaims", modelled=False),
    Kind("ServiceAccount", "serviceaccounts", modelled=False),
    Kind("Deployment", "deployments", "apps", has_generation=True, has_status=True),
    Kind("ReplicaSet", "replicasets", "apps", has_generation=True, has_status=True),
    Kind("StatefulSet", "statefulsets", "apps", modelled=False),
    Kind("DaemonSet", "daemonsets", "apps", modelled=False),
    Kind("EndpointSlice", "endpointslices", "discovery.k8s.io", has_generation=True),
    Kind("HorizontalPodAutoscaler", "horizontalpodautoscalers", "autoscaling", "v2", modelled=False),
    Kind("PodDisruptionBudget", "poddisruptionbudgets", "policy", has_generation=True, has_status=True),
    Kind("Job", "jobs", "batch", modelled=False),
    Kind("CronJob", "cronjobs", "batch", modelled=False),
    Kind("NetworkPolicy", "networkpolicies", "networking.k8s.io", modelled=False),
    *(
        Kind(name, f"{name.lower()}s", "admissionregistration.k8s.io", namespaced=False, modelled=False)
        for name in ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration")
    ),
    Kind("Ingress", "ingresses", "networking.k8s.io", modelled=False),
)

KINDS: Final[Mapping[str, Kind]] = {row.name: row for row in _ROWS}
BY_PLURAL: Final[Mapping[tuple[str, str, str], Kind]] = {(row.group, row.version, row.plural): row for row in _ROWS}
