"""A quota lowered below what its namespace uses: nobody notices until pods must be made anew."""

from collections.abc import Sequence
from typing import ClassVar

from eval.ground import Ground
from eval.lab import quantity
from eval.lab.kinds import Obj
from eval.scenarios.quota_exceeded import QUOTA
from eval.scenarios.scenario import SERVED, Blame, Expected, RightEnd, Scenario


class QuotaLowered(Scenario):
    """No manifest asks for more than before, and no revision for less: only who owns the quota can give more."""

    name: ClassVar[str] = "quota-lowered"
    title: ClassVar[str] = "a quota lowered below what is used, and pods that must be made anew"
    truth: ClassVar[Sequence[Blame]] = (Blame("quota-exceeded", "Deployment"),)
    right_end: ClassVar[RightEnd] = RightEnd.TOLD
    expected: ClassVar[Expected] = Expected()
    roles: ClassVar[Sequence[str]] = SERVED

    async def prepare(self, ground: Ground) -> None:
        """Let there be a quota with as much room again as is used."""
        used = sum(_memory(pod) for pod in await ground.operator.list("Pod", ground.shop.namespace))
        body = {
            "metadata": {"name": QUOTA, "namespace": ground.shop.namespace},
            "spec": {"hard": _hard(used * 2)},
        }
        await ground.operator.create("ResourceQuota", body)

    async def inject(self, ground: Ground) -> None:
        """Lower it, so that all fits but one service, whose pods are replaced then; others come back if they must."""
        namespace, operator = ground.shop.namespace, ground.operator
        pods = await operator.list("Pod", namespace)
        own = [pod for pod in pods if pod["metadata"]["labels"]["app"] == ground.shop.services[self.role]]
        room = max(_memory(pod) for pod in own) - quantity.MIB
        left = sum(_memory(pod) for pod in pods) - sum(_memory(pod) for pod in own)
        await operator.merge("ResourceQuota", namespace, QUOTA, {"spec": {"hard": _hard(left + room)}})
        for pod in own:
            await operator.delete("Pod", namespace, pod["metadata"]["name"])


def _hard(size_bytes: float) -> Obj:
    return {"requests.memory": f"{round(size_bytes / quantity.MIB)}Mi"}


def _memory(pod: Obj) -> float:
    """What it asks for, in bytes."""
    return sum(quantity.parse(each["resources"]["requests"]["memory"]) for each in pod["spec"]["containers"])
