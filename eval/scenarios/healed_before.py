"""An alert for something that healed already."""

from collections.abc import Sequence
from typing import ClassVar

from eval.ground import Ground, GroundName
from eval.scenarios.scenario import Blame, Expected, RightEnd, Scenario

LATE_S = 70.0
"""How late the notification comes."""
COMES_WITHIN_S = 400.0


class HealedBefore(Scenario):
    """Pods were killed and came back; the notification was slow."""

    name: ClassVar[str] = "healed-before"
    title: ClassVar[str] = "an alert for something that healed already"
    truth: ClassVar[Sequence[Blame]] = ()
    right_end: ClassVar[RightEnd] = RightEnd.UNTOUCHED
    expected: ClassVar[Expected] = Expected()
    roles: ClassVar[Sequence[str]] = ("edge",)

    async def inject(self, ground: Ground) -> None:
        """Kill the pods as they come up, until an alert fires; then let them come back before anybody is told."""
        name, namespace = ground.shop.services[self.role], ground.shop.namespace
        await ground.delay_alerts(LATE_S)

        async def kill_until_it_fires() -> bool:
            for pod in await ground.operator.list("Pod", namespace, labels=f"app={name}"):
                # One that does not run yet is left alone: to make pods and nothing else slows a whole small cluster.
                if pod["status"].get("phase") == "Running" and "deletionTimestamp" not in pod["metadata"]:
                    await ground.operator.delete("Pod", namespace, pod["metadata"]["name"])
            return bool(await ground.alerts())

        await ground.until(kill_until_it_fires, COMES_WITHIN_S)
        await ground.until(ground.complete, COMES_WITHIN_S)

    def distinct_alerts(self, on: GroundName) -> int:
        """The one that came late."""
        del on
        return 1

    async def recover(self, ground: Ground) -> None:
        """Let Alertmanager be prompt again."""
        await ground.delay_alerts(0)
