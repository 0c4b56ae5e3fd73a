"""A load that outgrows a service."""

from collections.abc import Sequence
from typing import ClassVar, Final

from eval.ground import Ground
from eval.oracles import AT_LEAST, Objects
from eval.scenarios.scenario import Blame, Expected, Scenario, with_change

GROWS: Final = (2.5, 2.7)
"""Times its usual load: with 2.34 a store on a real cluster just managed, and taking a rollout back seemed to help."""


class LoadSpike(Scenario):
    """Nobody changed anything; more users came."""

    name: ClassVar[str] = "load-spike"
    title: ClassVar[str] = "a load that outgrows a service"
    truth: ClassVar[Sequence[Blame]] = (Blame("cpu-saturated", "Deployment"),)
    expected: ClassVar[Expected] = Expected(kept=("scale-deployment",))
    roles: ClassVar[Sequence[str]] = ("payment", "shipping", "store")

    async def inject(self, ground: Ground) -> None:
        """Let them come."""
        self._namespace, self._name = ground.shop.namespace, ground.shop.services[self.role]
        await ground.surge(self.role, self.rng.uniform(*GROWS))

    def afterwards(self, before: Objects) -> Objects:
        """The replicas are more than there were."""
        key = ("Deployment", self._namespace, self._name)
        more = {"spec": {"replicas": {AT_LEAST: before[key]["spec"]["replicas"] + 1}}}
        return with_change(before, *key, more)

    async def recover(self, ground: Ground) -> None:
        """Let them go."""
        await ground.surge(self.role, 1.0)
