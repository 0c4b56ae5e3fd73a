"""A rollout from a private repository, without the secret that opens it."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from eval.ground import Ground, GroundName
from eval.kubernetes.registry import private
from eval.scenarios.scenario import SERVED, Blame, Expected, Scenario, patch_container


class PullSecretMissing(Scenario):
    """The image is there, and not for everybody."""

    name: ClassVar[str] = "pull-secret-missing"
    title: ClassVar[str] = "a rollout from a private repository, without the secret that opens it"
    truth: ClassVar[Sequence[Blame]] = (Blame("image-pull-failed", "Deployment"),)
    expected: ClassVar[Expected] = Expected(kept=("roll-back-deployment",))
    roles: ClassVar[Sequence[str]] = SERVED
    not_on: ClassVar[Mapping[GroundName, str]] = {"lab": "its registry asks nobody to sign in"}

    async def inject(self, ground: Ground) -> None:
        """Deploy it."""
        change = patch_container({"image": private(ground.shop.next_image(self.role))})
        await ground.operator.patch("Deployment", ground.shop.namespace, ground.shop.services[self.role], change)
