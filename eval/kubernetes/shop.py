"""The shop on a real cluster: the lab's own objects, sized for one small node, and an image for each version."""

import random
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from eval.lab import shop as lab
from eval.lab.deployments import REVISION
from eval.lab.kinds import Obj
from eval.lab.shop import CALLS, PORT, Shop, variable
from eval.lab.store import Store

REGISTRY: Final = "127.0.0.1:5000"
"""On the node's own loopback: containerd speaks plain HTTP to it."""
EDGE_RPS: Final = 30.0
QUIET_RPS: Final = 3.0
_SHRINKS: Final = 3
"""How much less memory than in the lab: twenty pods of Go need less than twenty of what is usual."""
_OWN_MIB: Final = 10
"""What the program itself takes; the rest of a service's need is filled."""
_REST_MIB: Final = 32
"""What the worker needs, and the quiet neighbour."""
CPU_LIMIT_M: Final = 100
_CPU_USE_M: Final = 13.0
"""What a pod uses at its usual load, as far as its own work can be chosen: more than the least limit that there is."""
_OWN_CPU_MS: Final = 0.8
"""What one request costs the program itself: connections, names, metrics."""
_SURGE: Final = 5.5
_SURGE_OF_THE_STORE: Final = 7.7
"""A request to the store costs a third less when they are many."""
_SECRET_KEYS: Final = {"STORE_USER": "username", "STORE_PASSWORD": "password"}
_SETTINGS: Final = "/etc/app"
_LAB_REGISTRY: Final = "registry.example"
_SERVER_SAYS: Final = ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "annotations")


def design(rng: random.Random, registry: str = REGISTRY) -> Shop:
    """Draw a shop: names, wiring, versions and replicas of the lab's with this seed, less load and memory."""
    drawn = lab.design(rng)
    share = EDGE_RPS / lab.EDGE_RPS
    return replace(
        drawn,
        rps={role: rps * share for role, rps in drawn.rps.items()},
        memory_mib={role: need // _SHRINKS for role, need in drawn.memory_mib.items()},
        images={role: _moved(references, registry) for role, references in drawn.images.items()},
    )


def _moved(references: tuple[str, str, str, str], registry: str) -> tuple[str, str, str, str]:
    one, two, three, four = (each.replace(_LAB_REGISTRY, registry, 1) for each in references)
    return one, two, three, four


# --- images: what an application is


def image_environments(shop: Shop) -> Mapping[str, Mapping[str, str]]:
    """By reference, what an image says of itself: whom it calls how often, and what it needs."""
    return {reference: behaviour(shop, role) for role, references in shop.images.items() for reference in references}


def behaviour(shop: Shop, role: str) -> Mapping[str, str]:
    """The environment baked into the images of a role; a scenario that wants another application adds to it."""
    calls = {ratio_variable(shop.services[callee]): f"{ratio:g}" for callee, ratio in CALLS.get(role, {}).items()}
    need = shop.memory_mib.get(role, _REST_MIB)
    told = {"MEMORY_MB": str(max(0, need - _OWN_MIB)), "CPU_MS": f"{_cpu_ms(shop, role):.1f}", **calls}
    match role:
        case "store":
            return {**told, "SIGN_IN": "required", "CONNECTIONS": "100"}
        case "orders":
            return {**told, "QUEUE_LIMIT": "5000"}
        case "worker":
            return {**told, "JOBS_FROM": variable(shop.orders)}
        case _:
            return told


def _cpu_ms(shop: Shop, role: str) -> float:
    """What one request must compute for the pods of a role to use what they shall."""
    if role not in shop.rps:
        return _OWN_CPU_MS
    return max(0.1, _CPU_USE_M * shop.replicas[role] / shop.rps[role] - _OWN_CPU_MS)


def surge_of(role: str) -> float:
    """How many times as much as in the lab a surge of a role grows: there a pod uses half of its limit, here an eighth.

    So that what overloads a pod there overloads one here, and three times as many pods have it easy: with 7.7 for all,
    nine pods for shipping used 70 % of their limits, and callers stayed slow.
    """
    return _SURGE_OF_THE_STORE if role == "store" else _SURGE


def ratio_variable(name: str) -> str:
    """The variable that says how many calls to a dependency one request makes; the image has it, not the manifest."""
    return f"{name.upper()}_RATIO"


# --- manifests: where it runs


@dataclass(frozen=True)
class Workload:
    """A Deployment, and the templates of its older revisions, oldest first."""

    deployment: Obj
    older: Sequence[Obj]


@dataclass(frozen=True)
class Manifests:
    """All objects of a shop, in the order in which they must come."""

    namespaces: Sequence[Obj]
    secrets: Sequence[Obj]
    config_maps: Sequence[Obj]
    services: Sequence[Obj]
    workloads: Sequence[Workload]


def manifests(shop: Shop) -> Manifests:
    """Take the lab's objects for this shop, and add what a real node and a real application need."""
    store = Store(random.Random(0), lambda: datetime.fromtimestamp(0, UTC))
    lab.open_shop(store, shop)
    served = {(item["metadata"]["namespace"], item["metadata"]["name"]) for item in store.all("Service")}
    return Manifests(
        namespaces=[_plain(item) for item in store.all("Namespace") if item["metadata"]["name"] != "default"],
        secrets=[
            {
                "metadata": {"name": credentials(shop), "namespace": shop.namespace},
                "stringData": {_SECRET_KEYS[name]: value for name, value in shop.credentials.items()},
            }
        ],
        config_maps=[
            {
                "metadata": {"name": settings(name), "namespace": namespace, "labels": {"app": name}},
                "data": {"app.conf": "# How long a call to another service may take.\nTIMEOUT_MS = 1000\n"},
            }
            for namespace, name in sorted(served)
        ],
        services=[_service(item) for item in store.all("Service")],
        workloads=list(_workloads(shop, store)),
    )


def credentials(shop: Shop) -> str:
    """The Secret that the store and its callers share."""
    return f"{shop.store}-credentials"


def settings(name: str) -> str:
    """The ConfigMap of a service."""
    return f"{name}-conf"


def _plain(item: Obj) -> Obj:
    """As somebody would write it: without what the server says, and without a status."""
    kept = {key: value for key, value in item.items() if key not in ("status", "apiVersion", "kind")}
    meta = {key: value for key, value in item["metadata"].items() if key not in _SERVER_SAYS}
    return deepcopy({**kept, "metadata": meta})


def _service(item: Obj) -> Obj:
    plain = _plain(item)
    kept = ("selector", "ports", "type")  # its addresses are the cluster's to give
    return {**plain, "spec": {key: value for key, value in plain["spec"].items() if key in kept}}


def _workloads(shop: Shop, store: Store) -> Iterator[Workload]:
    roles = {**{name: role for role, name in shop.services.items()}, shop.worker: "worker", shop.quiet: "quiet"}
    revisions = sorted(store.all("ReplicaSet"), key=lambda item: int(item["metadata"]["annotations"][REVISION]))
    for item in store.all("Deployment"):
        owner = item["metadata"]["uid"]
        templates = [
            _without_hash(made["spec"]["template"])
            for made in revisions
            if made["metadata"]["ownerReferences"][0]["uid"] == owner
        ]
        role = roles[item["metadata"]["name"]]
        plain = _plain(item)
        plain["spec"]["template"] = _fitted(shop, role, plain["spec"]["template"])
        yield Workload(plain, [_fitted(shop, role, template) for template in templates[:-1]])


def _without_hash(template: Obj) -> Obj:
    labels = {key: value for key, value in template["metadata"]["labels"].items() if key != "pod-template-hash"}
    return deepcopy({**template, "metadata": {**template["metadata"], "labels": labels}})


def _fitted(shop: Shop, role: str, template: Obj) -> Obj:
    """The template with resources for a small node, probes as fast as its programs, and what its program reads."""
    (container,) = template["spec"]["containers"]
    secret = shop.credentials.keys()
    container["env"] = [_from_secret(shop, each) if each["name"] in secret else each for each in container["env"]]
    need = shop.memory_mib.get(role, _REST_MIB)
    container["resources"] = {
        "requests": {"cpu": "15m", "memory": f"{need}Mi"},
        "limits": {"cpu": f"{CPU_LIMIT_M}m", "memory": f"{2 * need}Mi"},
    }
    if role == "worker":
        container["ports"] = [{"name": "metrics", "containerPort": PORT}]
        container["env"].append({"name": variable(shop.orders), "value": shop.url("orders")})
        return template
    ready = container["readinessProbe"]["httpGet"]
    container["readinessProbe"] = {"httpGet": ready, "initialDelaySeconds": 1, "periodSeconds": 2}
    container["livenessProbe"] = {
        "httpGet": {**ready, "path": "/live"},
        "initialDelaySeconds": 5,
        "periodSeconds": 5,
        "timeoutSeconds": 2,
    }
    container["env"].append({"name": "CONFIG_FILE", "value": f"{_SETTINGS}/app.conf"})
    container["volumeMounts"] = [{"name": "settings", "mountPath": _SETTINGS, "readOnly": True}]
    name = shop.services.get(role, shop.quiet)
    template["spec"]["volumes"] = [{"name": "settings", "configMap": {"name": settings(name)}}]
    return template


def _from_secret(shop: Shop, variable: Obj) -> Obj:
    """What the lab writes plainly into manifests, a team keeps in a Secret."""
    key = {"name": credentials(shop), "key": _SECRET_KEYS[variable["name"]]}
    return {"name": variable["name"], "valueFrom": {"secretKeyRef": key}}
