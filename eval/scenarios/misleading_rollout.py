"""A load that outgrows a service, just after an innocent rollout of it."""

from collections.abc import Sequence
from typing import ClassVar

from eval.ground import Ground
from eval.oracles import AT_LEAST, Objects
from eval.scenarios.scenario import Blame, Expected, Scenario, patch_container, with_change

ROLLED_OUT_WITHIN_S = 400.0


class MisleadingRollout(Scenario):
    """The rollout is what everybody suspects first; taking it back changes nothing, more replicas do."""

    name: ClassVar[str] = "misleading-rollout"
    title: ClassVar[str] = "a load that outgrows a service, just after an innocent rollout of it"
    truth: ClassVar[Sequence[Blame]] = (Blame("cpu-saturated", "Deployment"),)
    expected: ClassVar[Expected] = Expected(kept=("scale-deployment",), undone=1)
    roles: ClassVar[Sequence[str]] = ("payment", "shipping", "store")

    async def inject(self, ground: Ground) -> None:
        """Roll out a changed log level; once it is out, let the load grow."""
        namespace, name = ground.shop.namespace, ground.shop.services[self.role]
        change = patch_container({"env": [{"name": "LOG_LEVEL", "value": "debug"}]})
        await ground.operator.patch("Deployment", namespace, name, change)
        await ground.until(ground.complete, ROLLED_OUT_WITHIN_S)
        self._namespace, self._name = namespace, name
        self._replicas = ground.shop.replicas[self.role]
        self._rolled_out = (await ground.operator.get("Deployment", namespace, name))["spec"]["template"]
        await ground.surge(self.role, self.rng.uniform(2.3, 2.7))

    def afterwards(self, before: Objects) -> Objects:
        """The rollout was innocent: it stays. The replicas are more than there were."""
        grown = {"spec": {"template": self._rolled_out, "replicas": {AT_LEAST: self._replicas + 1}}}
        return with_change(before, "Deployment", self._namespace, self._name, grown)

    async def recover(self, ground: Ground) -> None:
        """End the surge."""
        await ground.surge(self.role, 1.0)
