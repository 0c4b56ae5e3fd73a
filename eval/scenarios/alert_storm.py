"""Hundreds of alerts from one cause, with a second, unrelated fault in the middle of them."""

from collections.abc import Sequence
from typing import ClassVar

from eval.lab.lab import Lab
from eval.scenarios.scenario import Expected, Scenario, patch_container


class AlertStorm(Scenario):
    """What everything depends on loses its port; meanwhile something else is deployed wrongly."""

    name: ClassVar[str] = "alert-storm"
    title: ClassVar[str] = "hundreds of alerts from one cause, and a second fault in the middle of them"
    expected: ClassVar[Expected] = Expected(
        incidents=2, kept=("fix-service-port", "roll-back-deployment"), distinct_alerts=200
    )
    roles: ClassVar[Sequence[str]] = ("store",)
    others: ClassVar[Sequence[str]] = ("payment", "shipping")

    async def inject(self, lab: Lab) -> None:
        """Break the deepest dependency's port; when its storm is under way, deploy a wrong image elsewhere."""
        namespace, name = lab.shop.namespace, lab.shop.services[self.role]
        ports = [{**port, "targetPort": 9} for port in lab.store.get("Service", namespace, name)["spec"]["ports"]]
        lab.store.patch("Service", namespace, name, {"spec": {"ports": ports}})
        delivered = len(lab.alertmanager.deliveries)
        await lab.until(lambda: len(lab.alertmanager.deliveries) > delivered, timeout_s=20)
        change = patch_container({"image": lab.shop.missing_image(self.other)})
        lab.store.patch_strategic("Deployment", namespace, lab.shop.services[self.other], change)
