"""The shop: eight services and a worker, whose names, versions and places the seed draws."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from eval.lab import rollout
from eval.lab.deployments import REVISION, replica_set_for
from eval.lab.images import Image, Registry
from eval.lab.kinds import Obj
from eval.lab.store import Store, rfc3339

# Any word may be any service: nothing outside can tell a role by its name.
# fmt: off
_WORDS: Final = (
    "amber", "aspen", "basil", "birch", "bramble", "cedar", "clover", "cobalt", "coral", "dune",
    "ember", "fennel", "fjord", "flint", "garnet", "ginger", "hazel", "heron", "indigo", "iris",
    "juniper", "kestrel", "laurel", "linden", "lumen", "maple", "marlin", "nectar", "nettle", "onyx",
    "opal", "pebble", "poppy", "quartz", "quill", "raven", "robin", "saffron", "sorrel", "sparrow",
    "thistle", "topaz", "umber", "velvet", "violet", "walnut", "willow", "wren", "yarrow", "zephyr",
)
_PLACES: Final = (
    "canyon", "delta", "glacier", "lagoon", "meadow", "mesa", "moor", "prairie", "ravine", "steppe",
    "tundra", "valley",
)
# fmt: on
ROUTES: Final = ("add", "batch", "check", "find", "head", "item", "list", "page", "quote", "sync")
ZONES: Final = ("zone-a", "zone-b", "zone-c", "zone-d")
EDGE_RPS: Final = 400.0
UTILISATION: Final = 0.55  # one pod less of two or three is felt, one more of each helps a doubled load
PORT: Final = 8080
CALLS: Final[Mapping[str, Mapping[str, float]]] = {
    "edge": {"cart": 0.4, "catalog": 0.9, "checkout": 0.25},
    "cart": {"store": 0.8},
    "catalog": {"store": 0.5},
    "checkout": {"payment": 1.0, "shipping": 0.8, "orders": 1.0},
    "payment": {},
    "shipping": {},
    "orders": {"store": 1.0},
    "store": {},
}
NODES: Final = ("node-a", "node-b", "node-c")


@dataclass(frozen=True)
class Shop:
    """Roles and what they are called this time. Roles exist only under eval/."""

    namespace: str
    services: Mapping[str, str]  # role -> name of the Deployment and of the Service
    worker: str  # a Deployment without a Service, in the shop's namespace
    quiet_namespace: str
    quiet: str
    rps: Mapping[str, float]  # role -> usual requests a second
    replicas: Mapping[str, int]
    memory_mib: Mapping[str, int]  # role -> what it needs; the limit is about twice that
    images: Mapping[str, tuple[str, str, str, str]]  # role -> two older ones, the running one, the next one
    nodes: Mapping[str, str] = field(default_factory=lambda: {name: name for name in NODES})  # role -> name of the Node

    def __getattr__(self, role: str) -> str:
        """`shop.edge` is the name of the service in that role."""
        if role in self.services:
            return self.services[role]
        raise AttributeError(role)

    def image(self, role: str) -> str:
        """The image that runs at the start."""
        return self.images[role][2]

    def next_image(self, role: str) -> str:
        """A newer one that can be pulled and behaves the same."""
        return self.images[role][3]

    def missing_image(self, role: str) -> str:
        """A reference that nothing was ever pushed to."""
        return self.images[role][2] + "-rc"

    @property
    def credentials(self) -> dict[str, str]:
        """What callers of the store sign in with, and what it lets in."""
        return {"STORE_USER": self.namespace, "STORE_PASSWORD": f"{self.worker}-{self.quiet}"}

    def url(self, role: str) -> str:
        return f"http://{self.services[role]}.{self.namespace}:{PORT}"


def variable(name: str) -> str:
    """The environment variable that holds a dependency's address."""
    return f"{name.upper()}_URL"


def _loads() -> dict[str, float]:
    loads = dict.fromkeys(CALLS, 0.0) | {"edge": EDGE_RPS}
    for caller, calls in CALLS.items():  # CALLS is in the order of the calls
        for callee, ratio in calls.items():
            loads[callee] += loads[caller] * ratio
    return loads


def design(rng: random.Random) -> Shop:
    """Draw a shop. The same seed draws the same shop."""
    words = rng.sample(_WORDS, len(CALLS) + 2)
    places = rng.sample(_PLACES, 2)
    services = dict(zip(CALLS, words, strict=False))
    images = {}
    for role, name in {**services, "worker": words[-2], "quiet": words[-1]}.items():
        major, minor, patch = rng.randint(1, 4), rng.randint(0, 9), rng.randint(2, 9)
        tags = tuple(f"registry.example/{places[0]}/{name}:{major}.{minor}.{patch + step}" for step in (-2, -1, 0, 1))
        images[role] = (tags[0], tags[1], tags[2], tags[3])
    return Shop(
        namespace=places[0],
        services=services,
        worker=words[-2],
        quiet_namespace=places[1],
        quiet=words[-1],
        rps=_loads(),
        replicas={role: rng.choice((2, 3)) for role in CALLS},
        memory_mib={role: rng.choice((120, 150, 180)) for role in CALLS},
        images=images,
    )


def push_images(shop: Shop, registry: Registry) -> None:
    """Put every version of every application into the registry."""
    for role, references in shop.images.items():
        if role in shop.services:
            image = Image(
                memory_mib=shop.memory_mib[role],
                port=PORT,
                rps_per_core=shop.rps[role] / (shop.replicas[role] * UTILISATION * 0.5),
                start_s=1.5,
                needs={variable(shop.services[callee]): ratio for callee, ratio in CALLS[role].items()},
                signs_in=role == "store",
            )
        else:
            image = Image(memory_mib=90, port=None if role == "worker" else PORT, rps_per_core=100.0, start_s=1.5)
        for reference in references:
            registry.push(reference, image)


def _template(name: str, image: str, memory_mib: int, env: dict[str, str], *, serves: bool) -> Obj:
    container: Obj = {
        "name": "app",
        "image": image,
        "env": [{"name": key, "value": value} for key, value in env.items()],
        "resources": {
            "requests": {"cpu": "200m", "memory": f"{memory_mib}Mi"},
            "limits": {"cpu": "500m", "memory": f"{memory_mib * 2}Mi"},
        },
    }
    if serves:
        container["ports"] = [{"name": "http", "containerPort": PORT}]
        container["readinessProbe"] = {
            "httpGet": {"path": "/ready", "port": "http"},
            "initialDelaySeconds": 2,
            "periodSeconds": 5,
        }
    labels = {"app": name, "app.kubernetes.io/name": name}
    return {"metadata": {"labels": labels}, "spec": {"containers": [container]}}


def _deployment(namespace: str, name: str, replicas: int, template: Obj) -> Obj:
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {"app": name, "app.kubernetes.io/name": name},
        },
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}},
            "template": template,
        },
    }


def _service(namespace: str, name: str) -> Obj:
    return {
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name, "app.kubernetes.io/name": name}},
        "spec": {"selector": {"app": name}, "ports": [{"name": "http", "port": PORT, "targetPort": PORT}]},
    }


def _plant_workload(store: Store, deployment: Obj, older: list[Obj], began: datetime) -> None:
    """Store a Deployment with its past: one empty ReplicaSet for each older template, one for the current."""
    meta = deployment["metadata"] | {
        "creationTimestamp": rfc3339(began),
        "annotations": {REVISION: str(len(older) + 1)},
    }
    planted = store.plant("Deployment", {**deployment, "metadata": meta})
    for number, template in enumerate([*older, deployment["spec"]["template"]], start=1):
        # Through the store, so that the hash is that of the template with its defaults.
        stored = {**planted["spec"], "template": template}
        whole = store.create(
            "Deployment",
            {"metadata": {"name": f"{meta['name']}-history-{number}", "namespace": meta["namespace"]}, "spec": stored},
        )
        store.delete("Deployment", meta["namespace"], whole["metadata"]["name"])
        full = whole["spec"]["template"]
        past = replica_set_for(planted, full, rollout.template_hash(full), {REVISION: str(number)})
        past["metadata"]["creationTimestamp"] = rfc3339(began + timedelta(days=7 * (number - 1)))
        past["status"] = {"replicas": 0, "observedGeneration": 1}
        store.plant("ReplicaSet", past)


def _node(name: str, number: int, began: datetime) -> Obj:
    size = {"cpu": "4", "memory": "8Gi", "pods": "110"}
    conditions = [
        {"type": "MemoryPressure", "status": "False", "reason": "KubeletHasSufficientMemory"},
        {"type": "DiskPressure", "status": "False", "reason": "KubeletHasNoDiskPressure"},
        {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "kubelet is posting ready status"},
    ]
    return {
        "metadata": {
            "name": name,
            "creationTimestamp": rfc3339(began),
            "labels": {"kubernetes.io/hostname": name, "topology.kubernetes.io/zone": ZONES[number]},
        },
        "spec": {"podCIDR": f"10.244.{number * 32}.0/19"},
        "status": {
            "capacity": size,
            "allocatable": size,
            "conditions": [
                {**item, "lastTransitionTime": rfc3339(began), "lastHeartbeatTime": rfc3339(began)}
                for item in conditions
            ],
            "addresses": [{"type": "InternalIP", "address": f"10.0.0.{10 + number}"}],
            "nodeInfo": {"kubeletVersion": "v1.34.4"},
        },
    }


def open_shop(store: Store, shop: Shop) -> None:
    """Store the nodes, the namespaces and all that runs in them, a month old."""
    began = store.wall() - timedelta(days=30)
    for number, name in enumerate(NODES):
        store.plant("Node", _node(name, number, began))
    for namespace in ("default", shop.namespace, shop.quiet_namespace):
        labels = {"kubernetes.io/metadata.name": namespace}
        meta = {"name": namespace, "labels": labels, "creationTimestamp": rfc3339(began)}
        store.plant("Namespace", {"metadata": meta, "status": {"phase": "Active"}})
    for role, name in shop.services.items():
        env = {variable(shop.services[callee]): shop.url(callee) for callee in CALLS[role]}
        if role == "store" or "store" in CALLS[role]:
            env |= shop.credentials
        templates = [
            _template(name, image, shop.memory_mib[role], {"LOG_LEVEL": "info", **env}, serves=True)
            for image in shop.images[role][:3]
        ]
        whole = _deployment(shop.namespace, name, shop.replicas[role], templates[2])
        _plant_workload(store, whole, templates[:2], began)
        store.plant("Service", _dated(_service(shop.namespace, name), began))
    for namespace, role, name, serves in (
        (shop.namespace, "worker", shop.worker, False),
        (shop.quiet_namespace, "quiet", shop.quiet, True),
    ):
        templates = [_template(name, image, 100, {"LOG_LEVEL": "info"}, serves=serves) for image in shop.images[role]]
        _plant_workload(store, _deployment(namespace, name, 2, templates[2]), templates[:2], began)
    store.plant("Service", _dated(_service(shop.quiet_namespace, shop.quiet), began))


def _dated(obj: Obj, began: datetime) -> Obj:
    return {**obj, "metadata": obj["metadata"] | {"creationTimestamp": rfc3339(began)}}
