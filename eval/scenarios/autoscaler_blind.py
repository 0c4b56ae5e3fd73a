"""A load that outgrows a service whose autoscaler gets no measurements."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

from eval.ground import Ground, GroundName
from eval.scenarios.load_spike import LoadSpike
from eval.scenarios.scenario import Blame

NAME: Final = "by-cpu"


class AutoscalerBlind(LoadSpike):
    """The one who should have scaled says ScalingActive False, and nobody reads it.

    With pods that request no CPU it says the same; here it is that nobody serves metrics.k8s.io.
    """

    name: ClassVar[str] = "autoscaler-blind"
    title: ClassVar[str] = "a load that outgrows a service whose autoscaler gets no measurements"
    truth: ClassVar[Sequence[Blame]] = (Blame("autoscaler-blind", "HorizontalPodAutoscaler", NAME),)
    not_on: ClassVar[Mapping[GroundName, str]] = {"lab": "it does not model autoscalers"}

    async def prepare(self, ground: Ground) -> None:
        """Write it; nobody notices yet."""
        replicas = ground.shop.replicas[self.role]
        cpu = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}
        spec = {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": ground.shop.services[self.role]},
            "minReplicas": replicas,
            "maxReplicas": 3 * replicas,
            "metrics": [{"type": "Resource", "resource": cpu}],
        }
        meta = {"name": NAME, "namespace": ground.shop.namespace}
        await ground.operator.create("HorizontalPodAutoscaler", {"metadata": meta, "spec": spec})
