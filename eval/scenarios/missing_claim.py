"""A rollout that mounts a volume claim which is not there."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from eval.ground import Ground, GroundName
from eval.scenarios.scenario import SERVED, Blame, Expected, Scenario, patch_pod

_MOUNT = {"name": "data", "mountPath": "/data"}


class MissingClaim(Scenario):
    """Nobody applied the manifest with the claim."""

    name: ClassVar[str] = "claim-missing"
    title: ClassVar[str] = "a rollout that mounts a volume claim which is not there"
    truth: ClassVar[Sequence[Blame]] = (Blame("volume-claim-missing", "Deployment"),)
    expected: ClassVar[Expected] = Expected(kept=("roll-back-deployment",))
    roles: ClassVar[Sequence[str]] = SERVED
    not_on: ClassVar[Mapping[GroundName, str]] = {"lab": "it does not model volumes"}

    async def inject(self, ground: Ground) -> None:
        """Deploy it."""
        claim = f"{ground.shop.services[self.role]}-data"
        volume = {"name": "data", "persistentVolumeClaim": {"claimName": claim}}
        change = patch_pod({"volumes": [volume], "containers": [{"name": "app", "volumeMounts": [_MOUNT]}]})
        await ground.operator.patch("Deployment", ground.shop.namespace, ground.shop.services[self.role], change)
