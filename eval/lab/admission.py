"""What the server does to an object before it stores it: defaults, canonical quantities, and what it refuses."""

import base64
from collections.abc import Iterable
from copy import deepcopy
from typing import Any, Final

from eval.lab import quantity
from eval.lab.errors import bad_request, forbidden, invalid
from eval.lab.kinds import Kind, Obj

_SPEC_FIELDS: Final = {
    "Deployment": {
        "replicas",
        "selector",
        "template",
        "strategy",
        "minReadySeconds",
        "revisionHistoryLimit",
        "paused",
        "progressDeadlineSeconds",
    },
    "Service": {
        "ports",
        "selector",
        "clusterIP",
        "clusterIPs",
        "type",
        "externalIPs",
        "sessionAffinity",
        "loadBalancerIP",
        "loadBalancerSourceRanges",
        "externalName",
        "externalTrafficPolicy",
        "healthCheckNodePort",
        "publishNotReadyAddresses",
        "sessionAffinityConfig",
        "ipFamilies",
        "ipFamilyPolicy",
        "allocateLoadBalancerNodePorts",
        "loadBalancerClass",
        "internalTrafficPolicy",
        "trafficDistribution",
    },
}
_POD_DEFAULTS: Final[Obj] = {
    "restartPolicy": "Always",
    "terminationGracePeriodSeconds": 30,
    "dnsPolicy": "ClusterFirst",
    "securityContext": {},
    "schedulerName": "default-scheduler",
}
_CONTAINER_DEFAULTS: Final[Obj] = {
    "resources": {},
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
}
_PROBE_DEFAULTS: Final[Obj] = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
_DEPLOYMENT_DEFAULTS: Final[Obj] = {
    "replicas": 1,
    "revisionHistoryLimit": 10,
    "progressDeadlineSeconds": 600,
    "strategy": {"type": "RollingUpdate"},
}
_SERVICE_DEFAULTS: Final[Obj] = {
    "type": "ClusterIP",
    "sessionAffinity": "None",
    "internalTrafficPolicy": "Cluster",
    "ipFamilies": ["IPv4"],
    "ipFamilyPolicy": "SingleStack",
}
_OMITTED_WHEN_EMPTY: Final = {"labels", "annotations", "nodeSelector", "selector", "env", "ports", "taints", "args"}
_OMITTED_WHEN_FALSE: Final = {"unschedulable", "paused"}


def strict_errors(kind: Kind, obj: Obj) -> list[str]:
    """What `fieldValidation=Strict` would refuse: unknown fields at the top of the spec, for the kinds we know."""
    known = _SPEC_FIELDS.get(kind.name)
    spec = obj.get("spec")
    if known is None or not isinstance(spec, dict):
        return []
    return [f'unknown field "spec.{field}"' for field in spec if field not in known]


def _default(target: Obj, defaults: Obj) -> None:
    for key, value in defaults.items():
        if target.get(key) is None:
            target[key] = deepcopy(value)


def _compact(value: Any) -> Any:
    """Copy, without what the typed server does not keep: nulls, and the empty or false values of omitempty fields."""
    if isinstance(value, list):
        return [_compact(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {}
    for key, item in value.items():
        empty = (key in _OMITTED_WHEN_EMPTY and item in ({}, [])) or (key in _OMITTED_WHEN_FALSE and item is False)
        if item is not None and not empty:
            kept[key] = _compact(item)
    return kept


def _quantities(resources: Obj) -> None:
    for bounds in ("requests", "limits", "hard"):
        for name, value in (resources.get(bounds) or {}).items():
            try:
                resources[bounds][name] = quantity.canonical(value)
            except ValueError as error:
                raise bad_request(f"quantities must match the regular expression: {error}") from error


def _pod_spec(spec: Obj, *, running: bool) -> None:
    _default(spec, _POD_DEFAULTS)
    for container in spec.get("containers") or []:
        _default(container, _CONTAINER_DEFAULTS)
        latest = ":" not in container.get("image", "") or container["image"].endswith(":latest")
        _default(container, {"imagePullPolicy": "Always" if latest else "IfNotPresent"})
        for port in container.get("ports") or []:
            _default(port, {"protocol": "TCP"})
        for probe in ("readinessProbe", "livenessProbe", "startupProbe"):
            if container.get(probe):
                _default(container[probe], _PROBE_DEFAULTS)
                if "httpGet" in container[probe]:
                    _default(container[probe]["httpGet"], {"scheme": "HTTP"})
        resources = container["resources"]
        _quantities(resources)
        if running and resources.get("limits"):
            # A pod (not a template) requests what it is limited to, where it says nothing.
            resources["requests"] = {**resources["limits"], **(resources.get("requests") or {})}


def _deployment(spec: Obj) -> None:
    _default(spec, _DEPLOYMENT_DEFAULTS)
    strategy = spec["strategy"]
    _default(strategy, {"type": "RollingUpdate"})
    if strategy["type"] == "RollingUpdate":
        _default(strategy, {"rollingUpdate": {}})
        _default(strategy["rollingUpdate"], {"maxSurge": "25%", "maxUnavailable": "25%"})


def _service(spec: Obj) -> None:
    _default(spec, _SERVICE_DEFAULTS)
    for port in spec.get("ports") or []:
        _default(port, {"protocol": "TCP", "targetPort": port.get("port")})


def normalise(kind: Kind, obj: Obj) -> Obj:
    """Return the object as the server would store it, a copy. Raises 400 for what cannot be decoded."""
    result: Obj = _compact(obj)
    if kind.name == "Secret" and (plain := result.pop("stringData", None)):
        coded = {key: base64.b64encode(value.encode()).decode() for key, value in plain.items()}
        result["data"] = {**(result.get("data") or {}), **coded}
    spec = result.get("spec")
    if not isinstance(spec, dict):
        return result
    if kind.name in {"Deployment", "ReplicaSet"}:
        template = spec.get("template")
        if not isinstance(template, dict) or not isinstance(template.get("spec"), dict):
            raise invalid(kind, result["metadata"].get("name", ""), "spec.template", "Required value")
        template.setdefault("metadata", {})
        _pod_spec(template["spec"], running=False)
    match kind.name:
        case "Deployment":
            _deployment(spec)
        case "ReplicaSet":
            _default(spec, {"replicas": 1})
        case "Pod":
            _pod_spec(spec, running=True)
        case "Service":
            _service(spec)
        case "ResourceQuota":
            _quantities(spec)
        case _:
            pass
    return result


def _containers(kind: Kind, name: str, template: Obj) -> None:
    containers = template.get("spec", template).get("containers") or []
    if not containers:
        raise invalid(kind, name, "spec.template.spec.containers", "Required value")
    for at, container in enumerate(containers):
        where = f"spec.template.spec.containers[{at}]"
        if not container.get("image"):
            raise invalid(kind, name, f"{where}.image", "Required value")
        resources = container.get("resources") or {}
        for what, limit in (resources.get("limits") or {}).items():
            asked = (resources.get("requests") or {}).get(what)
            if asked is not None and quantity.parse(asked) > quantity.parse(limit):
                why = f'Invalid value: "{asked}": must be less than or equal to {what} limit of {limit}'
                raise invalid(kind, name, f"{where}.resources.requests", why)


def _workload(kind: Kind, new: Obj, old: Obj | None) -> None:
    name, spec = new["metadata"]["name"], new["spec"]
    if not isinstance(spec.get("replicas"), int) or spec["replicas"] < 0:
        raise invalid(kind, name, "spec.replicas", "must be greater than or equal to 0")
    selector = spec.get("selector") or {}
    if old is not None and selector != old["spec"]["selector"]:
        raise invalid(kind, name, "spec.selector", "Invalid value: field is immutable")
    wanted = selector.get("matchLabels") or {}
    labels = spec["template"]["metadata"].get("labels") or {}
    if not wanted or any(labels.get(key) != value for key, value in wanted.items()):
        raise invalid(kind, name, "spec.template.metadata.labels", "`selector` does not match template `labels`")
    _containers(kind, name, spec["template"])


def _without_images(spec: Obj) -> Obj:
    containers = [{**container, "image": ""} for container in spec.get("containers") or []]
    return {**spec, "containers": containers, "tolerations": None}


def _pod(kind: Kind, new: Obj, old: Obj | None) -> None:
    if old is not None and _without_images(new["spec"]) != _without_images(old["spec"]):
        why = "Forbidden: pod updates may not change fields other than `spec.containers[*].image`"
        raise invalid(kind, new["metadata"]["name"], "spec", why)


def validate(kind: Kind, new: Obj, old: Obj | None) -> None:
    """Refuse (422) what a real server refuses, as far as the lab's controllers depend on it."""
    match kind.name:
        case "Deployment" | "ReplicaSet":
            _workload(kind, new, old)
        case "Pod":
            _pod(kind, new, old)
        case "Service":
            ports = new.get("spec", {}).get("ports") or []
            if any(not isinstance(port.get("port"), int) or not 0 < port["port"] < 65536 for port in ports):
                raise invalid(kind, new["metadata"]["name"], "spec.ports", "must be between 1 and 65535, inclusive")
        case _:
            pass


_MUST_BE_SAID: Final = {f"{bound}{name}" for bound in ("", "requests.", "limits.") for name in ("cpu", "memory")}


def used_by(pods: Iterable[Obj]) -> dict[str, float]:
    """What pods count for in a quota: a bare resource stands for its requests, and what has ended counts no more."""
    used: dict[str, float] = {}
    for pod in pods:
        if pod.get("status", {}).get("phase") in {"Succeeded", "Failed"}:
            continue
        used["pods"] = used.get("pods", 0) + 1
        for container in pod["spec"]["containers"]:
            for bounds in ("requests", "limits"):
                for name, value in (container["resources"].get(bounds) or {}).items():
                    for key in (f"{bounds}.{name}", *((name,) if bounds == "requests" else ())):
                        used[key] = used.get(key, 0.0) + quantity.parse(value)
    return used


def within_quota(kind: Kind, pod: Obj, others: Iterable[Obj], quotas: Iterable[Obj]) -> None:
    """Refuse (403) a pod that would take its namespace over a ResourceQuota, or that leaves unsaid what one counts."""
    used, asked = used_by(others), used_by([pod])
    for quota in quotas:
        hard = quota["spec"].get("hard") or {}
        name = quota["metadata"]["name"]
        if unsaid := sorted(key for key in hard if key in _MUST_BE_SAID and key not in asked):
            containers = ",".join(container["name"] for container in pod["spec"]["containers"])
            why = f"failed quota: {name}: must specify " + "; ".join(f"{key} for: {containers}" for key in unsaid)
            raise forbidden("create", kind, pod["metadata"]["name"], why)
        over = sorted(
            key for key in hard if key in asked and used.get(key, 0.0) + asked[key] > quantity.parse(hard[key])
        )
        if over:
            parts = {
                "requested": {key: quantity.written(key, asked[key]) for key in over},
                "used": {key: quantity.written(key, used.get(key, 0.0)) for key in over},
                "limited": {key: hard[key] for key in over},
            }
            said = ", ".join(
                f"{what}: " + ",".join(f"{key}={value}" for key, value in amounts.items())
                for what, amounts in parts.items()
            )
            raise forbidden("create", kind, pod["metadata"]["name"], f"exceeded quota: {name}, {said}")
