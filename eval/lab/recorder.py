"""Events as the real components write them: one object for each (object, reason, message), counted."""

from collections import OrderedDict
from typing import Final

from eval.lab.kinds import KINDS, Obj
from eval.lab.store import Store, Writer, rfc3339

MAX_EVENTS: Final = 600


class Recorder:
    """Writes events into the store, and drops the oldest beyond a limit (a real server's TTL)."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._names: OrderedDict[tuple[str, str, str], tuple[str, str]] = OrderedDict()

    def normal(self, about: Obj, reason: str, message: str, component: str) -> None:
        self._record(about, "Normal", reason, message, component)

    def warning(self, about: Obj, reason: str, message: str, component: str) -> None:
        self._record(about, "Warning", reason, message, component)

    def _record(self, about: Obj, what: str, reason: str, message: str, component: str) -> None:
        key = (about["metadata"]["uid"], reason, message)
        seen = self._names.get(key)
        old = self._store.find("Event", *seen) if seen else None
        at = rfc3339(self._store.wall())
        if seen and old:
            self._names.move_to_end(key)
            again = {**old, "count": old["count"] + 1, "lastTimestamp": at}
            self._store.replace("Event", *seen, again, Writer(component))
            return
        meta = about["metadata"]
        namespace = meta.get("namespace", "default")
        row = KINDS[about["kind"]]
        made = self._store.create(
            "Event",
            {
                "metadata": {"name": f"{meta['name']}.{self._store.new_uid()[:13].replace('-', '')}"}
                | {"namespace": namespace},
                "involvedObject": {
                    "kind": row.name,
                    "apiVersion": row.api_version,
                    "name": meta["name"],
                    "namespace": meta.get("namespace", ""),
                    "uid": meta["uid"],
                    "resourceVersion": meta["resourceVersion"],
                },
                "type": what,
                "reason": reason,
                "message": message,
                "source": {"component": component},
                "reportingComponent": component,
                "firstTimestamp": at,
                "lastTimestamp": at,
                "count": 1,
            },
            Writer(component),
        )
        self._names[key] = (namespace, made["metadata"]["name"])
        if len(self._names) > MAX_EVENTS:
            _, oldest = self._names.popitem(last=False)
            if self._store.find("Event", *oldest):
                self._store.delete("Event", *oldest)
