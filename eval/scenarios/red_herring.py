"""A Service that selects nothing, beside a fresh rollout of the same workload."""

from collections.abc import Sequence
from typing import ClassVar

from eval.ground import Ground
from eval.scenarios.scenario import SERVED, Blame, Expected, Scenario, patch_container

RELEASED_WITHIN_S = 400.0


class RedHerring(Scenario):
    """The rollout is new and innocent; the selector is old and wrong."""

    name: ClassVar[str] = "red-herring"
    title: ClassVar[str] = "a Service that selects nothing, beside a fresh rollout of the same workload"
    truth: ClassVar[Sequence[Blame]] = (Blame("service-selector-mismatch", "Service"),)
    expected: ClassVar[Expected] = Expected(kept=("fix-service-selector",))
    roles: ClassVar[Sequence[str]] = SERVED

    async def prepare(self, ground: Ground) -> None:
        """Release what works."""
        change = patch_container({"env": [{"name": "LOG_LEVEL", "value": "debug"}]})
        await ground.operator.patch("Deployment", ground.shop.namespace, ground.shop.services[self.role], change)
        await ground.until(ground.complete, RELEASED_WITHIN_S)

    async def inject(self, ground: Ground) -> None:
        """Break the Service."""
        namespace, name = ground.shop.namespace, ground.shop.services[self.role]
        await ground.operator.merge("Service", namespace, name, {"spec": {"selector": {"app": f"{name}-v2"}}})
