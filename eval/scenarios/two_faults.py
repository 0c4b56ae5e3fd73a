"""Two unrelated faults at once."""

from collections.abc import Sequence
from typing import ClassVar

from eval.ground import Ground
from eval.scenarios.scenario import Blame, Expected, Scenario, patch_container


class TwoFaults(Scenario):
    """A wrong image here, a lowered memory limit there."""

    name: ClassVar[str] = "two-faults"
    title: ClassVar[str] = "two unrelated faults at once"
    truth: ClassVar[Sequence[Blame]] = (
        Blame("image-pull-failed", "Deployment"),
        Blame("memory-limit-too-low", "Deployment", "other"),
    )
    expected: ClassVar[Expected] = Expected(
        incidents=2,
        kept=(
            "restore-resources",
            "roll-back-deployment",
        ),
    )
    roles: ClassVar[Sequence[str]] = ("payment",)
    others: ClassVar[Sequence[str]] = ("shipping", "cart")

    async def inject(self, ground: Ground) -> None:
        """Make both."""
        namespace, operator = ground.shop.namespace, ground.operator
        image = patch_container({"image": ground.shop.missing_image(self.role)})
        low = f"{round(ground.shop.memory_mib[self.other] * self.rng.uniform(0.4, 0.7))}Mi"
        memory = patch_container({"resources": {"limits": {"memory": low}, "requests": {"memory": low}}})
        await operator.patch("Deployment", namespace, ground.shop.services[self.role], image)
        await operator.patch("Deployment", namespace, ground.shop.services[self.other], memory)
