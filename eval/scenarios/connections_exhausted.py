"""A rollout that gives no connection back, until what it calls has none left for anybody."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from eval.ground import Ground, GroundName
from eval.scenarios.scenario import Blame, Expected, Scenario, patch_container


class ConnectionsExhausted(Scenario):
    """The store turns everybody away, and is the only one that did nothing wrong."""

    name: ClassVar[str] = "connections-exhausted"
    title: ClassVar[str] = "a rollout that gives its connections to the store not back"
    truth: ClassVar[Sequence[Blame]] = (Blame("connections-exhausted", "Deployment"),)
    expected: ClassVar[Expected] = Expected(kept=("roll-back-deployment",))
    roles: ClassVar[Sequence[str]] = ("cart", "catalog", "orders")
    not_on: ClassVar[Mapping[GroundName, str]] = {"lab": "its services have no connections"}

    async def inject(self, ground: Ground) -> None:
        """Deploy it: of ten calls some leave a connection open that nobody uses again."""
        leak = {"name": "CONNECTION_LEAK", "value": f"{self.rng.uniform(0.4, 0.8):.2f}"}
        change = patch_container({"env": [leak]})
        await ground.operator.patch("Deployment", ground.shop.namespace, ground.shop.services[self.role], change)
