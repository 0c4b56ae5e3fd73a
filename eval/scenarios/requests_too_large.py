"""A rollout that asks for more memory than any node has."""

from collections.abc import Sequence
from typing import ClassVar

from eval.ground import Ground
from eval.scenarios.scenario import SERVED, Blame, Expected, Scenario, patch_container


class RequestsTooLarge(Scenario):
    """Somebody writes Gi where Mi was meant."""

    name: ClassVar[str] = "requests-too-large"
    title: ClassVar[str] = "a rollout that asks for more memory than any node has"
    truth: ClassVar[Sequence[Blame]] = (Blame("requests-too-large", "Deployment"),)
    expected: ClassVar[Expected] = Expected(kept=("roll-back-deployment",))
    roles: ClassVar[Sequence[str]] = SERVED

    async def inject(self, ground: Ground) -> None:
        """Ask for it."""
        memory = f"{ground.shop.memory_mib[self.role]}Gi"
        change = patch_container({"resources": {"limits": {"memory": memory}, "requests": {"memory": memory}}})
        await ground.operator.patch("Deployment", ground.shop.namespace, ground.shop.services[self.role], change)
