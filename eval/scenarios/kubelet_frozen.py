"""A node whose kubelet stands still."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from eval.ground import Ground, GroundName
from eval.lab.shop import NODES
from eval.scenarios.scenario import Blame, Expected, RightEnd, Scenario, made_by


class KubeletFrozen(Scenario):
    """The node is NotReady after a while, and its pods with it, though they run: only on the node can that be mended.

    Whoever evicts them now has pods that nobody ends.
    """

    name: ClassVar[str] = "kubelet-frozen"
    title: ClassVar[str] = "a node whose kubelet stands still"
    truth: ClassVar[Sequence[Blame]] = (Blame("node-not-ready", "Node"),)
    right_end: ClassVar[RightEnd] = RightEnd.TOLD
    expected: ClassVar[Expected] = Expected()
    breaks_one_of: ClassVar[int] = 2
    roles: ClassVar[Sequence[str]] = NODES
    not_on: ClassVar[Mapping[GroundName, str]] = {"lab": "its kubelet is no process"}

    async def inject(self, ground: Ground) -> None:
        """Stop it, as one that waits for a dead disk stands."""
        await made_by(ground.machines).freeze(ground.shop.nodes[self.role])

    async def recover(self, ground: Ground) -> None:
        """Let it go on."""
        await made_by(ground.machines).mend(ground.shop.nodes[self.role])
