"""A node that runs short of memory, and evicts its pods."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from eval.ground import Ground, GroundName
from eval.lab.shop import NODES
from eval.oracles import Objects
from eval.scenarios.scenario import Blame, Expected, Scenario, made_by, with_change


class MemoryPressure(Scenario):
    """No pod takes more than it did. They come back to the node that just sent them away, unless it is drained."""

    name: ClassVar[str] = "node-memory-pressure"
    title: ClassVar[str] = "a node that runs short of memory, and evicts its pods"
    truth: ClassVar[Sequence[Blame]] = (Blame("node-memory-pressure", "Node"),)
    expected: ClassVar[Expected] = Expected(kept=("drain-node",), approvals=1)
    breaks_one_of: ClassVar[int] = 2
    roles: ClassVar[Sequence[str]] = NODES
    not_on: ClassVar[Mapping[GroundName, str]] = {"lab": "it does not model what a node has left"}

    async def inject(self, ground: Ground) -> None:
        """Take its memory away."""
        self._node = ground.shop.nodes[self.role]
        await made_by(ground.machines).shrink(self._node)

    def afterwards(self, before: Objects) -> Objects:
        """The node stays cordoned, until its owner has given it more."""
        return with_change(before, "Node", "", self._node, {"spec": {"unschedulable": True}})

    async def recover(self, ground: Ground) -> None:
        """Give it back."""
        await made_by(ground.machines).mend(ground.shop.nodes[self.role])
