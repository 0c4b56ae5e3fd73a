"""A node that drops its pods' packets while it reports Ready."""

from collections.abc import Sequence
from typing import ClassVar

from eval.lab.lab import Lab
from eval.oracles import Objects
from eval.scenarios.scenario import Expected, Scenario, with_change


class GrayNode(Scenario):
    """Draining a node is on the destructive list: a person is asked, and sees what would be done."""

    name: ClassVar[str] = "gray-node"
    title: ClassVar[str] = "a node that drops its pods' packets while it reports Ready"
    expected: ClassVar[Expected] = Expected(kept=("drain-node",), approvals=1)
    roles: ClassVar[Sequence[str]] = ("node-a", "node-b", "node-c")

    async def inject(self, lab: Lab) -> None:
        """Break the node that the seed names."""
        lab.break_node(self.role)

    def truth(self, before: Objects) -> Objects:
        """The node stays cordoned, until its owner has mended it."""
        return with_change(before, "Node", "", self.role, {"spec": {"unschedulable": True}})

    async def recover(self, lab: Lab) -> None:
        """Its owner mends it."""
        lab.mend_node(self.role)
