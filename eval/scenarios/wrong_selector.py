"""A Service whose selector matches nothing."""

from collections.abc import Sequence
from typing import ClassVar

from eval.ground import Ground
from eval.scenarios.scenario import SERVED, Blame, Expected, Scenario


class WrongSelector(Scenario):
    """Somebody renames a label in the Service and not in the pods."""

    name: ClassVar[str] = "wrong-selector"
    title: ClassVar[str] = "a Service whose selector matches nothing"
    truth: ClassVar[Sequence[Blame]] = (Blame("service-selector-mismatch", "Service"),)
    expected: ClassVar[Expected] = Expected(kept=("fix-service-selector",))
    roles: ClassVar[Sequence[str]] = SERVED

    async def inject(self, ground: Ground) -> None:
        """Point it at pods that do not exist."""
        name = ground.shop.services[self.role]
        typo = name + self.rng.choice(("-v2", "-svc", "-app", "-new"))
        await ground.operator.merge("Service", ground.shop.namespace, name, {"spec": {"selector": {"app": typo}}})
