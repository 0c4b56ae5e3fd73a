"""A rollout that adds a sidecar to a pod, where it listens on the port that the application has."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from eval.ground import Ground, GroundName
from eval.lab.shop import PORT
from eval.scenarios.scenario import SERVED, Blame, Expected, Scenario, patch_pod


class SidecarPort(Scenario):
    """The containers of a pod share one network: whichever comes second finds the port taken, and ends."""

    name: ClassVar[str] = "sidecar-port-conflict"
    title: ClassVar[str] = "a rollout that adds a sidecar, which listens on the application's port"
    truth: ClassVar[Sequence[Blame]] = (Blame("port-conflict", "Deployment"),)
    expected: ClassVar[Expected] = Expected(kept=("roll-back-deployment",))
    roles: ClassVar[Sequence[str]] = SERVED
    not_on: ClassVar[Mapping[GroundName, str]] = {"lab": "its containers do not share their pod's network"}

    async def inject(self, ground: Ground) -> None:
        """Deploy it with a sidecar that is an application of its own, and listens where it always does."""
        sidecar = {
            "name": self.rng.choice(("proxy", "agent", "exporter")),
            "image": ground.shop.image("quiet"),
            "ports": [{"name": "sidecar", "containerPort": PORT}],
            "resources": {
                "requests": {"cpu": "15m", "memory": "32Mi"},
                "limits": {"cpu": "100m", "memory": "64Mi"},
            },
        }
        change = patch_pod({"containers": [sidecar]})
        await ground.operator.patch("Deployment", ground.shop.namespace, ground.shop.services[self.role], change)
