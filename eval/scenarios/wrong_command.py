"""A rollout that starts a program which is not in its image."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from eval.ground import Ground, GroundName
from eval.scenarios.scenario import SERVED, Blame, Expected, Scenario, patch_container


class WrongCommand(Scenario):
    """Somebody mistypes a command."""

    name: ClassVar[str] = "wrong-command"
    title: ClassVar[str] = "a rollout that starts a program which is not in its image"
    truth: ClassVar[Sequence[Blame]] = (Blame("command-not-found", "Deployment"),)
    expected: ClassVar[Expected] = Expected(kept=("roll-back-deployment",))
    roles: ClassVar[Sequence[str]] = SERVED
    not_on: ClassVar[Mapping[GroundName, str]] = {"lab": "it does not model what is in an image"}

    async def inject(self, ground: Ground) -> None:
        """Deploy it."""
        change = patch_container({"command": [self.rng.choice(("/app/serve", "/usr/bin/srv", "/bin/start"))]})
        await ground.operator.patch("Deployment", ground.shop.namespace, ground.shop.services[self.role], change)
