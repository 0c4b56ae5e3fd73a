"""A real service whose edges can be struck: `python -m eval.crash.edges`, told by its environment what for.

An edge is the moment before or after something durable: an append, a note, an alert stored, a write to the cluster,
an acknowledgement. The service knows nothing of it: its adapters are wrapped before it starts. Every append that the
bus confirmed is also written down, in a file beside the ledger: what is in that file and not in the stream was lost.
"""

import importlib
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any, Final, Self

from eval.crash.sabotage import SABOTAGES
from eval.crash.trouble import FOLDER, NATS, SABOTAGE, SERVICE, Act, Blow, from_environment
from services.cli import runtime
from shared.adapters import system
from shared.adapters.kubernetes_api import KubernetesCluster
from shared.adapters.nats_inbox import NatsInbox
from shared.adapters.nats_ledger import NatsLedger
from shared.adapters.webhook import WebhookNotifier
from shared.bus.delivery import Delivery

Named = Callable[..., tuple[str, ...]]
"""How the edges of one call are called, from its arguments."""

CONFIRMED: Final = "confirmed.jsonl"
CLOCK: Final = "clock"


def _said(_: object, __: object, *said: object, **___: object) -> tuple[str, ...]:
    """An append, an opening or a note: its edges are called like what it says."""
    return tuple(type(one).__name__ for one in said)


def _called(name: str) -> Named:
    return lambda *_, **__: (name,)


EDGES: Final[tuple[tuple[type, str, Named], ...]] = (
    (NatsLedger, "append", _said),
    (NatsLedger, "open", _said),
    (NatsLedger, "note", _said),
    (NatsInbox, "put", _called("put")),
    (KubernetesCluster, "write", _called("write")),
    (KubernetesCluster, "mark", _called("mark")),
    (WebhookNotifier, "notify", _called("notify")),
    (Delivery, "ack", _called("ack")),
)


class Edges:
    """Counts the passings of each edge in this process, and strikes."""

    def __init__(self, folder: Path, blows: list[Blow]) -> None:
        self._folder, self._blows = folder, blows
        self._passed: Counter[str] = Counter()

    def wrap(self, of: type, method: str, names: Named) -> None:
        """Put an edge before and after every call of a method."""
        inside: Callable[..., Awaitable[Any]] = getattr(of, method)

        async def between(*arguments: Any, **more: Any) -> Any:
            around = names(*arguments, **more)
            for name in around:
                self.passing(f"before {name}")
            answer = await inside(*arguments, **more)
            if of is NatsLedger and method != "note":
                self._confirm(arguments[2:], answer)
            for name in around:
                self.passing(f"after {name}")
            return answer

        setattr(of, method, between)

    def passing(self, edge: str) -> None:
        """Strike, if it is time: nothing of this process may happen in between, so it is done at once."""
        self._passed[edge] += 1
        for blow in self._blows:
            if (blow.edge, blow.passing) == (edge, self._passed[edge]):
                self._strike(blow)

    def _strike(self, blow: Blow) -> None:
        pids = [self._pid(victim) for victim in blow.victims]
        if not _mark(self._folder / blow.mark, pids):
            return
        how = signal.SIGSTOP if blow.act is Act.FREEZE else signal.SIGKILL
        for pid in sorted(pids, key=lambda pid: pid == os.getpid()):  # oneself last
            os.kill(pid, how)

    def _pid(self, victim: str) -> int:
        if victim == os.environ[SERVICE]:
            return os.getpid()
        known: dict[str, int] = json.loads((runtime.runtime_dir() / "processes.json").read_text())["pids"]
        return known[NATS if victim == NATS else victim]

    def _confirm(self, events: tuple[Any, ...], after: Any) -> None:
        """Write down what the bus said it stored: of a batch the last event has the sequence of the fold."""
        line = {"sequence": after.sequence, "incident": after.id, "type": type(events[-1]).__name__}
        with (self._folder / CONFIRMED).open("a") as record:
            record.write(json.dumps(line) + "\n")


def _mark(file: Path, pids: list[int]) -> bool:
    """Say that it falls now; False if it fell before."""
    try:
        with file.open("x") as mark:
            mark.write(json.dumps(pids))
    except FileExistsError:
        return False
    return True


def bend_time(file: Path) -> None:
    """Let this process's wall clock be wrong by the seconds that the file says, from when it says so.

    `shared.adapters.system` is where a service's wall clock comes in.
    """

    class Bent(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            off_s = float(file.read_text() or 0) if file.exists() else 0.0
            return super().now(tz) + timedelta(seconds=off_s)

    vars(system)["datetime"] = Bent


def main() -> int:
    """Run the service; the exit status."""
    folder, service = Path(os.environ[FOLDER]), os.environ[SERVICE]
    edges = Edges(folder, from_environment(os.environ))
    if sabotage := os.environ.get(SABOTAGE):
        SABOTAGES[sabotage]()
    for of, method, names in EDGES:
        edges.wrap(of, method, names)
    bend_time(folder / f"{CLOCK}-{service}")
    status: int = importlib.import_module(f"services.{service}.app").main()
    return status


if __name__ == "__main__":
    sys.exit(main())
