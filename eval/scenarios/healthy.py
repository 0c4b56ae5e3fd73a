"""Nothing is wrong: an ordinary release, and pods that come and go."""

from collections.abc import Sequence
from typing import ClassVar, Final

from eval.ground import Ground
from eval.scenarios.scenario import SERVED, Blame, Expected, RightEnd, Scenario, patch_container

LASTS_S: Final = 120.0
KILL_EVERY_S: Final = 30.0
RELEASED_WITHIN_S: Final = 400.0


class Healthy(Scenario):
    """Whoever acts here, acts on noise."""

    name: ClassVar[str] = "healthy"
    title: ClassVar[str] = "nothing is wrong: an ordinary release, and pods that come and go"
    truth: ClassVar[Sequence[Blame]] = ()
    right_end: ClassVar[RightEnd] = RightEnd.UNTOUCHED
    expected: ClassVar[Expected] = Expected(incidents=0)
    roles: ClassVar[Sequence[str]] = SERVED

    async def prepare(self, ground: Ground) -> None:
        """Release what works, as on any day."""
        change = patch_container({"env": [{"name": "LOG_LEVEL", "value": "debug"}]})
        await ground.operator.patch("Deployment", ground.shop.namespace, ground.shop.services[self.role], change)
        await ground.until(ground.complete, RELEASED_WITHIN_S)

    async def inject(self, ground: Ground) -> None:
        """Evict a pod now and then, as an autoscaler does that tidies up."""
        namespace, operator = ground.shop.namespace, ground.operator
        for _ in range(round(LASTS_S / KILL_EVERY_S)):
            role = self.rng.choice(SERVED)
            pods = await operator.list("Pod", namespace, labels=f"app={ground.shop.services[role]}")
            await operator.delete("Pod", namespace, self.rng.choice(pods)["metadata"]["name"])
            await ground.pass_s(KILL_EVERY_S)
