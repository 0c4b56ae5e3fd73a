"""A node that runs short of memory, and evicts its pods."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from eval.ground import Ground, GroundName
from eval.lab.shop import NODES
from eval.scenarios.scenario import Blame, Expected, RightEnd, Scenario, made_by


class MemoryPressure(Scenario):
    """No pod takes more than it did, and one after the other has to go: its kubelet sees to that by itself.

    Only whoever runs the machine can give it more.
    """

    name: ClassVar[str] = "node-memory-pressure"
    title: ClassVar[str] = "a node that runs short of memory, and evicts its pods"
    truth: ClassVar[Sequence[Blame]] = (Blame("node-memory-pressure", "Node"),)
    right_end: ClassVar[RightEnd] = RightEnd.TOLD
    expected: ClassVar[Expected] = Expected()
    breaks_one_of: ClassVar[int] = 2
    roles: ClassVar[Sequence[str]] = NODES
    not_on: ClassVar[Mapping[GroundName, str]] = {"lab": "it does not model what a node has left"}

    async def inject(self, ground: Ground) -> None:
        """Take its memory away."""
        await made_by(ground.machines).shrink(ground.shop.nodes[self.role])

    async def recover(self, ground: Ground) -> None:
        """Give it back."""
        await made_by(ground.machines).mend(ground.shop.nodes[self.role])
