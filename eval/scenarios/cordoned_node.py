"""A cordoned node, and pods that can live nowhere else."""

from collections.abc import Sequence
from typing import ClassVar, Final

from eval.ground import Ground
from eval.lab.shop import Shop
from eval.oracles import Key
from eval.scenarios.scenario import SERVED, Blame, Expected, RightEnd, Scenario, patch_pod

BOUND_WITHIN_S: Final = 400.0


class CordonedNode(Scenario):
    """Somebody cordons a node for maintenance that never comes: what lives there cannot be replaced.

    Whether the maintenance is over is for whoever began it to say.
    """

    name: ClassVar[str] = "cordoned-node"
    title: ClassVar[str] = "a cordoned node, and pods that can live nowhere else"
    truth: ClassVar[Sequence[Blame]] = (Blame("node-cordoned", "Node"),)
    right_end: ClassVar[RightEnd] = RightEnd.TOLD
    expected: ClassVar[Expected] = Expected()
    roles: ClassVar[Sequence[str]] = SERVED

    async def prepare(self, ground: Ground) -> None:
        """Bind one service to one node, as one does for the sake of a disk."""
        nodes = await ground.operator.list("Node")
        self._node: str = self.rng.choice(sorted(node["metadata"]["name"] for node in nodes))
        change = patch_pod({"nodeSelector": {"kubernetes.io/hostname": self._node}})
        await ground.operator.patch("Deployment", ground.shop.namespace, ground.shop.services[self.role], change)
        await ground.until(ground.complete, BOUND_WITHIN_S)

    async def inject(self, ground: Ground) -> None:
        """Cordon it, and restart the service."""
        namespace, operator = ground.shop.namespace, ground.operator
        await operator.merge("Node", "", self._node, {"spec": {"unschedulable": True}})
        for pod in await operator.list("Pod", namespace, labels=f"app={ground.shop.services[self.role]}"):
            await operator.delete("Pod", namespace, pod["metadata"]["name"])

    def at_fault(self, blame: Blame, shop: Shop) -> Key:
        """The node, which has no role."""
        del shop
        return blame.kind, "", self._node
