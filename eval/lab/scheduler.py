"""The scheduler: fits requests onto nodes, honours selectors, cordons and taints, prefers the least allocated."""

from collections import Counter
from collections.abc import Iterable
from typing import Final

from eval.lab import quantity
from eval.lab.kinds import Obj, Objs
from eval.lab.recorder import Recorder
from eval.lab.selectors import matches
from eval.lab.store import Store, labels_of, rfc3339

COMPONENT: Final = "default-scheduler"
CORDON_TAINT: Final = "node.kubernetes.io/unschedulable"
RETRY_S: Final = 5.0
_RESOURCES: Final = ("cpu", "memory")
_PREEMPTION: Final = "Preemption is not helpful for scheduling"
_VICTIMS: Final = "No preemption victims found for incoming pod"


def requests_of(pod: Obj) -> dict[str, float]:
    """What a pod asks for, in cores and bytes."""
    asked = dict.fromkeys(_RESOURCES, 0.0)
    for container in pod["spec"]["containers"]:
        for name, value in (container["resources"].get("requests") or {}).items():
            if name in asked:
                asked[name] += quantity.parse(value)
    return asked


def _tolerates(pod: Obj, taint: Obj) -> bool:
    for toleration in pod["spec"].get("tolerations") or []:
        key_fits = toleration.get("key", taint["key"]) == taint["key"]
        exists = toleration.get("operator") == "Exists"
        if key_fits and (exists or toleration.get("value", "") == taint.get("value", "")):
            return True
    return False


def _objection(pod: Obj, node: Obj, free: dict[str, float]) -> str:
    """Why this pod cannot run on this node, in the scheduler's words; empty if it can."""
    if node["spec"].get("unschedulable"):
        return "node(s) were unschedulable"
    for taint in node["spec"].get("taints") or []:
        if taint["effect"] in {"NoSchedule", "NoExecute"} and not _tolerates(pod, taint):
            return "node(s) had untolerated taint(s)"
    if not matches(pod["spec"].get("nodeSelector") or {}, labels_of(node)):
        return "node(s) didn't match Pod's node affinity/selector"
    for name, asked in requests_of(pod).items():
        if asked > free[name]:
            return f"Insufficient {name}"
    return ""


class Scheduler:
    """Binds pending pods when pods or nodes changed, and tries what did not fit again every few seconds."""

    def __init__(self, store: Store, recorder: Recorder) -> None:
        self._store = store
        self._recorder = recorder
        self._seen = -1
        self._retry_at_s = 0.0
        self._waiting = False

    def tick(self, now_s: float) -> None:
        changes = self._store.changes("Pod", "Node")
        if changes == self._seen and not (self._waiting and now_s >= self._retry_at_s):
            return
        self._retry_at_s = now_s + RETRY_S
        self._taint_cordoned()
        pending = [pod for pod in self._store.list("Pod") if _pending(pod)]
        self._waiting = bool(pending)
        if pending:
            nodes = self._store.list("Node")
            free = self._free(nodes)
            for pod in pending:
                self._place(pod, nodes, free)
        self._seen = self._store.changes("Pod", "Node")

    def _taint_cordoned(self) -> None:
        """The node controller's part of a cordon: the taint comes and goes with `unschedulable`."""
        for node in self._store.list("Node"):
            taints: Objs = node["spec"].get("taints") or []
            cordoned = bool(node["spec"].get("unschedulable"))
            if cordoned is any(taint["key"] == CORDON_TAINT for taint in taints):
                continue
            kept = [taint for taint in taints if taint["key"] != CORDON_TAINT]
            kept += [{"key": CORDON_TAINT, "effect": "NoSchedule"}] if cordoned else []
            spec = {key: value for key, value in node["spec"].items() if key != "taints"}
            spec |= {"taints": kept} if kept else {}
            self._store.amend("Node", "", node["metadata"]["name"], "kube-controller-manager", spec=spec)

    def _free(self, nodes: Objs) -> dict[str, dict[str, float]]:
        free = {node["metadata"]["name"]: _allocatable(node) for node in nodes}
        for pod in self._store.all("Pod"):
            if (node := pod["spec"].get("nodeName")) in free:
                for name, asked in requests_of(pod).items():
                    free[node][name] -= asked
        return free

    def _place(self, pod: Obj, nodes: Objs, free: dict[str, dict[str, float]]) -> None:
        objections = {node["metadata"]["name"]: _objection(pod, node, free[node["metadata"]["name"]]) for node in nodes}
        fitting = [name for name, objection in objections.items() if not objection]
        meta = pod["metadata"]
        if not fitting:
            self._unschedulable(pod, nodes, objections)
            return
        shares = {node["metadata"]["name"]: quantity.parse(node["status"]["allocatable"]["cpu"]) for node in nodes}
        best = max(fitting, key=lambda name: (free[name]["cpu"] / shares[name], name))
        for name, asked in requests_of(pod).items():
            free[best][name] -= asked
        spec = {**pod["spec"], "nodeName": best}
        self._store.amend("Pod", meta["namespace"], meta["name"], COMPONENT, spec=spec)
        message = f"Successfully assigned {meta['namespace']}/{meta['name']} to {best}"
        self._recorder.normal(pod, "Scheduled", message, COMPONENT)

    def _unschedulable(self, pod: Obj, nodes: Objs, objections: dict[str, str]) -> None:
        listed = ", ".join(_counted(objections.values()))
        empty = {node["metadata"]["name"]: _allocatable(node) for node in nodes}
        helps = (_PREEMPTION if _objection(pod, node, empty[node["metadata"]["name"]]) else _VICTIMS for node in nodes)
        message = (
            f"0/{len(objections)} nodes are available: {listed}. no new claims to deallocate, "
            f"preemption: 0/{len(objections)} nodes are available: {', '.join(_counted(helps))}."
        )
        self._recorder.warning(pod, "FailedScheduling", message, COMPONENT)
        old = (pod["status"].get("conditions") or [{}])[0]
        if old.get("message") == message:
            return
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": message,
            "lastTransitionTime": rfc3339(self._store.wall()),
        }
        status = {**pod["status"], "phase": "Pending", "conditions": [condition]}
        self._store.set_status("Pod", pod["metadata"]["namespace"], pod["metadata"]["name"], status, COMPONENT)


def _allocatable(node: Obj) -> dict[str, float]:
    return {name: quantity.parse(node["status"]["allocatable"][name]) for name in _RESOURCES}


def _counted(reasons: Iterable[str]) -> list[str]:
    """`3 Insufficient cpu`, sorted as text."""
    return sorted(f"{count} {reason}" for reason, count in Counter(reasons).items())


def _pending(pod: Obj) -> bool:
    return not pod["spec"].get("nodeName") and "deletionTimestamp" not in pod["metadata"]
