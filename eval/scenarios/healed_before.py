"""An alert for something that healed already."""

from collections.abc import Sequence
from typing import ClassVar

from eval.lab.lab import Lab
from eval.scenarios.scenario import Expected, Scenario

LATE_S = 70.0
"""Of the lab's time: how late the notification comes."""


class HealedBefore(Scenario):
    """Pods were killed and came back; the notification was slow."""

    name: ClassVar[str] = "healed-before"
    title: ClassVar[str] = "an alert for something that healed already"
    expected: ClassVar[Expected] = Expected()
    roles: ClassVar[Sequence[str]] = ("edge",)

    async def inject(self, lab: Lab) -> None:
        """Kill the pods until an alert fires, then let them come back before anybody is told."""
        name, namespace = lab.shop.services[self.role], lab.shop.namespace
        lab.alertmanager.hold({"namespace": namespace}, LATE_S)

        def kill_until_it_fires() -> bool:
            for pod in lab.store.list("Pod", namespace):
                if pod["metadata"]["labels"].get("app") == name and "deletionTimestamp" not in pod["metadata"]:
                    lab.store.delete("Pod", namespace, pod["metadata"]["name"])
            return any(alert.firing for alert in lab.rules.active.values())

        await lab.until(kill_until_it_fires, timeout_s=20)
        await lab.until(lab.complete, timeout_s=20)

    async def recover(self, lab: Lab) -> None:
        """Let Alertmanager be prompt again."""
        lab.alertmanager.release()
