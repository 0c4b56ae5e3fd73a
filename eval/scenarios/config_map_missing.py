"""A rollout that needs a ConfigMap which is not there."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from eval.ground import Ground
from eval.scenarios.scenario import SERVED, Blame, Expected, Scenario, patch_container


class ConfigMapMissing(Scenario):
    """Somebody deploys the manifest that reads the new settings, and forgets the one that holds them."""

    name: ClassVar[str] = "config-map-missing"
    title: ClassVar[str] = "a rollout that needs a ConfigMap which is not there"
    truth: ClassVar[Sequence[Blame]] = (Blame("config-map-missing", "Deployment"),)
    expected: ClassVar[Expected] = Expected(kept=("roll-back-deployment",))
    roles: ClassVar[Sequence[str]] = SERVED

    async def inject(self, ground: Ground) -> None:
        """Read all of it, or one key."""
        name = ground.shop.services[self.role]
        settings = f"{name}-{self.rng.choice(('settings', 'config', 'flags'))}"
        one_key = {"name": "FEATURES", "valueFrom": {"configMapKeyRef": {"name": settings, "key": "features"}}}
        ways: Sequence[Mapping[str, object]] = (
            {"envFrom": [{"configMapRef": {"name": settings}}]},
            {"env": [one_key]},
        )
        change = patch_container(self.rng.choice(ways))
        await ground.operator.patch("Deployment", ground.shop.namespace, name, change)
