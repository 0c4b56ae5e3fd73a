"""The world on virtual time: a minute of the model in milliseconds, the same every time. For tests and simulations."""

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from eval.lab.alertmanager import Notification
from eval.lab.kinds import Obj
from eval.lab.world import World

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)


class NeverHappenedError(Exception):
    """What was waited for did not come within the model time given."""


class Rehearsal(World):
    """A world whose wall clock is its model clock. `notifications` holds what a receiver would have got."""

    def __init__(self, seed: int = 1, senders: int = 1, step_s: float = 1.0) -> None:
        self._clock_s = 0.0
        self._step_s = step_s
        self.notifications: list[Notification] = []
        super().__init__(seed, lambda: BEGINNING + timedelta(seconds=self._clock_s), pace=1.0, senders=senders)

    def send(self, notification: Notification) -> None:
        self.notifications.append(notification)
        super().send(notification)

    def run(self, seconds: float) -> None:
        """Let this much model time pass."""
        ends = self._clock_s + seconds
        while self._clock_s < ends:
            self._clock_s += self._step_s
            self.tick(self._clock_s)

    async def next_tick(self) -> None:
        self.run(self._step_s)
        await asyncio.sleep(0)  # noqa: TID251 - it waits for nothing: whoever does something meanwhile has a turn

    def until(self, predicate: Callable[[], bool], within_s: float = 300.0) -> float:
        """Let time pass until the predicate holds; return how long that took. Raises NeverHappenedError."""
        began = self._clock_s
        while not predicate():
            if self._clock_s - began >= within_s:
                raise NeverHappenedError(f"not within {within_s:.0f} s of model time; firing: {dict(self.firing())}")
            self.run(self._step_s)
        return self._clock_s - began

    def firing(self) -> Counter[tuple[str, str]]:
        """How many alerts fire for each (alert name, object)."""
        about = ("service", "deployment", "pod", "endpoint")
        return Counter(
            (alert.rule.alert, next((alert.labels[name] for name in about if name in alert.labels), ""))
            for alert in self.rules.active.values()
            if alert.firing
        )

    def fires(self, alert: str, about: str) -> Callable[[], bool]:
        """A predicate: this alert fires for this object (or for a pod of it)."""
        return lambda: any(name == alert and who.startswith(about) for name, who in self.firing())

    # -- what an operator would do, for the shop's namespace

    def deployment(self, name: str) -> Obj:
        return self.store.get("Deployment", self.shop.namespace, name)

    def edit_container(self, name: str, **fields: Any) -> None:
        """Change fields of a Deployment's only container."""
        container = self.deployment(name)["spec"]["template"]["spec"]["containers"][0]
        spec = {"template": {"spec": {"containers": [{**container, **fields}]}}}
        self.store.patch("Deployment", self.shop.namespace, name, {"spec": spec})

    def scale(self, name: str, replicas: int) -> None:
        self.store.patch("Deployment", self.shop.namespace, name, {"spec": {"replicas": replicas}})

    def pods(self, name: str) -> list[Obj]:
        found = self.store.list("Pod", self.shop.namespace)
        return [pod for pod in found if (pod["metadata"].get("labels") or {}).get("app") == name]
