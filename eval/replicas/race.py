"""Several ledgers, each a process, append to the same incidents on three servers, whose leader is killed."""

import asyncio
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

from eval.crash import count
from eval.ingest.worker import Worker, working
from eval.logbook import Logbook, read_bus
from eval.nats_cluster import NODES, NatsCluster
from eval.replicas.cases import Case
from eval.replicas.row import Row, illegal, operator, row_of, three
from eval.replicas.trouble import kill_and_start
from services.cli.bus import keys_in
from shared.adapters.nats_connection import connected
from shared.adapters.system import SystemClock
from shared.bus import streams
from shared.domain.errors import PrimumError

INCIDENTS: Final = 40
EVENTS: Final = 12
"""Of each incident: so many chances to be overtaken."""


async def race(case: Case, seed: int, within_s: float, sabotage: str, say: Callable[[str], None]) -> Row:
    """Run one race, and count in the stream."""
    clock, row = SystemClock(), row_of(case, seed)
    began_s = clock.monotonic_s()
    with tempfile.TemporaryDirectory(prefix="primum-race-", ignore_cleanup_errors=True) as folder:
        data = Path(folder)
        try:
            async with three(data, clock) as cluster:
                async with connected(cluster.url, operator(data)) as connection:
                    await streams.ensure(connection.jetstream(), streams.Keeping(replicas=NODES))
                await cluster.healthy()
                say(f"{case.name}: {case.replicas} ledgers, {INCIDENTS} incidents of {EVENTS} events")
                async with asyncio.timeout(within_s):
                    said = await _run(case, data, cluster, sabotage, clock)
                row.trouble.append(f"the leader of {case.leader_of} killed in the middle")
                _count(row, said, await read_bus(cluster.url, operator(data)))
        except (PrimumError, TimeoutError) as error:
            row.problems.append(str(error) or f"not over within {within_s:g} s")
    row.elapsed_s = round(clock.monotonic_s() - began_s, 1)
    return row


async def _run(
    case: Case, data: Path, cluster: NatsCluster, sabotage: str, clock: SystemClock
) -> Sequence[Mapping[str, Any]]:
    """Let them all go; kill the leader when the first of them is half through."""
    urls, half = cluster.url.split(","), asyncio.Event()
    async with AsyncExitStack() as stack:
        racers = list[Worker]()
        for number in range(case.replicas):
            task = {
                "name": f"{number}",
                "nats_url": ",".join([*urls[number:], *urls[:number]]),
                "keys": str(keys_in(data)),
                "incidents": INCIDENTS,
                "events": EVENTS,
                "sabotage": sabotage,
            }
            racers.append(await stack.enter_async_context(working("eval.replicas.racer", task)))
        leader = await cluster.leader_of(case.leader_of)

        async def strike() -> None:
            await half.wait()
            await kill_and_start(cluster, leader, clock)

        striking = asyncio.create_task(strike())
        try:
            said = await asyncio.gather(*(racer.go(half.set) for racer in racers))
            await striking
        finally:
            striking.cancel()
            await asyncio.gather(striking, return_exceptions=True)
        return said


def _count(row: Row, said: Sequence[Mapping[str, Any]], logbook: Logbook) -> None:
    """What was confirmed must stand there, once, and nothing must be there that nobody wanted."""
    incidents = count.incidents_of(logbook)
    confirmed = [line for each in said for line in each["confirmed"]]
    row.incidents = len(incidents)
    row.lost = count.lost(logbook, (), confirmed)
    row.illegal = illegal(logbook)
    opened = Counter(event["key"] for events in incidents.values() for event in events if event["type"] == "Opened")
    row.doubled = [f"{key} was opened {times} times" for key, times in opened.items() if times > 1]
    row.doubled += [
        f"{name} has {len(events)} events, should have {EVENTS}"
        for name, events in incidents.items()
        if len(events) != EVENTS
    ]
    if len(opened) != INCIDENTS:
        row.problems.append(f"{len(opened)} incidents, should be {INCIDENTS}")
    if not any(each["conflicts"] for each in said):
        row.problems.append("nobody was ever overtaken: this row shows nothing")
    overtaken, away = (sum(each[name] for each in said) for name in ("conflicts", "unavailable"))
    row.trouble.append(f"{overtaken} appends overtaken, {away} without an answer")
