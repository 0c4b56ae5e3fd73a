"""A load that outgrows a service, just after an innocent rollout of it."""

from typing import ClassVar

from eval.ground import Ground
from eval.oracles import Objects
from eval.scenarios.load_spike import LoadSpike
from eval.scenarios.scenario import Expected, patch_container, with_change

ROLLED_OUT_WITHIN_S = 400.0


class MisleadingRollout(LoadSpike):
    """The rollout is what everybody suspects first; taking it back changes nothing, more replicas do."""

    name: ClassVar[str] = "misleading-rollout"
    title: ClassVar[str] = "a load that outgrows a service, just after an innocent rollout of it"
    expected: ClassVar[Expected] = Expected(kept=("scale-deployment",), undone=1)

    async def inject(self, ground: Ground) -> None:
        """Roll out a changed log level; once it is out, let the load grow."""
        namespace, name = ground.shop.namespace, ground.shop.services[self.role]
        change = patch_container({"env": [{"name": "LOG_LEVEL", "value": "debug"}]})
        await ground.operator.patch("Deployment", namespace, name, change)
        await ground.until(ground.complete, ROLLED_OUT_WITHIN_S)
        self._rolled_out = (await ground.operator.get("Deployment", namespace, name))["spec"]["template"]
        await super().inject(ground)

    def afterwards(self, before: Objects) -> Objects:
        """The rollout was innocent: it stays."""
        kept = {"spec": {"template": self._rolled_out}}
        return with_change(super().afterwards(before), "Deployment", self._namespace, self._name, kept)
