"""A rollout that asks for more memory than its namespace may use."""

from collections.abc import Sequence
from typing import ClassVar, Final

from eval.ground import Ground
from eval.lab import quantity
from eval.scenarios.scenario import SERVED, Blame, Expected, Scenario, patch_container

QUOTA: Final = "team"
_ROOM: Final = 1.1
"""Of what is asked for now; a rollout's surge of one pod fits in beside it."""


class QuotaExceeded(Scenario):
    """A team has a quota with some room, and somebody asks for several times as much as before."""

    name: ClassVar[str] = "quota-exceeded"
    title: ClassVar[str] = "a rollout that asks for more memory than its namespace may use"
    truth: ClassVar[Sequence[Blame]] = (Blame("quota-exceeded", "Deployment"),)
    expected: ClassVar[Expected] = Expected(kept=("roll-back-deployment",))
    roles: ClassVar[Sequence[str]] = SERVED

    async def prepare(self, ground: Ground) -> None:
        """Let there be a quota."""
        namespace = ground.shop.namespace
        asked = sum(
            quantity.parse(container["resources"]["requests"]["memory"])
            for pod in await ground.operator.list("Pod", namespace)
            for container in pod["spec"]["containers"]
        )
        room = f"{round(asked * _ROOM / quantity.MIB)}Mi"
        body = {
            "metadata": {"name": QUOTA, "namespace": namespace},
            "spec": {"hard": {"requests.memory": room}},
        }
        await ground.operator.create("ResourceQuota", body)

    async def inject(self, ground: Ground) -> None:
        """Ask for so much that not even one pod of it fits."""
        mib = ground.shop.memory_mib[self.role] * self.rng.randint(6, 9)
        memory = {"limits": {"memory": f"{mib * 2}Mi"}, "requests": {"memory": f"{mib}Mi"}}
        await ground.operator.patch(
            "Deployment",
            ground.shop.namespace,
            ground.shop.services[self.role],
            patch_container({"resources": memory}),
        )
