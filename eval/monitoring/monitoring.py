"""A real Prometheus, and a highly available pair of real Alertmanagers that tell a webhook."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlsplit

import httpx
import yaml

from eval.lab.alertmanager import GROUP_BY, GROUP_INTERVAL_S, GROUP_WAIT_S, RECEIVER
from eval.lab.rules import Rule
from eval.lab.world import SCRAPE_INTERVAL_S
from eval.monitoring.program import Program
from eval.ports import free_ports
from shared.adapters.system import SystemClock

PROGRAMS: Final = ("prometheus", "prometheus-alertmanager", "promtool")
CLUSTER: Final = "lab"
Job = Mapping[str, Any]
"""One entry of `scrape_configs`."""
PAIR_WITHIN_S: Final = 30.0
_LOOK_EVERY_S: Final = 0.05


@dataclass(frozen=True)
class Intervals:
    """How often things happen, in seconds of the wall."""

    scrape_s: float
    group_wait_s: float
    group_interval_s: float
    gossip_s: float = 0.2
    """How long the one of the pair may not have heard what the other sent: beyond the wait both of them send."""

    @classmethod
    def at(cls, pace: float) -> "Intervals":
        """Those of the lab's own Prometheus and Alertmanager: the same in model time, so `pace` times as often."""
        return cls(SCRAPE_INTERVAL_S / pace, GROUP_WAIT_S / pace, GROUP_INTERVAL_S / pace)


def duration(seconds: float) -> str:
    """As Prometheus writes it: it knows no fractions."""
    return f"{round(seconds * 1000)}ms"


@dataclass(frozen=True)
class Recorded:
    """One recording rule: a series that is computed, and kept under a name."""

    record: str
    expr: str
    labels: Mapping[str, str]


def rules_file(rules: Sequence[Rule], pace: float, recorded: Sequence[Recorded] = ()) -> str:
    """The rules as a file; `for` is model time, as the lab's own engine takes it.

    What is recorded comes first: rules of one group are evaluated in order.
    """
    kept = [{"record": each.record, "expr": each.expr, "labels": dict(each.labels)} for each in recorded]
    written = [
        {
            "alert": rule.alert,
            "expr": rule.expr,
            "for": duration(rule.for_s / pace),
            "labels": {"severity": rule.severity, **rule.labels},
            "annotations": {"summary": rule.summary, "description": rule.description},
        }
        for rule in rules
    ]
    return yaml.safe_dump({"groups": [{"name": "lab", "rules": [*kept, *written]}]}, sort_keys=False)


def page(metrics_url: str, name: str = CLUSTER) -> Job:
    """The job that scrapes one page of an exporter, which says itself what its series are about."""
    target = urlsplit(metrics_url)
    return {
        "job_name": name,
        "honor_labels": True,  # as for kube-state-metrics: the namespace is the object's
        "metrics_path": target.path,
        "static_configs": [{"targets": [target.netloc]}],
    }


class Monitoring:
    """`async with Monitoring(folder, jobs, rules_file, intervals)`: Prometheus runs; `tell` starts the pair.

    `cluster` is what all alerts say that they are from. Raises ProgramDidNotStart.
    """

    def __init__(
        self, folder: Path, jobs: Sequence[Job], rules: str, intervals: Intervals, cluster: str = CLUSTER
    ) -> None:
        self._folder, self._jobs, self._rules, self.intervals = folder, jobs, rules, intervals
        self._cluster = cluster
        self._stack = AsyncExitStack()
        self._clock = SystemClock()
        self._ports = free_ports(5)
        at, *_ = self._ports
        self.url = f"http://127.0.0.1:{at}"
        self.prometheus = Program("prometheus", self._prometheus_arguments(at), self.url, folder)
        self.alertmanagers: tuple[Program, ...] = ()
        self.http = httpx.AsyncClient(trust_env=False, timeout=5)

    async def __aenter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / "rules.yml").write_text(self._rules)
        (self._folder / "prometheus.yml").write_text(yaml.safe_dump(self._prometheus_config()))
        self._stack.push_async_callback(self.http.aclose)
        try:
            await self._stack.enter_async_context(self.prometheus)
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def tell(self, webhook: str, token: str) -> None:
        """Start the pair, which sends to this webhook, and return once each has found the other."""
        config = self._folder / "alertmanager.yml"
        config.write_text(yaml.safe_dump(self._alertmanager_config(webhook, token)))
        _, *ports = self._ports
        webs, gossips = ports[:2], ports[2:]
        self.alertmanagers = tuple(
            Program(
                f"alertmanager-{number}",
                self._alertmanager_arguments(config, number, webs[number], gossips[number], gossips[1 - number]),
                f"http://127.0.0.1:{webs[number]}",
                self._folder,
            )
            for number in range(2)
        )
        for each in self.alertmanagers:
            await self._stack.enter_async_context(each)
        async with asyncio.timeout(PAIR_WITHIN_S):
            while not all([await self._is_paired(each) for each in self.alertmanagers]):
                await self._clock.sleep(_LOOK_EVERY_S)

    async def _is_paired(self, alertmanager: Program) -> bool:
        cluster = (await self.http.get(f"{alertmanager.url}/api/v2/status")).json()["cluster"]
        return cluster["status"] == "ready" and len(cluster.get("peers", ())) == len(self.alertmanagers)

    async def firing(self) -> Sequence[Mapping[str, Any]]:
        """The alerts that Prometheus holds, pending ones too."""
        found: Sequence[Mapping[str, Any]] = (await self.http.get(f"{self.url}/api/v1/alerts")).json()["data"]["alerts"]
        return found

    async def targets(self) -> Sequence[Mapping[str, Any]]:
        """What Prometheus scrapes, each with its labels and its health: up, down, or unknown before the first time."""
        answer = await self.http.get(f"{self.url}/api/v1/targets", params={"state": "active"})
        found: Sequence[Mapping[str, Any]] = answer.json()["data"]["activeTargets"]
        return found

    async def count(self, alertmanager: int, metric: str, **labels: str) -> float:
        """What one of the pair says of itself on /metrics: the sum of a metric's series that have these labels."""
        text = (await self.http.get(f"{self.alertmanagers[alertmanager].url}/metrics")).text
        wanted = [f"{name}={json.dumps(value)}" for name, value in labels.items()]
        lines = [line for line in text.splitlines() if line.startswith((f"{metric} ", f"{metric}{{"))]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if all(each in line for each in wanted))

    # --- what they are told

    def _prometheus_arguments(self, port: int) -> Sequence[str]:
        return (
            "prometheus",
            f"--config.file={self._folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self._folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            f"--web.external-url=http://127.0.0.1:{port}",
            f"--rules.alert.resend-delay={duration(2 * self.intervals.scrape_s)}",
            "--log.level=warn",
        )

    def _prometheus_config(self) -> Mapping[str, Any]:
        scrape = duration(self.intervals.scrape_s)
        _, one, other, *_ = self._ports
        pair = [f"127.0.0.1:{one}", f"127.0.0.1:{other}"]
        return {
            "global": {
                "scrape_interval": scrape,
                "scrape_timeout": scrape,
                "evaluation_interval": scrape,
                "external_labels": {"cluster": self._cluster},
            },
            "rule_files": ["rules.yml"],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": pair}]}]},
            "scrape_configs": list(self._jobs),
        }

    def _alertmanager_arguments(self, config: Path, number: int, port: int, gossip: int, peer: int) -> Sequence[str]:
        return (
            "prometheus-alertmanager",
            f"--config.file={config}",
            f"--storage.path={self._folder / f'alertmanager-{number}'}",
            f"--web.listen-address=127.0.0.1:{port}",
            f"--web.external-url=http://127.0.0.1:{port}",
            f"--cluster.listen-address=127.0.0.1:{gossip}",
            f"--cluster.advertise-address=127.0.0.1:{gossip}",
            f"--cluster.peer=127.0.0.1:{peer}",
            f"--cluster.gossip-interval={duration(self.intervals.gossip_s)}",
            # With no wait for the other one both send, as they do when the gossip between them is slow.
            "--cluster.peer-timeout=0s",
            "--cluster.settle-timeout=2s",
            "--log.level=debug",
        )

    def _alertmanager_config(self, webhook: str, token: str) -> Mapping[str, Any]:
        return {
            "route": {
                "receiver": RECEIVER,
                "group_by": list(GROUP_BY),
                "group_wait": duration(self.intervals.group_wait_s),
                "group_interval": duration(self.intervals.group_interval_s),
                "repeat_interval": "4h",
            },
            "receivers": [
                {
                    "name": RECEIVER,
                    "webhook_configs": [
                        {
                            "url": webhook,
                            "send_resolved": True,
                            "http_config": {"authorization": {"credentials": token}},
                        }
                    ],
                }
            ],
        }
