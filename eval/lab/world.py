"""The model of the lab without any clock or socket: a cluster, a shop, its traffic and alerts, moved by ticks."""

import random
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from eval.lab import shop as shops
from eval.lab.alertmanager import Alertmanager, Notification
from eval.lab.deployments import DeploymentController, is_complete
from eval.lab.endpoints import EndpointsController
from eval.lab.faults import Faults
from eval.lab.garbage import GarbageCollector
from eval.lab.images import Registry
from eval.lab.kubelet import Kubelet
from eval.lab.metrics import Exporter
from eval.lab.query import QueryEngine
from eval.lab.quotas import QuotaController
from eval.lab.recorder import Recorder
from eval.lab.replicasets import ReplicaSetController
from eval.lab.rules import RuleEngine
from eval.lab.scheduler import Scheduler
from eval.lab.series import SeriesStore
from eval.lab.store import Store
from eval.lab.traffic import Traffic

SCRAPE_INTERVAL_S: Final = 5.0


class World(ABC):
    """Everything that happens is a function of the seed, of the ticks, and of what is written into the store.

    `wall` gives the time that objects and samples carry; `now_s` of a tick is the model's own time, which may run
    faster than the wall's by `pace`.
    """

    def __init__(self, seed: int, wall: Callable[[], datetime], pace: float = 1.0, senders: int = 1) -> None:
        rng = random.Random(seed)
        self.wall = wall
        self.began_at, self.pace = wall(), pace
        self.now_s = 0.0
        self.store = Store(rng, wall)
        self.faults = Faults()
        self.registry = Registry()
        self.shop = shops.design(rng)
        shops.push_images(self.shop, self.registry)
        shops.open_shop(self.store, self.shop)
        recorder = Recorder(self.store)
        self._garbage = GarbageCollector(self.store)
        self._deployments = DeploymentController(self.store, recorder)
        self._replica_sets = ReplicaSetController(self.store, recorder)
        self._quotas = QuotaController(self.store)
        self._scheduler = Scheduler(self.store, recorder)
        self.kubelet = Kubelet(self.store, recorder, self.registry)
        self._endpoints = EndpointsController(self.store)
        self.traffic = Traffic(rng, self.store, self.kubelet, self.shop)
        self.exporter = Exporter(self.store, self.kubelet, self.traffic, pace)
        self.series = SeriesStore()
        self.queries = QueryEngine(self.series)
        self.rules = RuleEngine(self.queries, pace)
        self.alertmanager = Alertmanager("http://prometheus.lab", senders)
        self._next_scrape_s = 0.0
        self._opened_s: float | None = None  # traffic waits until the shop first stands

    def tick(self, now_s: float) -> None:
        """Move everything to this moment of model time, in one step."""
        dt_s, self.now_s = now_s - self.now_s, now_s
        self._garbage.tick()
        self._deployments.tick(now_s)
        self._replica_sets.tick(now_s)
        self._quotas.tick()
        self._scheduler.tick(now_s)
        self.kubelet.tick(now_s)
        self._endpoints.tick()
        if self._opened_s is None:
            self._opened_s = now_s if self.complete() else None
            return
        self.traffic.tick(now_s, dt_s)
        if now_s >= self._next_scrape_s:
            self._next_scrape_s = now_s + SCRAPE_INTERVAL_S
            self._scrape()
        for notification in self.alertmanager.due(now_s):
            self.send(notification)

    @abstractmethod
    async def next_tick(self) -> None:
        """Return once the world has moved: whoever has its clock knows when."""

    @property
    def sampled_at(self) -> datetime:
        """The time that samples carry: the wall's, as it would be had no tick ever been late.

        On a busy machine the model lags; rates over the wall's own time would then sink, and nobody's load did.
        """
        return self.began_at + timedelta(seconds=self.now_s / self.pace)

    def _scrape(self) -> None:
        at = self.sampled_at
        self.series.scrape(at.timestamp(), self.exporter.samples(self.now_s))
        self.alertmanager.receive(self.rules.evaluate(self.now_s, at, self.wall()), self.now_s)

    def send(self, notification: Notification) -> None:
        """Without a receiver nobody is told, and nothing counts as delivered."""
        self.alertmanager.settle(notification, self.now_s)

    # -- what scenarios do and ask

    def break_node(self, name: str) -> None:
        """Make a node drop its pods' packets while it goes on reporting Ready. Raises ApiError 404."""
        self.store.get("Node", "", name)
        self.kubelet.broken_nodes.add(name)

    def mend_node(self, name: str) -> None:
        self.kubelet.broken_nodes.discard(name)

    def complete(self) -> bool:
        """Every Deployment is rolled out, and no pod is on its way out."""
        ending = any("deletionTimestamp" in pod["metadata"] for pod in self.store.all("Pod"))
        return not ending and all(is_complete(item) for item in self.store.all("Deployment"))

    def settled(self) -> bool:
        """Complete, in traffic for two scrapes, and no alert is pending or firing."""
        open_s = 0.0 if self._opened_s is None else self.now_s - self._opened_s
        return open_s > 2 * SCRAPE_INTERVAL_S and self.complete() and not self.rules.active

    def quiet(self) -> bool:
        """Settled, and Alertmanager has told everything it had to tell."""
        return self.settled() and self.alertmanager.idle
