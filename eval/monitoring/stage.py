"""The stage on which nothing but the cluster is the lab's: a real Prometheus watches it, real Alertmanagers tell."""

from dataclasses import replace
from typing import ClassVar

from eval.lab.rules import rules
from eval.monitoring.monitoring import Intervals, Monitoring, page, rules_file
from eval.stage import Stage

PACE = 10.0
"""Half the demo's: Prometheus then scrapes twice a second, every five seconds of the lab's time."""


class MonitoredStage(Stage):
    """`async with MonitoredStage(seed=1) as stage:`, as a Stage; `stage.monitoring` is what watches it."""

    pace: ClassVar[float] = PACE
    monitoring: Monitoring

    async def _watched(self) -> str:
        folder, written = self.data / "monitoring", rules_file(rules(self.pace), self.pace)
        # Slow gossip: the one of the pair does not hear in time what the other sent, so both deliver everything.
        intervals = replace(Intervals.at(self.pace), gossip_s=60.0)
        self.monitoring = Monitoring(folder, [page(self.lab.metrics_url)], written, intervals)
        await self._stack.enter_async_context(self.monitoring)
        return self.monitoring.url

    async def _told(self, token: str, *webhooks: str) -> None:
        await self.monitoring.tell(webhooks[0], token)
