"""The quota controller: what the pods of a namespace use of each ResourceQuota."""

from typing import Final

from eval.lab import quantity
from eval.lab.admission import used_by
from eval.lab.store import Store

MANAGER: Final = "kube-controller-manager"


class QuotaController:
    """Reports usage when pods or quotas changed; it refuses nothing: admission does."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._seen = -1

    def tick(self) -> None:
        changes = self._store.changes("ResourceQuota", "Pod")
        if changes == self._seen:
            return
        self._seen = changes
        for quota in self._store.list("ResourceQuota"):
            meta, hard = quota["metadata"], quota["spec"].get("hard") or {}
            used = used_by(self._store.list("Pod", meta["namespace"]))
            status = {"hard": hard, "used": {key: quantity.written(key, used.get(key, 0.0)) for key in hard}}
            self._store.set_status("ResourceQuota", meta["namespace"], meta["name"], status, MANAGER)
