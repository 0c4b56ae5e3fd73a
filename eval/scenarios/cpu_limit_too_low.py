"""A CPU limit lowered until the work does not get done."""

from collections.abc import Sequence
from typing import ClassVar

from eval.ground import Ground
from eval.lab import quantity
from eval.scenarios.scenario import SERVED, Blame, Expected, Scenario, patch_container


class CpuLimitTooLow(Scenario):
    """Somebody saves CPU below what the load needs; nothing crashes, everything queues."""

    name: ClassVar[str] = "cpu-limit-too-low"
    title: ClassVar[str] = "a CPU limit lowered until the work does not get done"
    truth: ClassVar[Sequence[Blame]] = (Blame("cpu-limit-too-low", "Deployment"),)
    expected: ClassVar[Expected] = Expected(kept=("restore-resources",))
    roles: ClassVar[Sequence[str]] = SERVED

    async def inject(self, ground: Ground) -> None:
        """Lower it to about a tenth, and the request with it."""
        namespace, name = ground.shop.namespace, ground.shop.services[self.role]
        template = (await ground.operator.get("Deployment", namespace, name))["spec"]["template"]
        limit = quantity.parse(template["spec"]["containers"][0]["resources"]["limits"]["cpu"])
        low = f"{round(1000 * limit * self.rng.uniform(0.1, 0.12))}m"
        change = patch_container({"resources": {"limits": {"cpu": low}, "requests": {"cpu": low}}})
        await ground.operator.patch("Deployment", namespace, name, change)
