"""A Service whose selector matches nothing."""

from collections.abc import Sequence
from typing import ClassVar

from eval.lab.lab import Lab
from eval.scenarios.scenario import Expected, Scenario


class WrongSelector(Scenario):
    """Somebody renames a label in the Service and not in the pods."""

    name: ClassVar[str] = "wrong-selector"
    title: ClassVar[str] = "a Service whose selector matches nothing"
    expected: ClassVar[Expected] = Expected(kept=("fix-service-selector",))
    roles: ClassVar[Sequence[str]] = ("edge", "cart", "catalog", "checkout", "payment", "shipping", "orders", "store")

    async def inject(self, lab: Lab) -> None:
        """Point it at pods that do not exist."""
        name = lab.shop.services[self.role]
        typo = name + self.rng.choice(("-v2", "-svc", "-app", "-new"))
        lab.store.patch("Service", lab.shop.namespace, name, {"spec": {"selector": {"app": typo}}})
