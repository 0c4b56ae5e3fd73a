"""A service that somebody scaled to nothing."""

from collections.abc import Sequence
from typing import ClassVar

from eval.ground import Ground
from eval.scenarios.scenario import SERVED, Blame, Expected, Scenario


class ScaledToZero(Scenario):
    """Somebody saves money in the wrong environment."""

    name: ClassVar[str] = "scaled-to-zero"
    title: ClassVar[str] = "a service that somebody scaled to nothing"
    truth: ClassVar[Sequence[Blame]] = (Blame("scaled-too-low", "Deployment"),)
    expected: ClassVar[Expected] = Expected(kept=("scale-deployment",))
    roles: ClassVar[Sequence[str]] = SERVED

    async def inject(self, ground: Ground) -> None:
        """Scale it."""
        namespace, name = ground.shop.namespace, ground.shop.services[self.role]
        await ground.operator.merge("Deployment", namespace, name, {"spec": {"replicas": 0}})
