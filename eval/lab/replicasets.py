"""The ReplicaSet controller: as many pods as the spec says, and a count of them in the status."""

from collections import defaultdict
from typing import Any, Final

from eval.lab.errors import ApiError
from eval.lab.kinds import Obj, Objs
from eval.lab.recorder import Recorder
from eval.lab.selectors import matches
from eval.lab.store import Store, Writer, labels_of

MANAGER: Final = "kube-controller-manager"
COMPONENT: Final = "replicaset-controller"
BLOCKED_RETRY_S: Final = 30.0


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


class ReplicaSetController:
    """Reconciles a ReplicaSet when it or its Pods changed, or a refused creation is due again."""

    def __init__(self, store: Store, recorder: Recorder) -> None:
        self._store = store
        self._recorder = recorder
        self._seen = -1
        self._left: dict[str, tuple[str, ...]] = {}  # uid -> the versions of it and its pods when it was looked at last
        self._blocked_until_s: dict[str, float] = {}

    def tick(self, now_s: float) -> None:
        due = {uid for uid, at in self._blocked_until_s.items() if at <= now_s}
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
        self._blocked_until_s = {uid: at for uid, at in self._blocked_until_s.items() if uid in live}

    def _reconcile(self, replica_set: Obj, pods: Objs, now_s: float) -> None:
        active = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"] and _alive(pod)]
        wanted = replica_set["spec"]["replicas"]
        if "deletionTimestamp" not in replica_set["metadata"]:
            if len(active) < wanted and self._blocked_until_s.get(replica_set["metadata"]["uid"], 0.0) <= now_s:
                self._create(replica_set, wanted - len(active), now_s)
            elif len(active) > wanted:
                self._remove(replica_set, sorted(active, key=_victims_first)[: len(active) - wanted])
        self._report(replica_set, active)

    def _create(self, replica_set: Obj, count: int, now_s: float) -> None:
        meta, template = replica_set["metadata"], replica_set["spec"]["template"]
        self._blocked_until_s.pop(meta["uid"], None)
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
                self._blocked_until_s[meta["uid"]] = now_s + BLOCKED_RETRY_S
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
        self._store.set_status("ReplicaSet", meta["namespace"], meta["name"], status, MANAGER)


def _alive(pod: Obj) -> bool:
    return pod["status"].get("phase") not in {"Failed", "Succeeded"}
