"""A rollout whose init container waits for ever."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from eval.ground import Ground, GroundName
from eval.scenarios.scenario import SERVED, Blame, Expected, Scenario, patch_pod


class InitContainerHangs(Scenario):
    """What should have ended before the application begins is a server, which never ends."""

    name: ClassVar[str] = "init-container-hangs"
    title: ClassVar[str] = "a rollout whose init container waits for ever"
    truth: ClassVar[Sequence[Blame]] = (Blame("init-container-hanging", "Deployment"),)
    expected: ClassVar[Expected] = Expected(kept=("roll-back-deployment",))
    roles: ClassVar[Sequence[str]] = SERVED
    not_on: ClassVar[Mapping[GroundName, str]] = {"lab": "it does not model init containers"}

    async def inject(self, ground: Ground) -> None:
        """Deploy it."""
        waits = {"name": "wait", "image": ground.shop.image(self.role)}
        change = patch_pod({"initContainers": [waits]})
        await ground.operator.patch("Deployment", ground.shop.namespace, ground.shop.services[self.role], change)
