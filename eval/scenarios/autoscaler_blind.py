"""A load that outgrows a service whose autoscaler gets no measurements."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

from eval.ground import Ground, GroundName
from eval.oracles import AT_LEAST, Objects
from eval.scenarios.scenario import Blame, Expected, Scenario, with_change

NAME: Final = "by-cpu"


class AutoscalerBlind(Scenario):
    """The one who should have scaled says ScalingActive False, and nobody reads it.

    With pods that request no CPU it says the same; here it is that nobody serves metrics.k8s.io.
    """

    name: ClassVar[str] = "autoscaler-blind"
    title: ClassVar[str] = "a load that outgrows a service whose autoscaler gets no measurements"
    truth: ClassVar[Sequence[Blame]] = (Blame("autoscaler-blind", "HorizontalPodAutoscaler", NAME),)
    expected: ClassVar[Expected] = Expected(kept=("scale-deployment",))
    roles: ClassVar[Sequence[str]] = ("payment", "shipping", "store")
    not_on: ClassVar[Mapping[GroundName, str]] = {"lab": "it does not model autoscalers"}

    async def prepare(self, ground: Ground) -> None:
        """Write it; nobody notices yet."""
        self._namespace, self._name = ground.shop.namespace, ground.shop.services[self.role]
        replicas = ground.shop.replicas[self.role]
        cpu = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}
        spec = {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": self._name},
            "minReplicas": replicas,
            "maxReplicas": 3 * replicas,
            "metrics": [{"type": "Resource", "resource": cpu}],
        }
        meta = {"name": NAME, "namespace": self._namespace}
        await ground.operator.create("HorizontalPodAutoscaler", {"metadata": meta, "spec": spec})

    async def inject(self, ground: Ground) -> None:
        """Let more users come."""
        await ground.surge(self.role, self.rng.uniform(2.3, 2.7))

    def afterwards(self, before: Objects) -> Objects:
        """The replicas are more than there were."""
        key = ("Deployment", self._namespace, self._name)
        more = {"spec": {"replicas": {AT_LEAST: before[key]["spec"]["replicas"] + 1}}}
        return with_change(before, *key, more)

    async def recover(self, ground: Ground) -> None:
        """Let them go."""
        await ground.surge(self.role, 1.0)
