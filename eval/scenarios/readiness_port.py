"""A rollout whose readiness probe knocks at a port where nobody listens."""

from collections.abc import Sequence
from typing import ClassVar

from eval.ground import Ground
from eval.scenarios.scenario import SERVED, Blame, Expected, Scenario, patch_container


class ReadinessPort(Scenario):
    """The pods run, and never become ready."""

    name: ClassVar[str] = "readiness-port"
    title: ClassVar[str] = "a rollout whose readiness probe knocks at a port where nobody listens"
    truth: ClassVar[Sequence[Blame]] = (Blame("readiness-probe-misconfigured", "Deployment"),)
    expected: ClassVar[Expected] = Expected(kept=("roll-back-deployment",))
    roles: ClassVar[Sequence[str]] = SERVED

    async def inject(self, ground: Ground) -> None:
        """Deploy it."""
        probe = {"httpGet": {"port": self.rng.choice((80, 8000, 8081, 9090))}}
        await ground.operator.patch(
            "Deployment",
            ground.shop.namespace,
            ground.shop.services[self.role],
            patch_container({"readinessProbe": probe}),
        )
