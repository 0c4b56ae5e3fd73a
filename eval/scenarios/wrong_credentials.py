"""A rollout that signs in to the store with a wrong password."""

from collections.abc import Sequence
from typing import ClassVar

from eval.ground import Ground
from eval.scenarios.scenario import Blame, Expected, Scenario, patch_container


class WrongCredentials(Scenario):
    """The pods are ready, and every request of theirs that needs the store fails."""

    name: ClassVar[str] = "wrong-credentials"
    title: ClassVar[str] = "a rollout that signs in to the store with a wrong password"
    truth: ClassVar[Sequence[Blame]] = (Blame("credentials-refused", "Deployment"),)
    expected: ClassVar[Expected] = Expected(kept=("roll-back-deployment",))
    roles: ClassVar[Sequence[str]] = ("cart", "catalog", "orders")

    async def inject(self, ground: Ground) -> None:
        """Write another password into the manifest."""
        wrong = {"name": "STORE_PASSWORD", "value": f"{self.rng.getrandbits(40):010x}", "valueFrom": None}
        await ground.operator.patch(
            "Deployment",
            ground.shop.namespace,
            ground.shop.services[self.role],
            patch_container({"env": [wrong]}),
        )
