"""The lab as a ground: its model of a cluster under a pace of its own, its traffic, its alerts."""

import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import httpx

from eval.ground import (
    Condition,
    GroundName,
    MachineFaults,
    NetworkFaults,
    NodeFaults,
    Settings,
    alert_in_words,
)
from eval.lab.alertmanager import Delivery
from eval.lab.api import Api
from eval.lab.lab import TOKEN, Lab, LabSettings
from eval.lab.rules import WINDOW_S
from eval.lab.shop import NODES
from eval.lab.world import World
from eval.operator import Operator, operating

PACE: Final = 20.0
"""How much faster than a real cluster the lab runs: images are pulled in a fifth of a second."""
AT_REST_WITHIN_S: Final = 900.0
_WATCHED_S: Final = "40"
"""How long Primum watches what it mended, and lets a symptom linger: a shop in a lab has nothing that comes later."""


class LabNodes:
    """The lab's machines, broken as its model knows it."""

    names: Sequence[str] = NODES

    def __init__(self, world: World) -> None:
        self._world = world

    async def drop_packets(self, name: str) -> None:
        self._world.break_node(name)

    async def mend(self, name: str) -> None:
        self._world.mend_node(name)


class WorldGround:
    """Any world of the lab, whoever moves it: on the wall's clock, or on virtual time."""

    name: GroundName = "lab"

    def __init__(self, world: World, operator: Operator) -> None:
        self._world = world
        self.pace, self.shop, self.operator = world.pace, world.shop, operator
        self.nodes: NodeFaults | None = LabNodes(world)
        self.machines: MachineFaults | None = None
        self.network: NetworkFaults | None = None

    @property
    def deliveries(self) -> Sequence[Delivery]:
        return self._world.alertmanager.deliveries

    async def surge(self, role: str, factor: float) -> None:
        self._world.traffic.surge(self.shop.services[role], factor)

    async def delay_alerts(self, by_s: float) -> None:
        if by_s:
            self._world.alertmanager.hold({"namespace": self.shop.namespace}, by_s)
        else:
            self._world.alertmanager.release()

    async def grow_old(self) -> None:
        """Leave it: the lab's stamps are its own."""

    async def users(self) -> Mapping[str, float]:
        return dict(self._world.traffic.flows[self.shop.namespace, self.shop.services["edge"]].totals)

    async def alerts(self) -> Sequence[Mapping[str, str]]:
        return [alert.labels for alert in self._world.rules.active.values() if alert.firing]

    async def complete(self) -> bool:
        return self._world.complete()

    async def at_rest(self) -> bool:
        return self._world.quiet()

    async def unrest(self) -> Sequence[str]:
        active = self._world.rules.active.values()
        alerts = {alert_in_words(alert.labels, "firing" if alert.firing else "pending") for alert in active}
        if self._world.quiet() or alerts:
            return sorted(alerts)
        return ["not everything was told" if self._world.settled() else "not every pod is there and in traffic"]

    async def wounds(self) -> Sequence[str]:
        return [f"{name} drops its pods' packets" for name in sorted(self._world.kubelet.broken_nodes)]

    async def until(self, condition: Condition, timeout_s: float) -> None:
        ends_s = self._world.now_s + timeout_s
        while not await condition():
            if self._world.now_s >= ends_s:
                raise TimeoutError(f"not within {timeout_s:g} s of the lab's time")
            await self._world.next_tick()

    async def pass_s(self, seconds: float) -> None:
        ends_s = self._world.now_s + seconds
        while self._world.now_s < ends_s:
            await self._world.next_tick()


class LabGround(WorldGround):
    """A lab that is served over HTTP; `lab` is for those who measure what only it can show."""

    renews = False

    def __init__(self, lab: Lab, operator: Operator) -> None:
        super().__init__(lab, operator)
        self.lab = lab

    async def settings(self, folder: Path) -> Settings:
        """Say what a team would set, at the lab's pace."""
        return Settings(
            {
                "PRIMUM_CLUSTER": "lab",
                "PRIMUM_KUBECONFIG": str(self.lab.kubeconfig(folder / "kubeconfig")),
                "PRIMUM_KUBE_CONTEXT": "lab",
                "PRIMUM_PROMETHEUS_URL": self.lab.prometheus_url,
                "PRIMUM_METRICS_WINDOW_S": f"{WINDOW_S / self.pace:g}",
                "PRIMUM_PACE": str(self.pace),
                "PRIMUM_SURROUNDINGS_AGE_S": "0.5",
                "PRIMUM_WATCH_S": _WATCHED_S,
                "PRIMUM_RELAPSE_AFTER_S": _WATCHED_S,
            }
        )

    async def tell(self, token: str, webhooks: Sequence[str]) -> None:
        self.lab.send_to(token, *webhooks)

    async def renew(self, seed: int) -> None:  # noqa: ARG002 - the lab has one shop, whose names its own seed drew
        await self.until(self.at_rest, AT_REST_WITHIN_S)


@asynccontextmanager
async def lab_ground(seed: int, pace: float = PACE) -> AsyncIterator[LabGround]:
    """Open a lab with a pair of Alertmanagers, each of which sends everything."""
    with tempfile.TemporaryDirectory(prefix="primum-lab-") as folder:
        async with (
            Lab(LabSettings(seed=seed, pace=pace, senders=2)) as lab,
            operating(lab.kubeconfig(Path(folder) / "admin")) as operator,
        ):
            yield LabGround(lab, operator)


def inside(world: World) -> Operator:
    """Operate a world through its API without a socket: on virtual time nobody could wait for one."""
    api = Api(world.store, world.faults, TOKEN, world.kubelet.read_log, [])
    headers = {"Authorization": f"Bearer {TOKEN}"}
    transport = httpx.ASGITransport(api.app)
    return Operator(httpx.AsyncClient(transport=transport, base_url="http://lab", headers=headers))
