"""The shop's users: a process that asks the edge at a steady rate, and counts what it sees."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Self

import httpx

from eval.kubernetes.shop import QUIET_RPS
from eval.lab.shop import PORT, ROUTES, Shop
from eval.monitoring.program import Program
from eval.ports import free_ports

USED_ROUTES: Final = ROUTES[::3]
"""Fewer than in the lab: with a twelfth of its load, each of its routes would hardly be called."""
SLOW: Final = "slow"
"""The outcome of a request that was answered well, and too late for its user."""


@dataclass(frozen=True)
class Target:
    """A Service that has users, and how many requests a second they make."""

    namespace: str
    service: str
    url: str
    rps: float
    routes: Sequence[str] = USED_ROUTES


def targets(shop: Shop, address: Mapping[str, str]) -> Sequence[Target]:
    """The edge and the quiet neighbour have users; the other services have some of their own in a surge only.

    `address` holds a Service's cluster IP by its name. Users come by address: they live outside of the cluster, where
    its DNS is nobody's.
    """
    asked = {shop.edge: (shop.namespace, shop.rps["edge"]), shop.quiet: (shop.quiet_namespace, QUIET_RPS)}
    inner = {name: (shop.namespace, 0.0) for role, name in shop.services.items() if role != "edge"}
    signs_in = {shop.store: ":".join(shop.credentials.values()) + "@"}
    return [
        Target(namespace, name, f"http://{signs_in.get(name, '')}{address[name]}:{PORT}", rps)
        for name, (namespace, rps) in (inner | asked).items()
    ]


@dataclass(frozen=True)
class Seen:
    """What the users of one Service saw since they began."""

    sent: int
    outcomes: Mapping[str, int]
    """By HTTP status; `slow`; or timeout, refused, reset, crowded, other. They add up to what was sent and is over."""

    @property
    def ok(self) -> int:
        return self.outcomes.get("200", 0)


class Load:
    """`async with Load(programs, folder, targets)`: the users are there until the block ends.

    `address` is where they tell what they see, a free port if it is not named. Raises ProgramDidNotStart.
    """

    def __init__(self, programs: Path, folder: Path, targets: Sequence[Target], address: str = "") -> None:
        self._targets = {target.service: target for target in targets}
        address = address or f"127.0.0.1:{free_ports(1)[0]}"
        self.metrics_url = f"http://{address}/metrics"
        told = [json.dumps(asdict(target)) for target in targets]
        arguments = (str(programs / "load"), address, *told)
        self._program = Program("load", arguments, f"http://{address}", folder)
        self._http = httpx.AsyncClient(base_url=f"http://{address}", trust_env=False, timeout=5)

    async def __aenter__(self) -> Self:
        await self._program.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()
        await self._program.kill()

    async def seen(self) -> Mapping[str, Seen]:
        """What was seen so far, by Service."""
        counts = (await self._http.get("/counts")).raise_for_status().json()
        return {service: _seen(count) for service, count in counts.items()}

    async def surge(self, service: str, factor: float, usual_rps: float) -> None:
        """Raise a service's load, callers' and users', to so many times its usual one; 1 ends it. Raises KeyError."""
        await self.rate(service, self._targets[service].rps + (factor - 1) * usual_rps)

    async def rate(self, service: str, rps: float) -> None:
        """Have this rate from now on."""
        (await self._http.put("/rate", params={"service": service}, content=f"{rps:g}")).raise_for_status()


def _seen(count: Mapping[str, object]) -> Seen:
    match count:
        case {"sent": int(sent), "ok": int(ok), "slow": int(slow), "failed": dict(failed)}:
            return Seen(sent, {"200": ok, SLOW: slow, **failed})
        case _:
            raise ValueError(f"these are no counts: {count}")
