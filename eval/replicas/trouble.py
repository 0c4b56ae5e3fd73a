"""What befalls a Primum of several replicas: a rolling restart, or the leader of its bus killed."""

import asyncio
import os
import random
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import httpx

from eval.lab.store import Change
from eval.lab_ground import LabGround
from eval.nats_cluster import NatsCluster
from eval.stage import Stage
from services.cli.supervisor import SERVICES, replicas_of
from shared.domain.cluster import MARK
from shared.ports.clock import Clock

LOOK_EVERY_S: Final = 0.05
COMES_WITHIN_S: Final = 60.0
"""The moment at which something is to happen, and the service that is to be ready again."""
_DOWN_FOR_S: Final = 3.0
"""How long a killed server of the bus stays away."""
_WITHIN_S: Final = 1.5
"""After the first alert of a storm: while it is sorted out."""

Moment = Callable[[Stage[LabGround], random.Random, Clock], Awaitable[None]]


async def in_a_storm(stage: Stage[LabGround], rng: random.Random, clock: Clock) -> None:
    """Wait until the first alerts are acknowledged, and a little more. Raises TimeoutError."""
    async with asyncio.timeout(COMES_WITHIN_S):
        while not stage.ground.deliveries:
            await clock.sleep(LOOK_EVERY_S)
    await clock.sleep(rng.uniform(0, _WITHIN_S))


async def in_a_transaction(stage: Stage[LabGround], _: random.Random, __: Clock) -> None:
    """Wait until a transaction has written to the cluster; its holder has not heard so yet. Raises TimeoutError."""
    written = asyncio.Event()

    def look(change: Change) -> None:
        meta = change.obj["metadata"]
        if meta.get("labels", {}).get(MARK) and meta["managedFields"][-1]["manager"].startswith("primum"):
            written.set()

    stage.ground.lab.store.subscribe(look)
    await asyncio.wait_for(written.wait(), COMES_WITHIN_S)


@dataclass(frozen=True)
class Undisturbed:
    """Nothing: the replicas alone are in each other's way."""

    async def befall(self, _: Stage[LabGround], __: random.Random, ___: Clock) -> str:
        """Do nothing."""
        return "nothing"


@dataclass(frozen=True)
class RollingRestart:
    """All services are restarted, one replica of each after the other, as a new version is rolled out."""

    replicas: int
    moment: Moment

    async def befall(self, stage: Stage[LabGround], rng: random.Random, clock: Clock) -> str:
        """Stop the first replica of every service, wait until all are ready again, then the second, and so on.

        Raises TimeoutError if no alert came meanwhile: nothing would be shown.
        """
        await self.moment(stage, rng, clock)
        began_s, told = clock.monotonic_s(), len(stage.ground.deliveries)
        async with httpx.AsyncClient(timeout=2, trust_env=False) as http:
            for number in range(self.replicas):
                names = [replicas_of(service, self.replicas)[number] for service in SERVICES]
                await asyncio.gather(*(_restart(stage, name, http, clock) for name in names))
        took_s, told = clock.monotonic_s() - began_s, len(stage.ground.deliveries) - told
        if not told:
            raise TimeoutError("nothing was going on any more when the restart began")
        return f"{self.replicas * len(SERVICES)} processes restarted within {took_s:.1f} s, {told} alerts meanwhile"


async def _restart(stage: Stage[LabGround], name: str, http: httpx.AsyncClient, clock: Clock) -> None:
    """Ask a process to stop, and wait until its successor is ready. Raises TimeoutError."""
    child = stage.supervisor.children[name]
    before = child.pid
    if before is None:
        raise TimeoutError(f"{name} does not run")
    os.kill(before, signal.SIGTERM)
    async with asyncio.timeout(COMES_WITHIN_S):
        while child.pid in (None, before) or not await _is_ready(stage.supervisor.url_of(name), http):
            await clock.sleep(LOOK_EVERY_S)


async def _is_ready(url: str, http: httpx.AsyncClient) -> bool:
    try:
        return bool(url) and (await http.get(f"{url}/ready")).is_success
    except httpx.HTTPError:  # it does not listen yet
        return False


@dataclass(frozen=True)
class LeaderKilled:
    """The server of the bus that leads a stream is killed, and comes back."""

    cluster: NatsCluster
    stream: str
    moment: Moment

    async def befall(self, stage: Stage[LabGround], rng: random.Random, clock: Clock) -> str:
        """Kill it at the moment, start it again, and wait until all copies are current."""
        leader = await self.cluster.leader_of(self.stream)
        await self.moment(stage, rng, clock)
        await kill_and_start(self.cluster, leader, clock)
        return f"the leader of {self.stream} killed, and back after {_DOWN_FOR_S:g} s"


async def kill_and_start(cluster: NatsCluster, number: int, clock: Clock) -> None:
    """Kill a server, leave it dead for a while, start it, and wait until all copies are current."""
    await cluster.kill(number)
    await clock.sleep(_DOWN_FOR_S)
    await cluster.start(number)
    await cluster.healthy()
