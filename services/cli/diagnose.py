"""`diagnose`: look at a cluster and say what is wrong with it; reads only, and needs nothing but the cluster."""

import asyncio
from contextlib import AsyncExitStack
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from services.cli import screen
from services.cli.runtime import as_json as document
from services.cli.said import printable
from shared.adapters.kubernetes_api import connect
from shared.adapters.prometheus import Prometheus
from shared.analyzers.registry import findings
from shared.analyzers.suspects import suspects
from shared.domain.cause import Finding
from shared.domain.errors import PrimumError
from shared.domain.ids import ClusterName
from shared.domain.snapshot import Snapshot
from shared.measure.enrich import with_metrics
from shared.measure.listen import with_logs


class Status(IntEnum):
    """The exit status. Not being able to look is 2, as every error of the command line."""

    HEALTHY = 0
    FINDINGS = 1


class Where(NamedTuple):
    """What to look at, and through what."""

    namespaces: tuple[str, ...]
    kubeconfig: Path | None
    context: str | None
    prometheus_url: str
    timeout_s: float
    window_s: float
    """Over how long the metrics' rates are taken."""


def diagnose(where: Where, *, as_json: bool) -> Status:
    """Print the findings.

    Raises ClusterUnavailable, ClusterForbidden; PrimumError if nothing is wrong in what could be read,
    and not all could.
    """
    snapshot = asyncio.run(_look(where))
    found = findings(snapshot)
    unread = [said for said in snapshot.looked_at if said.startswith("not read")]
    if unread and not found:
        raise PrimumError(f"nothing is wrong in what could be read, but {'; '.join(unread)}")
    if where.namespaces and not (snapshot.deployments or snapshot.pods or snapshot.services):
        raise PrimumError(
            f"there is no Deployment, Pod or Service in {', '.join(where.namespaces)}",
            advice="correct --namespace, or leave it out to look everywhere",
        )
    if as_json:
        said = [{**one.model_dump(mode="json"), "object": str(one.object)} for one in found]
        print(document({"healthy": not found, "findings": said, "looked_at": list(snapshot.looked_at)}))
    else:
        console = screen.console()
        for part in _shown(found, snapshot):
            console.print(part)
    return Status.FINDINGS if found else Status.HEALTHY


async def _look(where: Where) -> Snapshot:
    async with AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(
            connect(where.kubeconfig, where.context, ClusterName("default"), where.timeout_s)
        )
        snapshot = await cluster.snapshot(where.namespaces or None)
        if where.prometheus_url:
            metrics = await stack.enter_async_context(Prometheus(where.prometheus_url, where.timeout_s))
            snapshot = await with_metrics(snapshot, metrics, where.window_s)
        return await with_logs(snapshot, cluster.logs, suspects(snapshot), where.window_s)


def _shown(found: tuple[Finding, ...], snapshot: Snapshot) -> list[RenderableType]:
    looked = Text(f"looked at {'; '.join(snapshot.looked_at)}", style="dim")
    if not found:
        return [Text("nothing is wrong that Primum knows of", style="green"), looked]
    shown: list[RenderableType] = []
    for one in found:
        head = Text.assemble((printable(one.summary), "bold"), (f"  {one.code}, {one.confidence:.0%}", "dim"))
        evidence = [
            Text(screen.wraps(printable(f"{piece.source} {piece.pointer} = {piece.value}"))) for piece in one.evidence
        ]
        shown += [head, *(Padding(piece, (0, 0, 0, 2)) for piece in evidence)]
    return [*shown, looked]
