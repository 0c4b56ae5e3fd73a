"""A rollout that needs a Secret which is not there."""

from collections.abc import Sequence
from typing import ClassVar

from eval.ground import Ground
from eval.scenarios.scenario import SERVED, Blame, Expected, Scenario, patch_container


class SecretMissing(Scenario):
    """The Secret was made in another namespace, or under another name."""

    name: ClassVar[str] = "secret-missing"
    title: ClassVar[str] = "a rollout that needs a Secret which is not there"
    truth: ClassVar[Sequence[Blame]] = (Blame("secret-missing", "Deployment"),)
    expected: ClassVar[Expected] = Expected(kept=("roll-back-deployment",))
    roles: ClassVar[Sequence[str]] = SERVED

    async def inject(self, ground: Ground) -> None:
        """Read a key of it."""
        secret = f"{ground.shop.services[self.role]}-{self.rng.choice(('tls', 'token', 'credentials'))}"
        key = {"name": "API_TOKEN", "valueFrom": {"secretKeyRef": {"name": secret, "key": "token"}}}
        change = patch_container({"env": [key]})
        await ground.operator.patch("Deployment", ground.shop.namespace, ground.shop.services[self.role], change)
