"""EndpointSlices and Endpoints: which ready pods stand behind each Service, on which port."""

from typing import Final

from eval.lab.errors import ApiError
from eval.lab.kinds import Obj, Objs
from eval.lab.replicasets import MANAGER, is_ready, reference, versions
from eval.lab.selectors import matches
from eval.lab.store import Store, Writer, labels_of

SERVICE_LABEL: Final = "kubernetes.io/service-name"


def target_port(port: Obj, pod: Obj | None) -> int | None:
    """The number that a Service port leads to; a name is looked up in the pod."""
    target = port.get("targetPort", port["port"])
    if isinstance(target, int):
        return target
    for container in pod["spec"]["containers"] if pod else []:
        for declared in container.get("ports") or []:
            if declared.get("name") == target:
                return int(declared["containerPort"])
    return None


def _endpoint(pod: Obj) -> Obj:
    ready = is_ready(pod)
    ending = "deletionTimestamp" in pod["metadata"]
    return {
        "addresses": [pod["status"]["podIP"]],
        "conditions": {"ready": ready, "serving": ready, "terminating": ending},
        "nodeName": pod["spec"]["nodeName"],
        "targetRef": {
            "kind": "Pod",
            "name": pod["metadata"]["name"],
            "namespace": pod["metadata"]["namespace"],
            "uid": pod["metadata"]["uid"],
        },
    }


class EndpointsController:
    """Reconciles a Service's when it, its Pods or what stands there changed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._seen = -1
        self._left: dict[str, tuple[str, ...]] = {}  # a Service's uid -> the versions of all that it was made of

    def tick(self) -> None:
        changes = self._store.changes("Service", "Pod", "EndpointSlice", "Endpoints")
        if changes == self._seen:
            return
        slices = {labels_of(item).get(SERVICE_LABEL): item for item in self._store.list("EndpointSlice")}
        addressed = [pod for pod in self._store.list("Pod") if pod["status"].get("podIP")]
        for service in self._store.list("Service"):
            if service["spec"].get("selector"):
                self._look(service, slices.get(service["metadata"]["name"]), addressed)
        self._seen = self._store.changes("Service", "Pod", "EndpointSlice", "Endpoints")

    def _look(self, service: Obj, current: Obj | None, addressed: Objs) -> None:
        meta, selector = service["metadata"], service["spec"]["selector"]
        if current is not None and current["metadata"]["namespace"] != meta["namespace"]:
            current = None
        pods = [
            pod
            for pod in addressed
            if pod["metadata"]["namespace"] == meta["namespace"] and matches(selector, labels_of(pod))
        ]
        old = self._store.find("Endpoints", meta["namespace"], meta["name"])
        stands = [item for item in (current, old) if item is not None]
        found = versions(service, *stands, *pods)
        if len(stands) < 2 or self._left.get(meta["uid"]) != found:
            self._left[meta["uid"]] = found
            self._reconcile(service, current, pods)

    def _reconcile(self, service: Obj, current: Obj | None, pods: Objs) -> None:
        namespace, name = service["metadata"]["namespace"], service["metadata"]["name"]
        ports: Objs = []
        for port in service["spec"].get("ports") or []:
            number = target_port(port, pods[0] if pods else None)
            if number is not None:
                ports.append({"name": port.get("name", ""), "port": number, "protocol": port["protocol"]})
        body = {"endpoints": [_endpoint(pod) for pod in pods], "ports": ports, "addressType": "IPv4"}
        if current is None:
            self._create(service, body)
        else:
            self._store.amend("EndpointSlice", namespace, current["metadata"]["name"], MANAGER, **body)  # type: ignore[arg-type]  # parts of a slice are lists and a string
        self._endpoints(namespace, name, pods, ports)

    def _create(self, service: Obj, body: Obj) -> None:
        name = service["metadata"]["name"]
        meta = {
            "name": f"{name}-{self._store.suffix()}",
            "namespace": service["metadata"]["namespace"],
            "labels": {SERVICE_LABEL: name, "endpointslice.kubernetes.io/managed-by": "endpointslice-controller"},
            "ownerReferences": [reference(service)],
        }
        self._store.create("EndpointSlice", {"metadata": meta, **body}, Writer(MANAGER))

    def _endpoints(self, namespace: str, name: str, pods: Objs, ports: Objs) -> None:
        ready: Objs = []
        waiting: Objs = []
        for pod in pods:
            item = _endpoint(pod)
            address = {"ip": item["addresses"][0], "nodeName": item["nodeName"], "targetRef": item["targetRef"]}
            (ready if item["conditions"]["ready"] else waiting).append(address)
        subset: Obj = {"ports": ports}
        subset |= {"addresses": ready} if ready else {}
        subset |= {"notReadyAddresses": waiting} if waiting else {}
        subsets = [subset] if pods else []
        if self._store.find("Endpoints", namespace, name):
            self._store.amend("Endpoints", namespace, name, MANAGER, subsets=subsets)  # type: ignore[arg-type]  # a list
            return
        service = self._store.get("Service", namespace, name)
        meta = {"name": name, "namespace": namespace, "ownerReferences": [reference(service)]}
        try:
            self._store.create("Endpoints", {"metadata": meta, "subsets": subsets}, Writer(MANAGER))
        except ApiError as refused:
            # Between the look and the write nothing awaits, so only a namespace that is gone can refuse.
            if refused.code != 404:
                raise
