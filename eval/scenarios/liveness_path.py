"""A rollout whose liveness probe asks for a page that is not there."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from eval.ground import Ground, GroundName
from eval.lab.shop import PORT
from eval.scenarios.scenario import SERVED, Blame, Expected, Scenario, patch_container


class LivenessPath(Scenario):
    """The kubelet kills what is well, again and again."""

    name: ClassVar[str] = "liveness-path"
    title: ClassVar[str] = "a rollout whose liveness probe asks for a page that is not there"
    truth: ClassVar[Sequence[Blame]] = (Blame("liveness-probe-misconfigured", "Deployment"),)
    expected: ClassVar[Expected] = Expected(kept=("roll-back-deployment",))
    roles: ClassVar[Sequence[str]] = SERVED
    not_on: ClassVar[Mapping[GroundName, str]] = {"lab": "it does not model which pages an application has"}

    async def inject(self, ground: Ground) -> None:
        """Deploy it."""
        probe = {
            "httpGet": {"path": self.rng.choice(("/healthz", "/alive", "/status")), "port": PORT},
            "initialDelaySeconds": 2,
            "periodSeconds": 5,
            "failureThreshold": 2,
        }
        change = patch_container({"livenessProbe": probe})
        await ground.operator.patch("Deployment", ground.shop.namespace, ground.shop.services[self.role], change)
