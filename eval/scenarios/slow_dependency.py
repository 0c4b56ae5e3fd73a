"""A rollout that makes a service slow, and with it everybody who needs it."""

from collections.abc import Sequence
from typing import ClassVar

from eval.ground import Ground
from eval.scenarios.scenario import Blame, Expected, Scenario, patch_container


class SlowDependency(Scenario):
    """Nothing fails and every pod is ready; users wait."""

    name: ClassVar[str] = "slow-dependency"
    title: ClassVar[str] = "a rollout that makes a service slow, and with it everybody who needs it"
    truth: ClassVar[Sequence[Blame]] = (Blame("slow-dependency", "Deployment"),)
    expected: ClassVar[Expected] = Expected(kept=("roll-back-deployment",))
    roles: ClassVar[Sequence[str]] = ("payment", "shipping", "orders", "store")

    async def inject(self, ground: Ground) -> None:
        """Let each request take long."""
        slow = {"name": "LATENCY_MS", "value": str(self.rng.randint(700, 900))}
        await ground.operator.patch(
            "Deployment",
            ground.shop.namespace,
            ground.shop.services[self.role],
            patch_container({"env": [slow]}),
        )
