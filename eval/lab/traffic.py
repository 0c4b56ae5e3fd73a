"""The traffic model: requests enter at the edge and walk the dependencies; errors follow from the cluster."""

import random
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from eval.lab.endpoints import SERVICE_LABEL
from eval.lab.kinds import Obj
from eval.lab.kubelet import Instance, Kubelet
from eval.lab.shop import ROUTES, ZONES, Shop
from eval.lab.store import Store, labels_of

CODES: Final = ("200", "401", "500", "502", "503")
NOISE: Final = 0.04
BACKGROUND_ERROR_RATIO: Final = 0.0005
TIMEOUT_S: Final = 1.0
FULLEST: Final = 0.97  # queues are bounded: beyond this use, latency stays and the surplus is refused
LOG_EVERY_S: Final = 1.0
CREDENTIALS: Final = ("STORE_USER", "STORE_PASSWORD")
LATENCY_MS: Final = "LATENCY_MS"
REFUSAL_S: Final = 0.002
Where = tuple[str, str]  # namespace, service


@dataclass
class Flow:
    """One service as the mesh in front of it sees it."""

    nominal_rps: float = 0.0
    direct_rps: float = 0.0
    surge: float = 1.0
    load_rps: float = 0.0
    called_rps: float = 0.0  # from other services, in the last step
    error_ratio: float = 0.0
    p99_s: float = 0.02
    totals: dict[str, float] = field(default_factory=lambda: dict.fromkeys(CODES, 0.0))
    duration_sum_s: float = 0.0
    weights: list[tuple[str, str, float, float]] = field(default_factory=list)  # route, zone, share, phase


@dataclass
class Step:
    """What one service's requests came to within one step, in requests a second."""

    ok: float = 0.0
    refused_sign_in: float = 0.0
    by_itself: float = 0.0
    upstream: float = 0.0
    refused: float = 0.0
    p99_s: float = 0.0


class Calls(NamedTuple):
    """What became of the calls to all dependencies: the shares of requests that fail for them, and the time."""

    failing: float
    refused: float
    slowest_s: float


class Address(NamedTuple):
    """What a client makes of a URL."""

    where: Where
    host: str | None
    port: int
    dialled: str


@lru_cache(maxsize=1024)
def _address(url: str) -> Address:
    parts = urlsplit(url)
    host = (parts.hostname or "").split(".")
    return Address((host[1] if len(host) > 1 else "", host[0]), parts.hostname, parts.port or 80, parts.netloc)


class Traffic:
    """Moves all flows a step; a failure reaches the callers one step later, as it would after a timeout."""

    def __init__(self, rng: random.Random, store: Store, kubelet: Kubelet, shop: Shop) -> None:
        self._rng = rng
        self._store = store
        self._kubelet = kubelet
        self.flows: dict[Where, Flow] = {}
        self._now_s = 0.0
        self._calls: dict[Where, float] = {}
        self._refusals: dict[Where, float] = {}
        self._callees: dict[Where, list[Instance | None]] = {}
        self._resolved: dict[str, tuple[Where | None, str]] = {}  # in this step: all pods of a workload ask the same
        self._last_log_s: dict[tuple[str, str], float] = {}
        for role, name in shop.services.items():
            direct = shop.rps[role] if role == "edge" else 0.0
            self.flows[shop.namespace, name] = Flow(shop.rps[role], direct, weights=self._spread())
        self.flows[shop.quiet_namespace, shop.quiet] = Flow(40.0, 40.0, weights=self._spread(ROUTES[:1]))

    def surge(self, service: str, factor: float) -> None:
        """Raise the direct load on a service: `factor` times its usual load in all; 1 ends it. Raises KeyError."""
        self._named(service).surge = factor

    def _named(self, service: str) -> Flow:
        return next(flow for (_, name), flow in self.flows.items() if name == service)

    def _spread(self, routes: tuple[str, ...] = ROUTES) -> list[tuple[str, str, float, float]]:
        raw = [(route, zone, self._rng.uniform(0.75, 1.25)) for route in routes for zone in ZONES]
        total = sum(weight for _, _, weight in raw)
        return [(route, zone, weight / total, self._rng.random()) for route, zone, weight in raw]

    def tick(self, now_s: float, dt_s: float) -> None:
        slices = {
            (item["metadata"]["namespace"], labels_of(item).get(SERVICE_LABEL, "")): item
            for item in self._store.all("EndpointSlice")
        }
        self._now_s = now_s
        self._calls = dict.fromkeys(self.flows, 0.0)
        self._refusals = dict.fromkeys(self.flows, 0.0)
        self._resolved.clear()
        self._callees = {where: self._backends(where, slices.get(where)) for where in self.flows}
        outcome: dict[Where, Step] = {}
        for where, flow in self.flows.items():
            direct = flow.direct_rps + (flow.surge - 1.0) * flow.nominal_rps
            flow.load_rps = flow.called_rps + direct * max(0.0, self._rng.gauss(1.0, NOISE))
            outcome[where] = self._serve(flow, self._callees[where], now_s, dt_s)
        for where, flow in self.flows.items():
            flow.called_rps = self._calls[where]
            outcome[where].refused_sign_in = self._refusals[where]
            self._count(flow, outcome[where], dt_s)

    # -- one service

    def _backends(self, where: Where, piece: Obj | None) -> list[Instance | None]:
        """Who answers behind each ready address; None for an address where nothing listens."""
        if piece is None or self._store.find("Service", *where) is None:
            return []
        ports = [port["port"] for port in piece["ports"]]
        addresses = [item["addresses"][0] for item in piece["endpoints"] if item["conditions"]["ready"]]
        return [self._kubelet.instance(address, ports[0]) if ports else None for address in addresses]

    def _serve(self, flow: Flow, backends: list[Instance | None], now_s: float, dt_s: float) -> Step:
        step = Step(p99_s=0.001)
        if not backends:
            step.refused = flow.load_rps
            return step
        share = flow.load_rps / len(backends)
        for instance in backends:
            if instance is None:
                step.refused += share
            elif instance.run.node in self._kubelet.broken_nodes:
                step.refused += share
                step.p99_s = max(step.p99_s, TIMEOUT_S)
            else:
                self._answer(step, instance, share, now_s, dt_s)
        return step

    def _answer(self, step: Step, instance: Instance, share: float, now_s: float, dt_s: float) -> None:
        image, container = instance.image, instance.container
        capacity = image.rps_per_core * container.cores
        served = min(share, capacity)
        use = min(1.0, share / capacity) if capacity else 1.0
        container.cpu_s += container.cores * use * dt_s
        container.use_ratio = use
        container.ran_s += dt_s
        container.waited_s += dt_s if share > capacity else 0.0
        broken = served * (image.error_ratio + BACKGROUND_ERROR_RATIO)
        calls = self._call(instance, served, now_s)
        fine = served - broken
        step.refused += share - served
        step.by_itself += broken + fine * calls.refused
        step.upstream += fine * (1 - calls.refused) * calls.failing
        step.ok += fine * (1 - calls.refused) * (1 - calls.failing)
        own = _latency_s(instance) / (1 - min(FULLEST, use))
        step.p99_s = max(step.p99_s, own * self._rng.gauss(1.0, NOISE) + calls.slowest_s)
        if share > capacity:
            self._complain(instance, "overload", f"WARN queue full, shedding {share - served:.0f} requests/s", now_s)

    def _call(self, instance: Instance, served: float, now_s: float) -> Calls:
        """Call every dependency."""
        fine, signed_in, slowest_s = 1.0, 1.0, 0.0
        for name, ratio in instance.image.needs.items():
            url = instance.container.env.get(name, "")
            if url not in self._resolved:
                self._resolved[url] = self._resolve(url)
            where, trouble = self._resolved[url]
            flow = self.flows.get(where) if where else None
            failing = 1.0 if flow is None or trouble else flow.error_ratio
            if flow is not None and where is not None and not trouble:
                refused = self._refused(instance, where)
                self._calls[where] += served * ratio * (1 - refused)
                self._refusals[where] += served * ratio * refused
                signed_in *= 1 - min(1.0, ratio) * refused
                slowest_s = max(slowest_s, flow.p99_s)
                if refused:
                    who = instance.container.env.get(CREDENTIALS[0], "")
                    text = f'{url} answered 401 Unauthorized: wrong user or password for "{who}"'
                    self._complain(instance, name, f"ERROR upstream {name}: {text}", now_s)
                    continue
            if failing > 0.05:
                text = trouble or f"{url} answered 503 to {failing:.0%} of the calls"
                self._complain(instance, name, f"ERROR upstream {name}: {text}", now_s)
            fine *= 1 - min(1.0, ratio) * failing
        return Calls(1 - fine, 1 - signed_in, slowest_s)

    def _refused(self, caller: Instance, where: Where) -> float:
        """The share of the instances there that do not take this caller's user and password."""
        there = [callee for callee in self._callees[where] if callee is not None]
        mine = [caller.container.env.get(name, "") for name in CREDENTIALS]
        strict = [callee for callee in there if callee.image.signs_in]
        refusing = [callee for callee in strict if [callee.container.env.get(name, "") for name in CREDENTIALS] != mine]
        for callee in refusing:
            text = f'ERROR sign-in of "{mine[0]}" from {caller.run.ip} was refused: wrong user or password'
            self._complain(callee, "sign-in", text, self._now_s)
        return len(refusing) / len(there) if there else 0.0

    def _resolve(self, url: str) -> tuple[Where | None, str]:
        """The service behind an address, or what a client would say of it."""
        if not url:
            return None, "no address is configured"
        address = _address(url)
        service = self._store.find("Service", *address.where)
        if service is None:
            return None, f"lookup {address.host}: no such host"
        if all(port["port"] != address.port for port in service["spec"].get("ports") or []):
            return address.where, f"dial {address.dialled}: connect: connection refused"
        return address.where, ""

    def _complain(self, instance: Instance, about: str, text: str, now_s: float) -> None:
        key = (instance.run.ip, about)
        if now_s - self._last_log_s.get(key, -LOG_EVERY_S) >= LOG_EVERY_S:
            self._last_log_s[key] = now_s
            self._kubelet.log(instance.run, instance.container, text)

    def _count(self, flow: Flow, step: Step, dt_s: float) -> None:
        rates = (step.ok, step.refused_sign_in, step.by_itself, step.upstream, step.refused)
        for code, rps in zip(CODES, rates, strict=True):
            flow.totals[code] += rps * dt_s
        failed = step.by_itself + step.upstream + step.refused
        flow.error_ratio = failed / flow.load_rps if flow.load_rps > 0 else 0.0
        flow.p99_s = step.p99_s
        flow.duration_sum_s += flow.load_rps * dt_s * step.p99_s * 0.4  # the mean of a skewed latency
        flow.duration_sum_s += step.refused_sign_in * dt_s * REFUSAL_S


def _latency_s(instance: Instance) -> float:
    """The p99 of an idle instance: what its operator set, else what its image does."""
    told = instance.container.env.get(LATENCY_MS)
    return float(told) / 1000 if told else instance.image.latency_s
