"""Good releases of a service that ends at once when it is told to go: its users feel each of them."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

from eval.ground import SLOW, Ground, GroundName
from eval.oracles import Objects
from eval.scenarios.scenario import Blame, Expected, RightEnd, Scenario, patch_container, with_change

FELT: Final = 3
"""So many requests of users must fail, or nothing was shown."""
RELEASED_WITHIN_S: Final = 120.0
RELEASES_MOST: Final = 6


class AbruptShutdown(Scenario):
    """It was so before these releases and is so after them: whoever takes one back mends nothing, and breaks more."""

    name: ClassVar[str] = "abrupt-shutdown"
    title: ClassVar[str] = "good releases of a service that does not finish what it began"
    truth: ClassVar[Sequence[Blame]] = ()
    right_end: ClassVar[RightEnd] = RightEnd.UNTOUCHED
    expected: ClassVar[Expected] = Expected(incidents=0)
    roles: ClassVar[Sequence[str]] = ("edge",)
    not_on: ClassVar[Mapping[GroundName, str]] = {"lab": "it does not model how a process ends"}

    async def prepare(self, ground: Ground) -> None:
        """Let the service be one that ends at once."""
        await self._release(ground, {"name": "SHUTDOWN", "value": "abrupt"})

    async def inject(self, ground: Ground) -> None:
        """Release, until users have felt it. Raises TimeoutError if they never do."""
        before = await _failed(ground)
        for number in range(1, RELEASES_MOST + 1):
            await self._release(ground, {"name": "RELEASE", "value": str(number)})
            if await _failed(ground) >= before + FELT:
                break
        else:
            raise TimeoutError(f"{RELEASES_MOST} releases, and users felt nothing")
        self._namespace, self._name = ground.shop.namespace, ground.shop.services[self.role]
        self._template = (await ground.operator.get("Deployment", self._namespace, self._name))["spec"]["template"]

    def afterwards(self, before: Objects) -> Objects:
        """The releases were good: the last one stays."""
        return with_change(before, "Deployment", self._namespace, self._name, {"spec": {"template": self._template}})

    async def _release(self, ground: Ground, variable: Mapping[str, str]) -> None:
        name = ground.shop.services[self.role]
        await ground.operator.patch("Deployment", ground.shop.namespace, name, patch_container({"env": [variable]}))
        await ground.until(ground.complete, RELEASED_WITHIN_S)


async def _failed(ground: Ground) -> float:
    seen = await ground.users()
    return sum(count for outcome, count in seen.items() if not outcome.startswith("2") and outcome != SLOW)
