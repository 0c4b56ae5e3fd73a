"""A rollout whose pods ask their node for names, which knows no Service's."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from eval.ground import Ground, GroundName
from eval.scenarios.scenario import Blame, Expected, Scenario, patch_pod


class WrongDnsPolicy(Scenario):
    """`Default` is not the default."""

    name: ClassVar[str] = "wrong-dns-policy"
    title: ClassVar[str] = "a rollout whose pods ask their node for names, which knows no Service's"
    truth: ClassVar[Sequence[Blame]] = (Blame("dns-policy-wrong", "Deployment"),)
    expected: ClassVar[Expected] = Expected(kept=("roll-back-deployment",))
    roles: ClassVar[Sequence[str]] = ("edge", "cart", "catalog", "checkout", "orders")
    not_on: ClassVar[Mapping[GroundName, str]] = {"lab": "it has no DNS"}

    async def inject(self, ground: Ground) -> None:
        """Deploy it."""
        change = patch_pod({"dnsPolicy": "Default"})
        await ground.operator.patch("Deployment", ground.shop.namespace, ground.shop.services[self.role], change)
