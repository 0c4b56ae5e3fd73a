"""A rollout of a worker that keeps the memory of every job that it did."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from eval.ground import Ground, GroundName
from eval.scenarios.scenario import Blame, Expected, Scenario, patch_container


class LeakingConsumer(Scenario):
    """It is killed for memory again and again, and the queue that it should empty grows meanwhile."""

    name: ClassVar[str] = "leaking-consumer"
    title: ClassVar[str] = "a rollout of a worker that keeps the memory of every job"
    truth: ClassVar[Sequence[Blame]] = (Blame("memory-use-grown", "Deployment"),)
    expected: ClassVar[Expected] = Expected(kept=("roll-back-deployment",))
    roles: ClassVar[Sequence[str]] = ("worker",)
    not_on: ClassVar[Mapping[GroundName, str]] = {"lab": "its worker has no jobs"}

    async def inject(self, ground: Ground) -> None:
        """Deploy it: seconds of work fill its limit."""
        leak = {"name": "LEAK_KB", "value": str(self.rng.randint(1500, 2500))}
        change = patch_container({"env": [leak]})
        await ground.operator.patch("Deployment", ground.shop.namespace, ground.shop.worker, change)
