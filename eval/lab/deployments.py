"""The Deployment controller: revisions, rolling updates, status and conditions as the real one writes them."""

from typing import Any, Final

from eval.lab import rollout
from eval.lab.kinds import Obj, Objs
from eval.lab.recorder import Recorder
from eval.lab.replicasets import MANAGER, adopt, owned, reference, versions
from eval.lab.rollout import HASH_LABEL, Size
from eval.lab.store import Store, Writer, rfc3339

COMPONENT: Final = "deployment-controller"
REVISION: Final = "deployment.kubernetes.io/revision"
DESIRED: Final = "deployment.kubernetes.io/desired-replicas"
MAXIMUM: Final = "deployment.kubernetes.io/max-replicas"
_NOT_COPIED: Final = {"kubectl.kubernetes.io/last-applied-configuration", REVISION, DESIRED, MAXIMUM}


def revision_of(obj: Obj) -> int:
    """The revision number in the annotations, 0 without one."""
    return int((obj["metadata"].get("annotations") or {}).get(REVISION, 0))


def is_complete(deployment: Obj) -> bool:
    """The rollout is done: observed, and every replica updated and available, with no old one left."""
    status, wanted = deployment.get("status") or {}, deployment["spec"]["replicas"]
    return status.get("observedGeneration", 0) >= deployment["metadata"]["generation"] and all(
        status.get(field, 0) == wanted for field in ("replicas", "updatedReplicas", "availableReplicas")
    )


def _size(replica_set: Obj) -> Size:
    status = replica_set.get("status") or {}
    name = replica_set["metadata"]["name"]
    return Size(name, replica_set["spec"]["replicas"], status.get("availableReplicas", 0))


def _hash(replica_set: Obj) -> str:
    return str((replica_set["metadata"].get("labels") or {}).get(HASH_LABEL, ""))


class DeploymentController:
    """Reconciles a Deployment when it or its ReplicaSets changed, or its progress deadline passed."""

    def __init__(self, store: Store, recorder: Recorder) -> None:
        self._store = store
        self._recorder = recorder
        self._seen = -1
        self._left: dict[str, tuple[str, ...]] = {}  # uid -> the versions of it and its sets when it was looked at last
        self._hashes: dict[str, tuple[int, str]] = {}  # uid -> (generation, hash of the template)
        self._progress: dict[str, tuple[Any, float]] = {}  # uid -> (what progress looks like, since when)

    def tick(self, now_s: float) -> None:
        changes, overdue = self._store.changes("Deployment", "ReplicaSet"), self._overdue(now_s)
        if changes == self._seen and not overdue:
            return
        self._seen = changes
        adopt(self._store, "ReplicaSet", self._store.list("Deployment"))
        sets = owned(self._store.list("ReplicaSet"))
        for deployment in self._store.list("Deployment"):
            uid = deployment["metadata"]["uid"]
            mine = sets.get(uid, [])
            found = versions(deployment, *mine)
            if self._left.get(uid) != found or uid in overdue:
                self._left[uid] = found
                self._reconcile(deployment, mine, now_s)

    def _overdue(self, now_s: float) -> set[str]:
        """The uids of those that did not get on for too long, and do not say so yet."""
        return {
            uid
            for deployment in self._store.all("Deployment")
            if (uid := deployment["metadata"]["uid"]) in self._progress
            and now_s >= self._progress[uid][1] + deployment["spec"]["progressDeadlineSeconds"]
            and not _failed(deployment)
        }

    def _reconcile(self, deployment: Obj, sets: Objs, now_s: float) -> None:
        if deployment["metadata"].get("deletionTimestamp"):
            return
        wanted = self._wanted(deployment)
        new = next((item for item in sets if _hash(item) == wanted), None)
        old = [item for item in sets if item is not new]
        if self._scaling(deployment, sets):
            self._scale_all(deployment, new, old)
        elif not deployment["spec"].get("paused"):
            new = self._revision(deployment, new, old, wanted)
            self._roll(deployment, new, old)
        fresh = owned(self._store.list("ReplicaSet", deployment["metadata"]["namespace"]))
        self._report(deployment, fresh.get(deployment["metadata"]["uid"], []), wanted, now_s)

    def _wanted(self, deployment: Obj) -> str:
        """The hash of its template; the same generation has the same."""
        meta = deployment["metadata"]
        generation, known = self._hashes.get(meta["uid"], (-1, ""))
        if generation != meta["generation"]:
            known = rollout.template_hash(deployment["spec"]["template"])
            self._hashes[meta["uid"]] = (meta["generation"], known)
        return known

    # -- revisions

    def _revision(self, deployment: Obj, new: Obj | None, old: Objs, wanted: str) -> Obj:
        number = str(max([revision_of(item) for item in old], default=0) + 1)
        if new is not None and revision_of(new) >= int(number):
            number = str(revision_of(new))
        meta = deployment["metadata"]
        copied = {key: val for key, val in (meta.get("annotations") or {}).items() if key not in _NOT_COPIED}
        most = deployment["spec"]["replicas"] + rollout.bounds(deployment["spec"]).surge
        notes = {REVISION: number, DESIRED: str(deployment["spec"]["replicas"]), MAXIMUM: str(most)}
        if new is None:
            new = self._create(deployment, wanted, {**copied, **notes})
        else:
            kept = new["metadata"].get("annotations") or {}
            noted = {**new["metadata"], "annotations": {**kept, **copied, **notes}}
            new = self._amend(new, metadata=noted)
        if (meta.get("annotations") or {}).get(REVISION) != number:
            current = self._store.get("Deployment", meta["namespace"], meta["name"])
            noted = {**(current["metadata"].get("annotations") or {}), REVISION: number}
            self._amend(current, metadata={**current["metadata"], "annotations": noted})
        return new

    def _create(self, deployment: Obj, wanted: str, annotations: Obj) -> Obj:
        meta, spec = deployment["metadata"], deployment["spec"]
        replica_set = replica_set_for(deployment, spec["template"], wanted, annotations)
        made = self._store.create("ReplicaSet", replica_set, Writer(MANAGER))
        self._store.set_status("ReplicaSet", meta["namespace"], made["metadata"]["name"], {"replicas": 0}, MANAGER)
        return self._store.get("ReplicaSet", meta["namespace"], made["metadata"]["name"])

    def _amend(self, obj: Obj, **parts: Obj) -> Obj:
        meta = obj["metadata"]
        return self._store.amend(obj["kind"], meta["namespace"], meta["name"], MANAGER, **parts) or obj

    # -- sizes

    def _scaling(self, deployment: Obj, sets: Objs) -> bool:
        """A change of `replicas` alone, seen by what the active ReplicaSets were last sized for."""
        notes = [item["metadata"].get("annotations") or {} for item in sets if item["spec"]["replicas"] > 0]
        return any(note.get(DESIRED, "") not in {"", str(deployment["spec"]["replicas"])} for note in notes)

    def _scale_all(self, deployment: Obj, new: Obj | None, old: Objs) -> None:
        spec = deployment["spec"]
        newest = [*([new] if new else []), *sorted(old, key=revision_of, reverse=True)]
        active = [item for item in newest if item["spec"]["replicas"] > 0]
        most = spec["replicas"] + rollout.bounds(spec).surge if spec["replicas"] else 0
        if len(active) == 1:
            targets = {active[0]["metadata"]["name"]: spec["replicas"]}
        else:
            was = max(int((item["metadata"].get("annotations") or {}).get(MAXIMUM, 0)) for item in active)
            targets = rollout.proportional(most, was, [_size(item) for item in active])
        for item in active:
            notes = {**(item["metadata"].get("annotations") or {}), DESIRED: str(spec["replicas"]), MAXIMUM: str(most)}
            noted = self._amend(item, metadata={**item["metadata"], "annotations": notes})
            self._resize(deployment, noted, targets[item["metadata"]["name"]])

    def _roll(self, deployment: Obj, new: Obj, old: Objs) -> None:
        replicas = deployment["spec"]["replicas"]
        if deployment["spec"]["strategy"]["type"] == "Recreate":
            for item in old:
                self._resize(deployment, item, 0)
            busy = any((item.get("status") or {}).get("replicas", 0) for item in old)
            self._resize(deployment, new, 0 if busy else replicas)
            return
        limit = rollout.bounds(deployment["spec"])
        newest = sorted(old, key=revision_of)
        grown = rollout.grow(replicas, _size(new), [_size(item) for item in newest], limit)
        new = self._resize(deployment, new, grown)
        for name, size in rollout.shrink(replicas, _size(new), [_size(item) for item in newest], limit).items():
            self._resize(deployment, next(item for item in old if item["metadata"]["name"] == name), size)
        self._prune(deployment, newest)

    def _resize(self, deployment: Obj, replica_set: Obj, size: int) -> Obj:
        was = replica_set["spec"]["replicas"]
        if was == size:
            return replica_set
        how = "up" if size > was else "down"
        message = f"Scaled {how} replica set {replica_set['metadata']['name']} from {was} to {size}"
        self._recorder.normal(deployment, "ScalingReplicaSet", message, COMPONENT)
        return self._amend(replica_set, spec={**replica_set["spec"], "replicas": size})

    def _prune(self, deployment: Obj, old: Objs) -> None:
        idle = [item for item in old if not item["spec"]["replicas"] and not item["status"].get("replicas")]
        excess = len(idle) - deployment["spec"]["revisionHistoryLimit"]
        for item in idle[: max(0, excess)]:
            self._store.delete("ReplicaSet", item["metadata"]["namespace"], item["metadata"]["name"])

    # -- status

    def _report(self, deployment: Obj, sets: Objs, wanted: str, now_s: float) -> None:
        meta = deployment["metadata"]
        new = next((item for item in sets if _hash(item) == wanted), None)
        counts = {
            field: sum((item.get("status") or {}).get(field, 0) for item in sets)
            for field in ("replicas", "readyReplicas", "availableReplicas")
        }
        counts["updatedReplicas"] = ((new or {}).get("status") or {}).get("replicas", 0)
        counts["unavailableReplicas"] = max(0, deployment["spec"]["replicas"] - counts["availableReplicas"])
        status: Obj = {key: value for key, value in counts.items() if value}
        status["observedGeneration"] = meta["generation"]
        failing = next(
            (item for item in [*([new] if new else []), *sets] if (item.get("status") or {}).get("conditions")), None
        )
        failures: Objs = failing["status"]["conditions"] if failing else []
        status["conditions"] = self._conditions(deployment, new, counts, failures, now_s)
        self._store.set_status("Deployment", meta["namespace"], meta["name"], status, MANAGER)

    def _conditions(
        self, deployment: Obj, new: Obj | None, counts: dict[str, int], failures: Objs, now_s: float
    ) -> Objs:
        spec = deployment["spec"]
        name = deployment["metadata"]["name"]
        least = spec["replicas"] - rollout.bounds(spec).unavailable
        if counts["availableReplicas"] >= least:
            available = ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
        else:
            available = ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
        replica_set = new["metadata"]["name"] if new else ""
        done = counts["updatedReplicas"] == counts["replicas"] == counts["availableReplicas"] == spec["replicas"]
        uid = deployment["metadata"]["uid"]
        mark = (deployment["metadata"]["generation"], tuple(sorted(counts.items())))
        if done or spec.get("paused"):
            self._progress.pop(uid, None)
        elif self._progress.get(uid, (None, 0.0))[0] != mark:
            self._progress[uid] = (mark, now_s)
        late = uid in self._progress and now_s - self._progress[uid][1] >= spec["progressDeadlineSeconds"]
        if done:
            text = f'ReplicaSet "{replica_set}" has successfully progressed.'
            progressing = ("True", "NewReplicaSetAvailable", text)
        elif late:
            progressing = (
                "False",
                "ProgressDeadlineExceeded",
                f'ReplicaSet "{replica_set}" has timed out progressing.',
            )
        elif spec.get("paused"):
            progressing = ("Unknown", "DeploymentPaused", "Deployment is paused")
        else:
            progressing = ("True", "ReplicaSetUpdated", f'ReplicaSet "{replica_set or name}" is progressing.')
        old = {item["type"]: item for item in (deployment.get("status") or {}).get("conditions", [])}
        return [
            self._condition("Available", available, old.get("Available")),
            *failures,
            self._condition("Progressing", progressing, old.get("Progressing")),
        ]

    def _condition(self, what: str, state: tuple[str, str, str], old: Obj | None) -> Obj:
        status, reason, message = state
        if old and (old["status"], old["reason"], old["message"]) == state:
            return old
        now = rfc3339(self._store.wall())
        since = old["lastTransitionTime"] if old and old["status"] == status else now
        return {
            "type": what,
            "status": status,
            "reason": reason,
            "message": message,
            "lastUpdateTime": now,
            "lastTransitionTime": since,
        }


def replica_set_for(deployment: Obj, template: Obj, wanted: str, annotations: Obj) -> Obj:
    """The ReplicaSet of one revision, empty."""
    meta, spec = deployment["metadata"], deployment["spec"]
    labels = {**(template["metadata"].get("labels") or {}), HASH_LABEL: wanted}
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{meta['name']}-{wanted}",
            "namespace": meta["namespace"],
            "labels": labels,
            "annotations": annotations,
            "ownerReferences": [reference(deployment)],
        },
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {**spec["selector"]["matchLabels"], HASH_LABEL: wanted}},
            "template": {**template, "metadata": {**template["metadata"], "labels": labels}},
        },
    }


def _failed(deployment: Obj) -> bool:
    conditions = (deployment.get("status") or {}).get("conditions", [])
    return any(item["reason"] == "ProgressDeadlineExceeded" for item in conditions)
