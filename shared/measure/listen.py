"""What suspects write: the last lines of a few containers, for analyzers that know what to listen for."""

import asyncio
from collections.abc import Collection, Iterator
from typing import Final, NamedTuple

from shared.analyzers.lost import lost_nodes
from shared.analyzers.pods import current_pods
from shared.domain.cluster import Kind, Ref
from shared.domain.errors import ClusterForbidden, ClusterUnavailable, ObjectMissing
from shared.domain.objects import Pod
from shared.domain.snapshot import Snapshot
from shared.ports.logs import Logs

LINES: Final = 100
PODS_EACH: Final = 2
MOST_CONTAINERS: Final = 40
"""Of a storm's hundreds of suspects the first say enough, and each costs its API server a request."""
AT_ONCE: Final = 8


class _Container(NamedTuple):
    pod: Pod
    name: str

    def __str__(self) -> str:
        return f"{self.pod.ref.key}/{self.name}"

    @property
    def node(self) -> str:
        return self.pod.spec.node_name


async def with_logs(snapshot: Snapshot, logs: Logs, whose: Collection[Ref], since_s: float) -> Snapshot:
    """Fill `logs` with what the newest pods of these Deployments wrote within the last `since_s` seconds.

    What could not be had is `unheard`, and `looked_at` says why; diagnosis goes on without. A node that is not ready is
    not asked: its kubelet may stand still, and whoever waits for forty of its containers comes too late for the others.
    """
    asked = list(_containers(snapshot, whose))[:MOST_CONTAINERS]
    if not asked:
        return snapshot
    lost = frozenset(each.node.metadata.name for each in lost_nodes(snapshot))
    containers = [one for one in asked if one.node not in lost]
    slots = asyncio.Semaphore(AT_ONCE)
    silent: dict[str, str] = {}  # nodes of which one answer did not come: the next would not either, and as late

    async def listen(container: _Container) -> tuple[str, ...] | str:
        async with slots:
            if (before := silent.get(container.node)) is not None:
                return before
            try:
                return await logs.tail(container.pod.ref, container.name, since_s=since_s, lines=LINES)
            except ObjectMissing:
                return ()
            except ClusterForbidden as failure:
                return str(failure)
            except ClusterUnavailable as failure:
                return silent.setdefault(container.node, str(failure))

    answers = await asyncio.gather(*map(listen, containers))
    heard = {str(one): said for one, said in zip(containers, answers, strict=True) if isinstance(said, tuple)}
    failures = sorted({said for said in answers if isinstance(said, str)})
    return snapshot.model_copy(
        update={
            "logs": heard,
            "unheard": tuple(str(one) for one in asked if str(one) not in heard),
            "looked_at": (
                *snapshot.looked_at,
                *((f"the last log lines of {len(heard)} containers",) if heard else ()),
                *(f"not read: logs ({failure})" for failure in failures[:1]),
                *(("not read: logs of nodes that are not ready",) if len(containers) < len(asked) else ()),
            ),
        }
    )


def _containers(snapshot: Snapshot, whose: Collection[Ref]) -> Iterator[_Container]:
    for ref in sorted(ref for ref in whose if ref.kind is Kind.DEPLOYMENT):
        if (deployment := snapshot.deployment(ref)) is not None:
            running = [pod for pod in current_pods(deployment, snapshot) if pod.spec.node_name]
            for pod in running[:PODS_EACH]:
                for container in pod.spec.containers:
                    yield _Container(pod, container.name)
