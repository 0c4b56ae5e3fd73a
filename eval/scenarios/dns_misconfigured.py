"""A cluster's DNS that was told to serve another zone."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

from eval.ground import Ground, GroundName
from eval.lab.shop import Shop
from eval.operator import Operator
from eval.oracles import Key
from eval.scenarios.scenario import SERVED, Blame, Expected, RightEnd, Scenario

NAMESPACE: Final = "kube-system"
NAME: Final = "coredns"
PODS: Final = "k8s-app=kube-dns"
RIGHT: Final = "kubernetes cluster.local"
WRONG: Final = "kubernetes cluster.locale"


class DnsMisconfigured(Scenario):
    """Somebody edits the Corefile and restarts CoreDNS: its pods are well, and no name of a Service is found.

    A ConfigMap remembers nothing of what it was: a person has to say what it must be.
    """

    name: ClassVar[str] = "dns-misconfigured"
    title: ClassVar[str] = "a cluster's DNS that was told to serve another zone"
    truth: ClassVar[Sequence[Blame]] = (Blame("dns-misconfigured", "ConfigMap", NAME),)
    right_end: ClassVar[RightEnd] = RightEnd.TOLD
    expected: ClassVar[Expected] = Expected()
    roles: ClassVar[Sequence[str]] = SERVED
    not_on: ClassVar[Mapping[GroundName, str]] = {"lab": "it has no DNS"}

    async def inject(self, ground: Ground) -> None:
        """Change it, and restart."""
        await _write(ground.operator, RIGHT, WRONG)
        await _restart(ground.operator)

    async def recover(self, ground: Ground) -> None:
        """Change it back, and restart, or the next scenario finds the pods of this one."""
        if await _write(ground.operator, WRONG, RIGHT):
            await _restart(ground.operator)

    def at_fault(self, blame: Blame, shop: Shop) -> Key:
        """It is none of the shop's objects."""
        del shop
        return blame.kind, NAMESPACE, blame.of


async def _write(operator: Operator, old: str, new: str) -> bool:
    """Write one word for another into the Corefile, and return whether it was there."""
    corefile: str = (await operator.get("ConfigMap", NAMESPACE, NAME))["data"]["Corefile"]
    if f"{old}\n" not in corefile:
        return False
    changed = corefile.replace(f"{old}\n", f"{new}\n")
    await operator.merge("ConfigMap", NAMESPACE, NAME, {"data": {"Corefile": changed}})
    return True


async def _restart(operator: Operator) -> None:
    for pod in await operator.list("Pod", NAMESPACE, labels=PODS):
        await operator.delete("Pod", NAMESPACE, pod["metadata"]["name"])
