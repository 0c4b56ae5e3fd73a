"""A Service that sends its requests to a port where nobody listens."""

from collections.abc import Sequence
from typing import ClassVar

from eval.ground import Ground
from eval.scenarios.scenario import SERVED, Blame, Expected, Scenario


class WrongPort(Scenario):
    """Somebody mistypes a target port."""

    name: ClassVar[str] = "wrong-port"
    title: ClassVar[str] = "a Service that sends its requests to a port where nobody listens"
    truth: ClassVar[Sequence[Blame]] = (Blame("service-target-port-mismatch", "Service"),)
    expected: ClassVar[Expected] = Expected(kept=("fix-service-port",))
    roles: ClassVar[Sequence[str]] = SERVED

    async def inject(self, ground: Ground) -> None:
        """Send them elsewhere."""
        namespace, name = ground.shop.namespace, ground.shop.services[self.role]
        service = await ground.operator.get("Service", namespace, name)
        wrong = self.rng.choice((80, 8000, 8081, 9090))
        ports = [{**port, "targetPort": wrong} for port in service["spec"]["ports"]]
        await ground.operator.merge("Service", namespace, name, {"spec": {"ports": ports}})
