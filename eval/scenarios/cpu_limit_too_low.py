"""A CPU limit lowered until the work does not get done."""

from collections.abc import Sequence
from typing import ClassVar

from eval.ground import Ground
from eval.scenarios.scenario import SERVED, Blame, Expected, Scenario, patch_container


class CpuLimitTooLow(Scenario):
    """Somebody saves CPU below what the load needs; nothing crashes, everything queues."""

    name: ClassVar[str] = "cpu-limit-too-low"
    title: ClassVar[str] = "a CPU limit lowered until the work does not get done"
    truth: ClassVar[Sequence[Blame]] = (Blame("cpu-limit-too-low", "Deployment"),)
    expected: ClassVar[Expected] = Expected(kept=("restore-resources",))
    roles: ClassVar[Sequence[str]] = SERVED

    async def inject(self, ground: Ground) -> None:
        """Lower it, and the request with it."""
        low = self.rng.choice(("50m", "80m"))
        change = patch_container({"resources": {"limits": {"cpu": low}, "requests": {"cpu": low}}})
        await ground.operator.patch("Deployment", ground.shop.namespace, ground.shop.services[self.role], change)
