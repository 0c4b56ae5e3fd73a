"""A load that outgrows a service, just after an innocent rollout of it."""

from collections.abc import Sequence
from typing import ClassVar

from eval.lab.lab import Lab
from eval.oracles import AT_LEAST, Objects
from eval.scenarios.scenario import Expected, Scenario, patch_container, with_change


class MisleadingRollout(Scenario):
    """The rollout is what everybody suspects first; taking it back changes nothing, more replicas do."""

    name: ClassVar[str] = "misleading-rollout"
    title: ClassVar[str] = "a load that outgrows a service, just after an innocent rollout of it"
    expected: ClassVar[Expected] = Expected(kept=("scale-deployment",), undone=1)
    roles: ClassVar[Sequence[str]] = ("payment", "shipping", "store")

    async def inject(self, lab: Lab) -> None:
        """Roll out a changed log level; once it is out, let the load grow."""
        name = lab.shop.services[self.role]
        change = patch_container({"env": [{"name": "LOG_LEVEL", "value": "debug"}]})
        lab.store.patch_strategic("Deployment", lab.shop.namespace, name, change)
        await lab.until(lab.complete, timeout_s=20)
        self._namespace, self._name = lab.shop.namespace, name
        self._replicas = lab.shop.replicas[self.role]
        self._rolled_out = lab.store.get("Deployment", lab.shop.namespace, name)["spec"]["template"]
        lab.traffic.surge(name, self.rng.uniform(2.3, 2.7))

    def truth(self, before: Objects) -> Objects:
        """The rollout was innocent: it stays. The replicas are more than there were."""
        grown = {"spec": {"template": self._rolled_out, "replicas": {AT_LEAST: self._replicas + 1}}}
        return with_change(before, "Deployment", self._namespace, self._name, grown)

    async def recover(self, lab: Lab) -> None:
        """End the surge."""
        lab.traffic.surge(self._name, 1.0)
