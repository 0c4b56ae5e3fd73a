"""A service whose pods lose a part of their packets."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from eval.ground import Ground, GroundName
from eval.scenarios.scenario import Blame, Expected, RightEnd, Scenario, made_by


class PacketLoss(Scenario):
    """Every pod is ready most of the time, and nothing was changed. Nobody mends a network by changing objects."""

    name: ClassVar[str] = "packet-loss"
    title: ClassVar[str] = "a service whose pods lose a part of their packets"
    truth: ClassVar[Sequence[Blame]] = (Blame("packet-loss", "Deployment"),)
    right_end: ClassVar[RightEnd] = RightEnd.TOLD
    expected: ClassVar[Expected] = Expected()
    roles: ClassVar[Sequence[str]] = ("payment", "shipping", "orders", "store")
    not_on: ClassVar[Mapping[GroundName, str]] = {"lab": "it does not model packets"}

    async def inject(self, ground: Ground) -> None:
        """Lose them."""
        share = self.rng.uniform(0.2, 0.3)
        await made_by(ground.network).lose_packets(ground.shop.services[self.role], share)

    async def recover(self, ground: Ground) -> None:
        """Lose none."""
        await made_by(ground.network).lose_packets(ground.shop.services[self.role], 0.0)
