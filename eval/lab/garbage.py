"""The garbage collector: what all of whose owners are gone goes too, even if it was created after them."""

from typing import Final

from eval.lab.kinds import KINDS
from eval.lab.store import Store

_KINDS: Final = tuple(kind for kind in KINDS if kind != "Event")


class GarbageCollector:
    """Looks only when something came, went or was given other owners. Events own nothing, and nobody owns them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._seen = -1

    def tick(self) -> None:
        now = self._store.kinships
        if now == self._seen:
            return
        live = {obj["metadata"]["uid"] for kind in _KINDS for obj in self._store.all(kind)}
        for kind in _KINDS:
            for obj in list(self._store.all(kind)):
                meta = obj["metadata"]
                owners = meta.get("ownerReferences")
                if owners and "deletionTimestamp" not in meta and not any(ref["uid"] in live for ref in owners):
                    self._store.delete(kind, meta.get("namespace", ""), meta["name"])
        self._seen = now
