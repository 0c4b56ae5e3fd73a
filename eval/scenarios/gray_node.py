"""A node that drops its pods' packets while it reports Ready."""

from collections.abc import Sequence
from typing import ClassVar

from eval.ground import Ground
from eval.lab.shop import NODES
from eval.oracles import Objects
from eval.scenarios.scenario import Blame, Expected, Scenario, made_by, with_change


class GrayNode(Scenario):
    """Draining a node is on the destructive list: a person is asked, and sees what would be done."""

    name: ClassVar[str] = "gray-node"
    title: ClassVar[str] = "a node that drops its pods' packets while it reports Ready"
    truth: ClassVar[Sequence[Blame]] = (Blame("node-gray-failure", "Node"),)
    expected: ClassVar[Expected] = Expected(kept=("drain-node",), approvals=1)
    breaks_one_of: ClassVar[int] = 2
    roles: ClassVar[Sequence[str]] = NODES

    async def inject(self, ground: Ground) -> None:
        """Break the node that the seed names."""
        self._node = ground.shop.nodes[self.role]
        await made_by(ground.nodes).drop_packets(self._node)

    def afterwards(self, before: Objects) -> Objects:
        """The node stays cordoned, until its owner has mended it."""
        return with_change(before, "Node", "", self._node, {"spec": {"unschedulable": True}})

    async def recover(self, ground: Ground) -> None:
        """Its owner mends it."""
        await made_by(ground.nodes).mend(ground.shop.nodes[self.role])
