"""The ReplicaSet controller: as many pods as the spec says, and a count of them in the status."""

from collections import defaultdict
from typing import Any, Final, NamedTuple

from eval.lab.errors import ApiError
from eval.lab.kinds import Obj, Objs
from eval.lab.recorder import Recorder
from eval.lab.selectors import matches
from eval.lab.store import Store, Writer, labels_of, rfc3339

MANAGER: Final = "kube-controller-manager"
COMPONENT: Final = "replicaset-controller"
FIRST_RETRY_S: Final = 0.005
LONGEST_RETRY_S: Final = 1000.0
"""The work queue's own: it doubles with each failure. A change of the ReplicaSet or its pods is a try in between."""


def owner_of(obj: Obj) -> Obj | None:
    """The controlling owner reference."""
    refs: Objs = obj["metadata"].get("ownerReferences") or []
    return next((ref for ref in refs if ref.get("controller")), None)


def is_ready(pod: Obj) -> bool:
    """Ready by its own condition, and not on its way out."""
    conditions = pod["status"].get("conditions") or []
    ready = any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)
    return ready and "deletionTimestamp" not in pod["metadata"]


def owned(objs: Objs) -> dict[str, Objs]:
    """Objects by the uid of their controller."""
    found: dict[str, Objs] = defaultdict(list)
    for obj in objs:
        if ref := owner_of(obj):
            found[ref["uid"]].append(obj)
    return found


def reference(owner: Obj) -> Obj:
    """The ownerReference that a controller writes."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def versions(*objs: Obj) -> tuple[str, ...]:
    """What tells whether any of them changed. A controller that left them so, and finds them so, has nothing to do."""
    return tuple(obj["metadata"]["resourceVersion"] for obj in objs)


def adopt(store: Store, kind: str, owners: Objs) -> None:
    """Let each take over what matches its selector and belongs to nobody (after a delete with `Orphan`)."""
    for obj in store.list(kind):
        meta = obj["metadata"]
        if meta.get("ownerReferences") or "deletionTimestamp" in meta:
            continue
        for owner in owners:
            same = owner["metadata"]["namespace"] == meta["namespace"]
            if same and matches(owner["spec"]["selector"]["matchLabels"], labels_of(obj)):
                mine = {**meta, "ownerReferences": [reference(owner)]}
                store.amend(kind, meta["namespace"], meta["name"], MANAGER, metadata=mine)
                break


def _victims_first(pod: Obj) -> tuple[Any, ...]:
    """Unscheduled before pending before unready before ready, the newest first."""
    meta = pod["metadata"]
    age_rank = int(meta["resourceVersion"]) if not pod["spec"].get("nodeName") else 0
    scheduled, ready = bool(pod["spec"].get("nodeName")), is_ready(pod)
    newest_first = tuple(-ord(letter) for letter in meta["creationTimestamp"])
    return (scheduled, pod["status"].get("phase") != "Pending", ready, newest_first, -age_rank, meta["name"])


class _Refused(NamedTuple):
    """A pod that the API server did not let it make: why, and when it tries again."""

    message: str
    wait_s: float
    again_at_s: float


class ReplicaSetController:
    """Reconciles a ReplicaSet when it or its Pods changed, or a refused creation is due again."""

    def __init__(self, store: Store, recorder: Recorder) -> None:
        self._store = store
        self._recorder = recorder
        self._seen = -1
        self._left: dict[str, tuple[str, ...]] = {}  # uid -> the versions of it and its pods when it was looked at last
        self._refused: dict[str, _Refused] = {}

    def tick(self, now_s: float) -> None:
        due = {uid for uid, refused in self._refused.items() if refused.again_at_s <= now_s}
        if self._store.changes("ReplicaSet", "Pod") == self._seen and not due:
            return
        adopt(self._store, "Pod", self._store.list("ReplicaSet"))
        self._seen = self._store.changes("ReplicaSet", "Pod")
        pods = owned(self._store.list("Pod"))
        live = set()
        for replica_set in self._store.list("ReplicaSet"):
            uid = replica_set["metadata"]["uid"]
            live.add(uid)
            mine = pods.get(uid, [])
            found = versions(replica_set, *mine)
            if self._left.get(uid) != found or uid in due:
                self._left[uid] = found
                self._reconcile(replica_set, mine, now_s)
        self._left = {uid: found for uid, found in self._left.items() if uid in live}
        self._refused = {uid: refused for uid, refused in self._refused.items() if uid in live}

    def _reconcile(self, replica_set: Obj, pods: Objs, now_s: float) -> None:
        active = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"] and _alive(pod)]
        wanted = replica_set["spec"]["replicas"]
        if "deletionTimestamp" not in replica_set["metadata"]:
            if len(active) < wanted:
                self._create(replica_set, wanted - len(active), now_s)
            else:
                self._refused.pop(replica_set["metadata"]["uid"], None)
            if len(active) > wanted:
                self._remove(replica_set, sorted(active, key=_victims_first)[: len(active) - wanted])
        self._report(replica_set, active)

    def _create(self, replica_set: Obj, count: int, now_s: float) -> None:
        meta, template = replica_set["metadata"], replica_set["spec"]["template"]
        before = self._refused.pop(meta["uid"], None)
        for _ in range(count):
            labels = template["metadata"].get("labels") or {}
            pod_meta: Obj = {"name": f"{meta['name']}-{self._store.suffix()}", "namespace": meta["namespace"]}
            pod_meta |= {"generateName": f"{meta['name']}-", "labels": labels}
            pod_meta |= {"ownerReferences": [reference(replica_set)]}
            if annotations := template["metadata"].get("annotations"):
                pod_meta["annotations"] = annotations
            try:
                pod = self._store.create("Pod", {"metadata": pod_meta, "spec": template["spec"]}, Writer(MANAGER))
            except ApiError as refused:
                self._recorder.warning(replica_set, "FailedCreate", f"Error creating: {refused.message}", COMPONENT)
                wait_s = FIRST_RETRY_S if before is None else min(LONGEST_RETRY_S, 2 * before.wait_s)
                self._refused[meta["uid"]] = _Refused(refused.message, wait_s, now_s + wait_s)
                return
            self._recorder.normal(replica_set, "SuccessfulCreate", f"Created pod: {pod['metadata']['name']}", COMPONENT)

    def _remove(self, replica_set: Obj, victims: Objs) -> None:
        for pod in victims:
            name = pod["metadata"]["name"]
            self._store.delete("Pod", pod["metadata"]["namespace"], name)
            self._recorder.normal(replica_set, "SuccessfulDelete", f"Deleted pod: {name}", COMPONENT)

    def _report(self, replica_set: Obj, active: Objs) -> None:
        meta = replica_set["metadata"]
        ready = sum(map(is_ready, active))
        status: Obj = {
            "replicas": len(active),
            "fullyLabeledReplicas": len(active),
            "readyReplicas": ready,
            "availableReplicas": ready,
            "observedGeneration": meta["generation"],
        }
        status = {key: value for key, value in status.items() if value or key == "replicas"}
        if conditions := self._conditions(replica_set):
            status["conditions"] = conditions
        self._store.set_status("ReplicaSet", meta["namespace"], meta["name"], status, MANAGER)

    def _conditions(self, replica_set: Obj) -> Objs:
        """ReplicaFailure, in the words of the first refusal, until all pods could be made."""
        refused = self._refused.get(replica_set["metadata"]["uid"])
        if refused is None:
            return []
        known: Objs = (replica_set.get("status") or {}).get("conditions") or []
        return known or [
            {
                "type": "ReplicaFailure",
                "status": "True",
                "reason": "FailedCreate",
                "message": refused.message,
                "lastTransitionTime": rfc3339(self._store.wall()),
            }
        ]


def _alive(pod: Obj) -> bool:
    return pod["status"].get("phase") not in {"Failed", "Succeeded"}
