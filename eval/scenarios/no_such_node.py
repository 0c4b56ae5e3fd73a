"""A rollout that asks for nodes with a label that no node has."""

from collections.abc import Sequence
from typing import ClassVar

from eval.ground import Ground
from eval.scenarios.scenario import SERVED, Blame, Expected, Scenario, patch_pod


class NoSuchNode(Scenario):
    """Somebody brings a node selector along from another cluster."""

    name: ClassVar[str] = "no-such-node"
    title: ClassVar[str] = "a rollout that asks for nodes with a label that no node has"
    truth: ClassVar[Sequence[Blame]] = (Blame("unschedulable", "Deployment"),)
    expected: ClassVar[Expected] = Expected(kept=("roll-back-deployment",))
    roles: ClassVar[Sequence[str]] = SERVED

    async def inject(self, ground: Ground) -> None:
        """Ask for them."""
        key, value = self.rng.choice((("disktype", "nvme"), ("node-pool", "highmem"), ("example.com/tier", "gold")))
        change = patch_pod({"nodeSelector": {key: value}})
        await ground.operator.patch("Deployment", ground.shop.namespace, ground.shop.services[self.role], change)
