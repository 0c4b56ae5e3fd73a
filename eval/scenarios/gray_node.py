"""A node that drops its pods' packets while it reports Ready."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from eval.ground import Ground, GroundName, NodeFaults
from eval.oracles import Objects
from eval.scenarios.scenario import Blame, CannotBePlayedError, Expected, Scenario, with_change


class GrayNode(Scenario):
    """Draining a node is on the destructive list: a person is asked, and sees what would be done."""

    name: ClassVar[str] = "gray-node"
    title: ClassVar[str] = "a node that drops its pods' packets while it reports Ready"
    truth: ClassVar[Sequence[Blame]] = (Blame("node-gray-failure", "Node"),)
    expected: ClassVar[Expected] = Expected(kept=("drain-node",), approvals=1)
    not_on: ClassVar[Mapping[GroundName, str]] = {"kubernetes": "no packets of a single node can be dropped there yet"}
    roles: ClassVar[Sequence[str]] = ("node-a", "node-b", "node-c")

    async def inject(self, ground: Ground) -> None:
        """Break the node that the seed names."""
        await _nodes(ground).drop_packets(self.role)

    def afterwards(self, before: Objects) -> Objects:
        """The node stays cordoned, until its owner has mended it."""
        return with_change(before, "Node", "", self.role, {"spec": {"unschedulable": True}})

    async def recover(self, ground: Ground) -> None:
        """Its owner mends it."""
        await _nodes(ground).mend(self.role)


def _nodes(ground: Ground) -> NodeFaults:
    if ground.nodes is None:
        raise CannotBePlayedError(f"nodes of {ground.name} cannot be broken")
    return ground.nodes
