"""A good release of another service while an incident is open."""

from collections.abc import Sequence
from typing import ClassVar

from eval.ground import Ground
from eval.oracles import Objects
from eval.scenarios.scenario import Blame, Expected, Scenario, patch_container, with_change

TOLD_WITHIN_S = 400.0


class GoodDeploy(Scenario):
    """Whoever takes the newest change for the cause takes back the wrong one."""

    name: ClassVar[str] = "good-deploy"
    title: ClassVar[str] = "a good release of another service while an incident is open"
    truth: ClassVar[Sequence[Blame]] = (Blame("service-target-port-mismatch", "Service"),)
    expected: ClassVar[Expected] = Expected(kept=("fix-service-port",))
    roles: ClassVar[Sequence[str]] = ("payment", "shipping")
    others: ClassVar[Sequence[str]] = ("cart", "catalog")

    async def inject(self, ground: Ground) -> None:
        """Break a port; when that is told, release something else."""
        namespace, operator = ground.shop.namespace, ground.operator
        service = await operator.get("Service", namespace, ground.shop.services[self.role])
        ports = [{**port, "targetPort": 9} for port in service["spec"]["ports"]]
        await operator.merge("Service", namespace, ground.shop.services[self.role], {"spec": {"ports": ports}})
        delivered = len(ground.deliveries)

        async def told() -> bool:
            return len(ground.deliveries) > delivered

        await ground.until(told, TOLD_WITHIN_S)
        release = patch_container({"env": [{"name": "LOG_LEVEL", "value": "debug"}]})
        await operator.patch("Deployment", namespace, ground.shop.services[self.other], release)
        self._released = ground.shop.services[self.other]
        self._namespace = namespace
        self._template = (await operator.get("Deployment", namespace, self._released))["spec"]["template"]

    def afterwards(self, before: Objects) -> Objects:
        """The release was good: it stays."""
        return with_change(
            before, "Deployment", self._namespace, self._released, {"spec": {"template": self._template}}
        )
