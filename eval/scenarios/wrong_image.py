"""A rollout with an image that does not exist."""

from collections.abc import Sequence
from typing import ClassVar

from eval.ground import Ground
from eval.scenarios.scenario import SERVED, Blame, Expected, Scenario, patch_container


class WrongImage(Scenario):
    """Somebody deploys a tag that was never pushed."""

    name: ClassVar[str] = "wrong-image"
    title: ClassVar[str] = "a rollout with an image that does not exist"
    truth: ClassVar[Sequence[Blame]] = (Blame("image-pull-failed", "Deployment"),)
    expected: ClassVar[Expected] = Expected(kept=("roll-back-deployment",))
    roles: ClassVar[Sequence[str]] = SERVED

    async def inject(self, ground: Ground) -> None:
        """Deploy it."""
        change = patch_container({"image": ground.shop.missing_image(self.role)})
        await ground.operator.patch("Deployment", ground.shop.namespace, ground.shop.services[self.role], change)
