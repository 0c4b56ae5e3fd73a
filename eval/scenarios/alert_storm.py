"""Hundreds of alerts from one cause, with a second, unrelated fault in the middle of them."""

from collections.abc import Sequence
from typing import ClassVar

from eval.ground import Ground, GroundName
from eval.scenarios.scenario import Blame, Expected, Scenario, patch_container

TOLD_WITHIN_S = 400.0


class AlertStorm(Scenario):
    """What everything depends on loses its port; meanwhile something else is deployed wrongly."""

    name: ClassVar[str] = "alert-storm"
    title: ClassVar[str] = "hundreds of alerts from one cause, and a second fault in the middle of them"
    truth: ClassVar[Sequence[Blame]] = (
        Blame("service-target-port-mismatch", "Service"),
        Blame("image-pull-failed", "Deployment", "other"),
    )
    expected: ClassVar[Expected] = Expected(incidents=2, kept=("fix-service-port", "roll-back-deployment"))
    roles: ClassVar[Sequence[str]] = ("store",)
    others: ClassVar[Sequence[str]] = ("payment", "shipping")

    def distinct_alerts(self, on: GroundName) -> int:
        """A storm: the lab's users come by ten routes from four zones."""
        return 200 if on == "lab" else 10

    async def inject(self, ground: Ground) -> None:
        """Break the deepest dependency's port; when its storm is under way, deploy a wrong image elsewhere."""
        namespace, name = ground.shop.namespace, ground.shop.services[self.role]
        service = await ground.operator.get("Service", namespace, name)
        ports = [{**port, "targetPort": 9} for port in service["spec"]["ports"]]
        await ground.operator.merge("Service", namespace, name, {"spec": {"ports": ports}})
        delivered = len(ground.deliveries)

        async def one_more() -> bool:
            return len(ground.deliveries) > delivered

        await ground.until(one_more, TOLD_WITHIN_S)
        change = patch_container({"image": ground.shop.missing_image(self.other)})
        await ground.operator.patch("Deployment", namespace, ground.shop.services[self.other], change)
