"""A rollout whose pods bear no neighbour, with more pods than nodes."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

from eval.ground import Ground, GroundName
from eval.scenarios.scenario import SERVED, Blame, Expected, Scenario, patch_pod

STANDS_WITHIN_S: Final = 120.0


class AntiAffinity(Scenario):
    """Each pod asks for a node without another one of it."""

    name: ClassVar[str] = "anti-affinity-deadlock"
    title: ClassVar[str] = "a rollout whose pods bear no neighbour, with more pods than nodes"
    truth: ClassVar[Sequence[Blame]] = (Blame("anti-affinity-unsatisfiable", "Deployment"),)
    expected: ClassVar[Expected] = Expected(kept=("roll-back-deployment",))
    roles: ClassVar[Sequence[str]] = SERVED
    not_on: ClassVar[Mapping[GroundName, str]] = {"lab": "its scheduler does not model affinity"}

    async def prepare(self, ground: Ground) -> None:
        """Have one pod more than nodes, where there are fewer."""
        nodes = await ground.operator.list("Node")
        replicas = max(ground.shop.replicas[self.role], len(nodes) + 1)
        name = ground.shop.services[self.role]
        await ground.operator.merge("Deployment", ground.shop.namespace, name, {"spec": {"replicas": replicas}})
        await ground.until(ground.complete, STANDS_WITHIN_S)

    async def inject(self, ground: Ground) -> None:
        """Deploy it."""
        name = ground.shop.services[self.role]
        alone = {"labelSelector": {"matchLabels": {"app": name}}, "topologyKey": "kubernetes.io/hostname"}
        change = patch_pod(
            {"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [alone]}}}
        )
        await ground.operator.patch("Deployment", ground.shop.namespace, name, change)
