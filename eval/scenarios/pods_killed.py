"""Pods of a service that somebody kills again and again."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import ClassVar, Final

from eval.ground import Ground
from eval.scenarios.scenario import SERVED, Blame, Expected, RightEnd, Scenario

KILL_EVERY_S: Final = 5.0
"""Shorter than a pod takes to be ready, so that there is hardly ever one."""


class PodsKilled(Scenario):
    """A script that was to clear up something else. It is not in the cluster, so only a person can end it."""

    name: ClassVar[str] = "pods-killed"
    title: ClassVar[str] = "pods of a service that somebody kills again and again"
    truth: ClassVar[Sequence[Blame]] = (Blame("pods-killed", "Deployment"),)
    right_end: ClassVar[RightEnd] = RightEnd.TOLD
    expected: ClassVar[Expected] = Expected()
    roles: ClassVar[Sequence[str]] = SERVED

    _killing: asyncio.Task[None] | None = None

    async def inject(self, ground: Ground) -> None:
        """Begin."""
        self._killing = asyncio.create_task(self._kill(ground))

    async def _kill(self, ground: Ground) -> None:
        namespace, operator = ground.shop.namespace, ground.operator
        while True:
            for pod in await operator.list("Pod", namespace, labels=f"app={ground.shop.services[self.role]}"):
                await operator.delete("Pod", namespace, pod["metadata"]["name"], grace_s=0)
            await ground.pass_s(KILL_EVERY_S)

    async def recover(self, ground: Ground) -> None:
        """End. Raises what the killing broke off with: then there was no fault."""
        del ground
        if self._killing is not None:
            self._killing.cancel()
            with suppress(asyncio.CancelledError):
                await self._killing
