"""A rollout with an image that does not exist."""

from collections.abc import Sequence
from typing import ClassVar

from eval.lab.lab import Lab
from eval.scenarios.scenario import Expected, Scenario, patch_container


class WrongImage(Scenario):
    """Somebody deploys a tag that was never pushed."""

    name: ClassVar[str] = "wrong-image"
    title: ClassVar[str] = "a rollout with an image that does not exist"
    expected: ClassVar[Expected] = Expected(kept=("roll-back-deployment",))
    roles: ClassVar[Sequence[str]] = ("edge", "cart", "catalog", "checkout", "payment", "shipping", "orders", "store")

    async def inject(self, lab: Lab) -> None:
        """Deploy it."""
        change = patch_container({"image": lab.shop.missing_image(self.role)})
        lab.store.patch_strategic("Deployment", lab.shop.namespace, lab.shop.services[self.role], change)
