"""A memory limit lowered until the kernel kills."""

from collections.abc import Sequence
from typing import ClassVar

from eval.lab.lab import Lab
from eval.scenarios.scenario import Expected, Scenario, patch_container


class MemoryLimit(Scenario):
    """Somebody saves memory below what the application needs."""

    name: ClassVar[str] = "memory-limit"
    title: ClassVar[str] = "a memory limit lowered until the kernel kills"
    expected: ClassVar[Expected] = Expected(kept=("restore-resources",))
    roles: ClassVar[Sequence[str]] = ("edge", "cart", "catalog", "checkout", "payment", "shipping", "orders", "store")

    async def inject(self, lab: Lab) -> None:
        """Lower the limit, and the request with it, to a part of the need."""
        needed = lab.shop.memory_mib[self.role]
        low = f"{round(needed * self.rng.uniform(0.4, 0.7))}Mi"
        change = patch_container({"resources": {"limits": {"memory": low}, "requests": {"memory": low}}})
        lab.store.patch_strategic("Deployment", lab.shop.namespace, lab.shop.services[self.role], change)
