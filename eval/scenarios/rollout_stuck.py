"""A rollout whose new pods start and never get ready, until Kubernetes itself says that it does not go on."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

from eval.ground import Ground, GroundName
from eval.lab.shop import PORT
from eval.scenarios.scenario import SERVED, Blame, Expected, Scenario, patch_container

_DEADLINE_S: Final = 20
"""Shorter than a team's, and longer than a release of the shop takes: nobody wants to wait ten minutes."""
_STARTS_FOR_S: Final = 3600


class RolloutStuck(Scenario):
    """A release warms up before it listens, and somebody gave it an hour for that: nothing crashes, nothing fails."""

    name: ClassVar[str] = "rollout-stuck"
    title: ClassVar[str] = "a rollout whose new pods run and never get ready"
    truth: ClassVar[Sequence[Blame]] = (Blame("rollout-stuck", "Deployment"),)
    expected: ClassVar[Expected] = Expected(kept=("roll-back-deployment",))
    roles: ClassVar[Sequence[str]] = SERVED
    not_on: ClassVar[Mapping[GroundName, str]] = {"lab": "it does not model what an application does before it listens"}

    async def prepare(self, ground: Ground) -> None:
        """Let Kubernetes say early that a rollout does not go on."""
        deadline = {"spec": {"progressDeadlineSeconds": _DEADLINE_S}}
        await ground.operator.merge("Deployment", ground.shop.namespace, ground.shop.services[self.role], deadline)

    async def inject(self, ground: Ground) -> None:
        """Deploy it, with the patience of a kubelet that was told that it takes long."""
        change = patch_container(
            {
                "env": [{"name": "STARTUP_S", "value": str(_STARTS_FOR_S)}],
                "startupProbe": {
                    "httpGet": {"path": "/live", "port": PORT},
                    "periodSeconds": 5,
                    "failureThreshold": _STARTS_FOR_S // 5,
                },
            }
        )
        await ground.operator.patch("Deployment", ground.shop.namespace, ground.shop.services[self.role], change)
