"""The lab in the simulation's loop: its ticks are the loop's, and its Alertmanager's receiver is a gateway of ours."""

from collections.abc import Callable
from typing import Final

from eval.ground import Condition
from eval.lab.alertmanager import Notification
from eval.lab.rehearsal import NeverHappenedError
from eval.lab.world import World
from eval.lab_ground import WorldGround, inside
from eval.simulation.loop import VirtualLoop
from eval.simulation.story import Story

TICK_S: Final = 2.0
MOST_S: Final = 20.0
"""A scenario waits no longer for what it needs: a seed's faults come in three minutes."""
_ONE_ROUTE: Final = (("find", "zone-a", 1.0, 0.5),)


class SimWorld(World):
    """A world whose requests all take one route: forty series less a service, and alerts by service as before."""

    def __init__(self, seed: int, loop: VirtualLoop, story: Story, post: Callable[[Notification], None]) -> None:
        super().__init__(seed, loop.wall, pace=1.0, senders=2)
        self._loop, self._story, self._post = loop, story, post
        for flow in self.traffic.flows.values():
            flow.weights = list(_ONE_ROUTE)

    def send(self, notification: Notification) -> None:
        self._post(notification)

    async def live(self) -> None:
        """Tick for ever."""
        while True:
            await self._loop.sleep(TICK_S)
            self.tick(self._loop.time())

    async def until(self, predicate: Callable[[], bool], timeout_s: float) -> None:
        """Return once the predicate holds. Raises NeverHappenedError after so long."""
        ends_s = self._loop.time() + timeout_s
        while not predicate():
            if self._loop.time() >= ends_s:
                raise NeverHappenedError(f"not within {timeout_s:.0f} s")
            await self.next_tick()

    async def next_tick(self) -> None:
        await self._loop.sleep(TICK_S)

    def forget_events(self) -> None:
        """Drop the events of the shop's opening, as an API server does after its hour."""
        for event in self.store.list("Event"):
            self.store.delete("Event", event["metadata"]["namespace"], event["metadata"]["name"])


class SimGround(WorldGround):
    """The simulation's world as scenarios see it."""

    def __init__(self, world: World) -> None:
        super().__init__(world, inside(world))

    async def until(self, condition: Condition, timeout_s: float) -> None:
        await super().until(condition, min(timeout_s, MOST_S))
