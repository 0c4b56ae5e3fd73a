"""A Service that serves another port than its callers dial."""

from collections.abc import Sequence
from typing import ClassVar

from eval.ground import Ground
from eval.scenarios.scenario import Blame, Expected, Scenario


class WrongServicePort(Scenario):
    """Somebody tidies up port numbers, and not the addresses that others have."""

    name: ClassVar[str] = "wrong-service-port"
    title: ClassVar[str] = "a Service that serves another port than its callers dial"
    truth: ClassVar[Sequence[Blame]] = (Blame("service-port-mismatch", "Service"),)
    expected: ClassVar[Expected] = Expected(kept=("serve-dialled-port",))
    roles: ClassVar[Sequence[str]] = ("cart", "catalog", "checkout", "payment", "shipping", "orders", "store")

    async def inject(self, ground: Ground) -> None:
        """Serve another one."""
        namespace, name = ground.shop.namespace, ground.shop.services[self.role]
        service = await ground.operator.get("Service", namespace, name)
        other = self.rng.choice((80, 8081, 9090))
        ports = [{**port, "port": other} for port in service["spec"]["ports"]]
        await ground.operator.merge("Service", namespace, name, {"spec": {"ports": ports}})
