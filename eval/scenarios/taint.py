"""All nodes reserved for something else, and pods that must find a new place."""

from collections.abc import Sequence
from typing import ClassVar

from eval.ground import Ground
from eval.scenarios.scenario import SERVED, Blame, Expected, RightEnd, Scenario


class Taint(Scenario):
    """Somebody reserves the nodes for batch work, and forgets who lives there: what is replaced waits."""

    name: ClassVar[str] = "taint-not-tolerated"
    title: ClassVar[str] = "all nodes reserved for something else, and pods that must find a new place"
    truth: ClassVar[Sequence[Blame]] = (Blame("taint-not-tolerated", "Deployment"),)
    right_end: ClassVar[RightEnd] = RightEnd.TOLD
    expected: ClassVar[Expected] = Expected()
    roles: ClassVar[Sequence[str]] = SERVED

    async def inject(self, ground: Ground) -> None:
        """Taint them, and restart one service."""
        namespace, operator = ground.shop.namespace, ground.operator
        taint = {"key": "example.com/dedicated", "value": "batch", "effect": "NoSchedule"}
        for node in await operator.list("Node"):
            taints = [*node["spec"].get("taints", []), taint]
            await operator.merge("Node", "", node["metadata"]["name"], {"spec": {"taints": taints}})
        for pod in await operator.list("Pod", namespace, labels=f"app={ground.shop.services[self.role]}"):
            await operator.delete("Pod", namespace, pod["metadata"]["name"])
