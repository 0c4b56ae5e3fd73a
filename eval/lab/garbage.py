"""The garbage collector: what all of whose owners are gone goes too, even if it was created after them."""

from eval.lab.kinds import KINDS
from eval.lab.store import Store


class GarbageCollector:
    """Looks only when something was created or deleted."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._seen = -1

    def tick(self) -> None:
        now = self._store.changes(*KINDS)
        if now == self._seen:
            return
        live = {obj["metadata"]["uid"] for kind in KINDS for obj in self._store.all(kind)}
        for kind in KINDS:
            if kind == "Event":
                continue
            for obj in list(self._store.all(kind)):
                meta = obj["metadata"]
                owners = meta.get("ownerReferences")
                if owners and "deletionTimestamp" not in meta and not any(ref["uid"] in live for ref in owners):
                    self._store.delete(kind, meta.get("namespace", ""), meta["name"])
        self._seen = now
