"""What goes on beside a fault and has nothing to do with it."""

import random
from collections.abc import Mapping
from typing import Final, Protocol

from eval.ground import Ground
from eval.scenarios.scenario import SERVED, Scenario, patch_container

KILL_EVERY_S: Final = 40.0
RELEASED_WITHIN_S: Final = 400.0


class Noise(Protocol):
    """Something harmless."""

    async def before(self, ground: Ground, role: str) -> None:
        """Make what is over when the fault comes."""

    async def beside(self, ground: Ground, role: str) -> None:
        """Go on with it until it is cancelled."""


class Silence:
    """Nothing."""

    async def before(self, ground: Ground, role: str) -> None:
        del ground, role

    async def beside(self, ground: Ground, role: str) -> None:
        del ground, role


class Release:
    """Somebody has just released another service: the first suspect of everybody who looks at times alone."""

    async def before(self, ground: Ground, role: str) -> None:
        change = patch_container({"env": [{"name": "LOG_LEVEL", "value": "debug"}]})
        await ground.operator.patch("Deployment", ground.shop.namespace, ground.shop.services[role], change)
        await ground.until(ground.complete, RELEASED_WITHIN_S)

    async def beside(self, ground: Ground, role: str) -> None:
        del ground, role


class Evictions:
    """Another service's pods are evicted one after the other, as an autoscaler does that tidies up."""

    async def before(self, ground: Ground, role: str) -> None:
        del ground, role

    async def beside(self, ground: Ground, role: str) -> None:
        namespace, name = ground.shop.namespace, ground.shop.services[role]
        while True:
            pods = await ground.operator.list("Pod", namespace, labels=f"app={name}")
            oldest = min(pods, key=lambda pod: str(pod["metadata"]["creationTimestamp"]), default=None)
            if oldest is not None:
                await ground.operator.delete("Pod", namespace, oldest["metadata"]["name"])
            await ground.pass_s(KILL_EVERY_S)


SILENCE: Final = Silence()
NOISES: Final[Mapping[str, Noise]] = {"": SILENCE, "release": Release(), "evictions": Evictions()}
"""By name, in the order in which variants get them."""


def bystander(scenario: Scenario, rng: random.Random) -> str:
    """Draw a role that the scenario does not break."""
    return rng.choice([role for role in SERVED if role not in (scenario.role, scenario.other)])
