"""A rollout with a memory limit above what its namespace allows a container."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from eval.ground import Ground, GroundName
from eval.scenarios.scenario import SERVED, Blame, Expected, Scenario, patch_container

_MOST = 4


class LimitRange(Scenario):
    """A team has a LimitRange, and somebody asks for more."""

    name: ClassVar[str] = "limit-range-exceeded"
    title: ClassVar[str] = "a rollout with a memory limit above what its namespace allows a container"
    truth: ClassVar[Sequence[Blame]] = (Blame("limit-range-exceeded", "Deployment"),)
    expected: ClassVar[Expected] = Expected(kept=("roll-back-deployment",))
    roles: ClassVar[Sequence[str]] = SERVED
    not_on: ClassVar[Mapping[GroundName, str]] = {"lab": "it does not model LimitRanges"}

    async def prepare(self, ground: Ground) -> None:
        """Let there be a limit to limits."""
        most = f"{max(ground.shop.memory_mib.values()) * _MOST}Mi"
        body = {
            "metadata": {"name": "team", "namespace": ground.shop.namespace},
            "spec": {"limits": [{"type": "Container", "max": {"memory": most}}]},
        }
        await ground.operator.create("LimitRange", body)

    async def inject(self, ground: Ground) -> None:
        """Ask for it."""
        memory = f"{max(ground.shop.memory_mib.values()) * _MOST * 2}Mi"
        change = patch_container({"resources": {"limits": {"memory": memory}}})
        await ground.operator.patch("Deployment", ground.shop.namespace, ground.shop.services[self.role], change)
