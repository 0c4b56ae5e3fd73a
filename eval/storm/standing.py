"""The drawn cluster as a running thing: the lab's API and Prometheus over HTTP, and metrics that go on."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Final

from eval.kubeconfig import write_kubeconfig
from eval.lab import prometheus
from eval.lab.api import Api
from eval.lab.faults import Faults
from eval.lab.lab import TOKEN
from eval.lab.query import QueryEngine
from eval.lab.series import Sample, SeriesStore, labels
from eval.lab.store import Store
from eval.storm.cluster import Cluster, Where, Workload, plant, plant_workload, uproot
from shared.adapters.system import SystemClock
from shared.testing.http_server import serving

WINDOW_S: Final = 3
_SCRAPE_EVERY_S: Final = 0.25
_BEFORE: Final = 40
"""Scrapes before anybody looks."""
_RPS: Final = 200.0
_CODES: Final = ("200", "503")


class Standing:
    """A cluster that changes only when it is told to."""

    def __init__(self, cluster: Cluster, rng: random.Random) -> None:
        self.cluster = cluster
        self.store = Store(rng, _now)
        self.error_ratios: Mapping[Where, float] = dict.fromkeys(cluster.workloads, 0.0)
        self.url = ""
        self._series = SeriesStore()
        self._totals = {(where, code): 0.0 for where in cluster.workloads for code in _CODES}
        plant(cluster, self.store)

    @property
    def prometheus_url(self) -> str:
        return self.url + prometheus.PREFIX

    def kubeconfig(self, path: Path) -> Path:
        """Write a kubeconfig that opens it."""
        return write_kubeconfig(path, self.url, {"token": TOKEN}, context="lab")

    def fail(self, error_ratios: Mapping[Where, float]) -> None:
        """Let requests fail from now on, and scrape it: whoever fires an alert has seen it in Prometheus before."""
        self.error_ratios = error_ratios
        self._scrape(_now().timestamp())

    def add(self, workload: Workload) -> None:
        """Deploy one more, well, with its traffic; its namespace and its nodes are there."""
        plant_workload(self.store, workload)
        self.error_ratios = {**self.error_ratios, workload.where: 0.0}

    def remove(self, workload: Workload) -> None:
        """Take one away; Prometheus forgets it."""
        uproot(self.store, workload)
        self.error_ratios = {where: ratio for where, ratio in self.error_ratios.items() if where != workload.where}
        for code in _CODES:
            self._totals.pop((workload.where, code), None)

    def api(self) -> Api:
        """Make its API, with Prometheus beside it."""
        routes = prometheus.routes(QueryEngine(self._series), self._samples, _now)
        return Api(self.store, Faults(), TOKEN, lambda _pod, _query: "", routes)

    async def scrape_for_ever(self) -> None:
        """Count requests and their failures, from some time before now on."""
        clock, now_s = SystemClock(), _now().timestamp()
        for step in range(_BEFORE, 0, -1):
            self._scrape(now_s - step * _SCRAPE_EVERY_S)
        while True:
            self._scrape(_now().timestamp())
            await clock.sleep(_SCRAPE_EVERY_S)

    def _scrape(self, at_s: float) -> None:
        for where, ratio in self.error_ratios.items():
            for code, share in zip(_CODES, (1 - ratio, ratio), strict=True):
                counted = self._totals.get((where, code), 0.0)
                self._totals[where, code] = counted + _RPS * _SCRAPE_EVERY_S * share
        self._series.scrape(at_s, self._samples())

    def _samples(self) -> Iterator[Sample]:
        for ((namespace, service), code), total in self._totals.items():
            yield "http_requests_total", labels(namespace=namespace, service=service, code=code), total


@asynccontextmanager
async def standing(cluster: Cluster, rng: random.Random) -> AsyncIterator[Standing]:
    """Serve a cluster until the block ends."""
    made = Standing(cluster, rng)
    api = made.api()
    scraping = asyncio.create_task(made.scrape_for_ever())
    try:
        async with serving(api.app) as made.url:
            try:
                yield made
            finally:
                api.close()
    finally:
        scraping.cancel()
        await asyncio.gather(scraping, return_exceptions=True)


def _now() -> datetime:
    return SystemClock().now()
