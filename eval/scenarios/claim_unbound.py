"""A rollout that mounts a volume claim of a storage class that is not there."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from eval.ground import Ground, GroundName
from eval.scenarios.scenario import SERVED, Blame, Expected, Scenario, patch_pod

_MOUNT = {"name": "data", "mountPath": "/data"}


class ClaimUnbound(Scenario):
    """The class was called so in another cluster."""

    name: ClassVar[str] = "claim-unbound"
    title: ClassVar[str] = "a rollout that mounts a volume claim of a storage class that is not there"
    truth: ClassVar[Sequence[Blame]] = (Blame("volume-claim-unbound", "Deployment"),)
    expected: ClassVar[Expected] = Expected(kept=("roll-back-deployment",))
    roles: ClassVar[Sequence[str]] = SERVED
    not_on: ClassVar[Mapping[GroundName, str]] = {"lab": "it does not model volumes"}

    async def prepare(self, ground: Ground) -> None:
        """Let the claim be there; it harms nobody who does not mount it."""
        body = {
            "metadata": {"name": self._claim(ground), "namespace": ground.shop.namespace},
            "spec": {
                "storageClassName": "fast-ssd",
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Gi"}},
            },
        }
        await ground.operator.create("PersistentVolumeClaim", body)

    def _claim(self, ground: Ground) -> str:
        return f"{ground.shop.services[self.role]}-data"

    async def inject(self, ground: Ground) -> None:
        """Deploy it."""
        volume = {"name": "data", "persistentVolumeClaim": {"claimName": self._claim(ground)}}
        change = patch_pod({"volumes": [volume], "containers": [{"name": "app", "volumeMounts": [_MOUNT]}]})
        await ground.operator.patch("Deployment", ground.shop.namespace, ground.shop.services[self.role], change)
