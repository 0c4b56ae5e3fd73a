"""The ground on which nothing but the cluster is the lab's: a real Prometheus watches it, real Alertmanagers tell."""

import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from eval.ground import Settings
from eval.lab.lab import Lab, LabSettings
from eval.lab.rules import rules
from eval.lab_ground import LabGround
from eval.monitoring.monitoring import Intervals, Monitoring, page, rules_file
from eval.operator import Operator, operating

PACE = 10.0
"""Half the demo's: Prometheus then scrapes twice a second, every five seconds of the lab's time."""


class MonitoredGround(LabGround):
    """A lab, and `monitoring`, which watches it."""

    def __init__(self, lab: Lab, operator: Operator, monitoring: Monitoring) -> None:
        super().__init__(lab, operator)
        self.monitoring = monitoring

    async def settings(self, folder: Path) -> Settings:
        told = await super().settings(folder)
        return replace(told, everywhere={**told.everywhere, "PRIMUM_PROMETHEUS_URL": self.monitoring.url})

    async def tell(self, token: str, webhooks: Sequence[str]) -> None:
        await self.monitoring.tell(webhooks[0], token)


@asynccontextmanager
async def monitored_ground(seed: int) -> AsyncIterator[MonitoredGround]:
    """Open a lab, its Prometheus and its Alertmanagers. Raises ProgramDidNotStart."""
    # Slow gossip: the one of the pair does not hear in time what the other sent, so both deliver everything.
    intervals = replace(Intervals.at(PACE), gossip_s=60.0)
    written = rules_file(rules(PACE), PACE)
    with tempfile.TemporaryDirectory(prefix="primum-lab-", ignore_cleanup_errors=True) as made:
        folder = Path(made)
        async with (
            Lab(LabSettings(seed=seed, pace=PACE, senders=2)) as lab,
            operating(lab.kubeconfig(folder / "admin")) as operator,
            Monitoring(folder / "monitoring", [page(lab.metrics_url)], written, intervals) as monitoring,
        ):
            yield MonitoredGround(lab, operator, monitoring)
