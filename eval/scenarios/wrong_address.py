"""A rollout that looks for a dependency under a name that nobody has."""

from collections.abc import Sequence
from typing import ClassVar

from eval.ground import Ground
from eval.lab.shop import CALLS, PORT, variable
from eval.scenarios.scenario import Blame, Expected, Scenario, patch_container


class WrongAddress(Scenario):
    """Somebody copies the address of another environment."""

    name: ClassVar[str] = "wrong-address"
    title: ClassVar[str] = "a rollout that looks for a dependency under a name that nobody has"
    truth: ClassVar[Sequence[Blame]] = (Blame("dependency-address-wrong", "Deployment"),)
    expected: ClassVar[Expected] = Expected(kept=("roll-back-deployment",))
    roles: ClassVar[Sequence[str]] = ("edge", "cart", "catalog", "checkout", "orders")

    async def inject(self, ground: Ground) -> None:
        """Deploy it."""
        needed = self.rng.choice(sorted(CALLS[self.role]))
        name = variable(ground.shop.services[needed])
        wrong = f"http://{ground.shop.services[needed]}-staging.{ground.shop.namespace}:{PORT}"
        change = patch_container({"env": [{"name": name, "value": wrong}]})
        await ground.operator.patch("Deployment", ground.shop.namespace, ground.shop.services[self.role], change)
