"""What the cluster exports: the mesh's request counters, kube-state-metrics' and cAdvisor's series, from its state."""

import re
from collections.abc import Callable, Iterator
from typing import Final

from eval.lab import quantity
from eval.lab.kinds import Obj
from eval.lab.kubelet import Kubelet
from eval.lab.series import Labels, Sample, labels
from eval.lab.store import Store
from eval.lab.traffic import CODES, Flow, Traffic, Where

FAMILIES: Final = {
    "container_cpu_cfs_periods_total": ("counter", "Number of elapsed enforcement period intervals."),
    "container_cpu_cfs_throttled_periods_total": ("counter", "Number of throttled period intervals."),
    "container_cpu_usage_seconds_total": ("counter", "Cumulative cpu time consumed in seconds."),
    "container_memory_working_set_bytes": ("gauge", "Current working set in bytes."),
    "http_request_duration_seconds": ("summary", "How long the mesh waited for a service's answer."),
    "http_requests_total": ("counter", "Requests that the mesh saw, by their answer's code."),
    "kube_deployment_spec_replicas": ("gauge", "Number of desired pods for a deployment."),
    "kube_deployment_status_replicas_available": ("gauge", "The number of available replicas per deployment."),
    "kube_endpoint_address_available": ("gauge", "Number of addresses available in endpoint."),
    "kube_node_status_condition": ("gauge", "The condition of a cluster node."),
    "kube_pod_container_resource_limits": ("gauge", "The number of requested limit resource by a container."),
    "kube_pod_container_status_restarts_total": ("counter", "The number of container restarts per container."),
    "kube_pod_container_status_waiting_reason": ("gauge", "The reason the container is currently in waiting state."),
    "kube_pod_status_ready": ("gauge", "Whether the pod is ready to serve requests."),
}
"""Type and help of every family, as its exporter words it."""
PERIODS_A_SECOND: Final = 10
"""The kernel shares out CPU in periods of a tenth of a second."""
_PART: Final = re.compile(r"_(?:sum|count)$")


class Exporter:
    """Collects all samples of one scrape. Label tuples are made once and kept: they are most of the cost."""

    def __init__(self, store: Store, kubelet: Kubelet, traffic: Traffic, pace: float) -> None:
        self._store = store
        self._kubelet = kubelet
        self._traffic = traffic
        self._pace = pace
        self._known: dict[tuple[str, ...], Labels] = {}
        self._routes: dict[tuple[Where, str], list[Labels]] = {}
        self._said: dict[str, tuple[Obj, list[Sample]]] = {}  # by uid: an object, and what is exported of it

    def samples(self, now_s: float) -> Iterator[Sample]:
        for where, flow in self._traffic.flows.items():
            yield from self._requests(where, flow)
        yield from self._each("Deployment", self._deployment)
        yield from self._each("Pod", self._pod)
        yield from self._each("Endpoints", self._endpoint)
        yield from self._containers(now_s)
        yield from self._each("Node", self._node)

    def _each(self, kind: str, samples_of: Callable[[Obj], Iterator[Sample]]) -> Iterator[Sample]:
        """The samples of each object of a kind; what is stored is never changed in place, so its samples stand."""
        for item in self._store.all(kind):
            uid = item["metadata"]["uid"]
            known = self._said.get(uid)
            if known is None or known[0] is not item:
                if len(self._said) > 20_000:
                    self._said.clear()
                known = self._said[uid] = (item, list(samples_of(item)))
            yield from known[1]

    def _labels(self, *values: str, **pairs: str) -> Labels:
        key = (*values, *pairs.values())
        found = self._known.get(key)
        if found is None:
            if len(self._known) > 20_000:  # pods come and go for ever
                self._known.clear()
            found = self._known[key] = labels(**pairs)
        return found

    def _requests(self, where: Where, flow: Flow) -> Iterator[Sample]:
        namespace, service = where
        for code in CODES:
            total = flow.totals[code]
            if code == "401" and not total:  # what never happened has no series
                continue
            known = self._routes.get((where, code))
            if known is None:
                about = {"namespace": namespace, "service": service, "code": code}
                known = [labels(route=route, zone=zone, **about) for route, zone, *_ in flow.weights]
                self._routes[where, code] = known
            for pairs, (_, _, weight, phase) in zip(known, flow.weights, strict=True):
                yield "http_requests_total", pairs, float(int(total * weight + phase))
        pairs = self._labels("s", namespace=namespace, service=service)
        yield "http_request_duration_seconds_sum", pairs, flow.duration_sum_s
        yield "http_request_duration_seconds_count", pairs, float(int(sum(flow.totals.values())))
        pairs = self._labels("q", namespace=namespace, service=service, quantile="0.99")
        yield "http_request_duration_seconds", pairs, flow.p99_s

    def _deployment(self, item: Obj) -> Iterator[Sample]:
        meta, status = item["metadata"], item.get("status") or {}
        pairs = self._labels("d", namespace=meta["namespace"], deployment=meta["name"])
        yield "kube_deployment_spec_replicas", pairs, float(item["spec"]["replicas"])
        yield "kube_deployment_status_replicas_available", pairs, float(status.get("availableReplicas", 0))

    def _pod(self, pod: Obj) -> Iterator[Sample]:
        meta = pod["metadata"]
        conditions = {item["type"]: item["status"] for item in pod["status"].get("conditions") or []}
        ready = conditions.get("Ready", "False").lower()
        for condition in ("true", "false", "unknown"):
            pairs = self._labels("p", namespace=meta["namespace"], pod=meta["name"], condition=condition)
            yield "kube_pod_status_ready", pairs, float(condition == ready)
        for container in pod["status"].get("containerStatuses") or []:
            yield from self._container_status(meta, container)
        for container in pod["spec"]["containers"]:
            yield from self._limits(meta, container)

    def _container_status(self, meta: Obj, container: Obj) -> Iterator[Sample]:
        base = {"namespace": meta["namespace"], "pod": meta["name"], "container": container["name"]}
        yield "kube_pod_container_status_restarts_total", self._labels("c", **base), float(container["restartCount"])
        if reason := (container["state"].get("waiting") or {}).get("reason"):
            yield "kube_pod_container_status_waiting_reason", self._labels("w", **base, reason=reason), 1.0

    def _limits(self, meta: Obj, container: Obj) -> Iterator[Sample]:
        for name, value in (container["resources"].get("limits") or {}).items():
            unit = {"cpu": "core", "memory": "byte"}.get(name, "integer")
            pairs = self._labels(
                "l",
                namespace=meta["namespace"],
                pod=meta["name"],
                container=container["name"],
                resource=name,
                unit=unit,
            )
            yield "kube_pod_container_resource_limits", pairs, quantity.parse(value)

    def _endpoint(self, item: Obj) -> Iterator[Sample]:
        ready = sum(len(subset.get("addresses") or []) for subset in item.get("subsets") or [])
        pairs = self._labels("e", namespace=item["metadata"]["namespace"], endpoint=item["metadata"]["name"])
        yield "kube_endpoint_address_available", pairs, float(ready)

    def _containers(self, now_s: float) -> Iterator[Sample]:
        for run in self._kubelet.runs.values():
            meta = run.pod["metadata"]
            for container in run.containers:
                pairs = self._labels(
                    "u", namespace=meta["namespace"], pod=meta["name"], container=container.name, node=run.node
                )
                # Samples carry the wall's time: without the pace a core would work `pace` seconds a second.
                yield "container_cpu_usage_seconds_total", pairs, container.cpu_s / self._pace
                periods = PERIODS_A_SECOND / self._pace
                yield "container_cpu_cfs_periods_total", pairs, float(int(container.ran_s * periods))
                yield "container_cpu_cfs_throttled_periods_total", pairs, float(int(container.waited_s * periods))
                memory = float(int(container.memory_mib(now_s) * quantity.MIB))
                yield "container_memory_working_set_bytes", pairs, memory

    def _node(self, node: Obj) -> Iterator[Sample]:
        for condition in node["status"]["conditions"]:
            for status in ("true", "false", "unknown"):
                pairs = self._labels("n", node=node["metadata"]["name"], condition=condition["type"], status=status)
                yield "kube_node_status_condition", pairs, float(condition["status"].lower() == status)


def exposition(samples: Iterator[Sample]) -> str:
    """The Prometheus text format, one family after another."""
    families: dict[str, list[str]] = {}
    for name, pairs, value in samples:
        text = ",".join(f'{key}="{_escape(item)}"' for key, item in pairs)
        families.setdefault(_family(name), []).append(f"{name}{{{text}}} {value!r}\n")
    lines: list[str] = []
    for name in sorted(families):
        kind, what = FAMILIES[name]
        lines.append(f"# HELP {name} {what}\n# TYPE {name} {kind}\n")
        lines.extend(sorted(families[name]) if kind == "summary" else families[name])
    return "".join(lines)


def _family(name: str) -> str:
    return name if name in FAMILIES else _PART.sub("", name)


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
