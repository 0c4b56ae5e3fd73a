"""A memory limit lowered until the kernel kills."""

from collections.abc import Sequence
from typing import ClassVar

from eval.ground import Ground
from eval.scenarios.scenario import SERVED, Blame, Expected, Scenario, patch_container


class MemoryLimit(Scenario):
    """Somebody saves memory below what the application needs."""

    name: ClassVar[str] = "memory-limit"
    title: ClassVar[str] = "a memory limit lowered until the kernel kills"
    truth: ClassVar[Sequence[Blame]] = (Blame("memory-limit-too-low", "Deployment"),)
    expected: ClassVar[Expected] = Expected(kept=("restore-resources",))
    roles: ClassVar[Sequence[str]] = SERVED

    async def inject(self, ground: Ground) -> None:
        """Lower the limit, and the request with it, to a part of the need."""
        needed = ground.shop.memory_mib[self.role]
        low = f"{round(needed * self.rng.uniform(0.4, 0.7))}Mi"
        change = patch_container({"resources": {"limits": {"memory": low}, "requests": {"memory": low}}})
        await ground.operator.patch("Deployment", ground.shop.namespace, ground.shop.services[self.role], change)
