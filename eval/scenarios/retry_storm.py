"""A rollout of a caller that gives up early and tries again at once, until what it calls does nothing else."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from eval.ground import Ground, GroundName
from eval.scenarios.scenario import Blame, Expected, Scenario, patch_container


class RetryStorm(Scenario):
    """What is overloaded was not changed, and no more users came: its caller asks anew for what it did not await."""

    name: ClassVar[str] = "retry-storm"
    title: ClassVar[str] = "a rollout of a caller that gives up early, and tries again at once and often"
    truth: ClassVar[Sequence[Blame]] = (Blame("retry-storm", "Deployment"),)
    expected: ClassVar[Expected] = Expected(kept=("roll-back-deployment",))
    roles: ClassVar[Sequence[str]] = ("checkout",)
    not_on: ClassVar[Mapping[GroundName, str]] = {"lab": "its callers do not try again"}

    async def inject(self, ground: Ground) -> None:
        """Deploy it: less time than what it calls needs for an answer, and no pause between two attempts."""
        hasty = [
            {"name": "TIMEOUT_MS", "value": "3"},
            {"name": "RETRIES", "value": str(self.rng.randint(30, 50))},
        ]
        change = patch_container({"env": hasty})
        await ground.operator.patch("Deployment", ground.shop.namespace, ground.shop.services[self.role], change)
