"""What becomes of pods' packets: a node drops them, a link loses some, a NetworkPolicy stops them; else nothing.

One table of nftables in the cluster's network namespace, written whole whenever it is to change, and gone when nothing
is wrong. This process must be in that namespace.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from eval.kubernetes.network import pod_range
from eval.kubernetes.network_policies import Direction, Isolation, as_chain, as_rules, isolations
from eval.lab.kinds import Obj
from eval.operator import Operator
from shared.adapters.system import SystemClock
from shared.domain.errors import PrimumError

TABLE: Final = "primum_faults"
_LOOK_EVERY_S: Final = 1.0
_HOOKS: Final = ("forward", "input", "output")
"""Between pods, and between pods and what runs on the node itself: probes, scrapes, users."""
_CLOCK: Final = SystemClock()


class NotWrittenError(PrimumError):
    """nftables refused."""

    advice = "see that nft works as root in the cluster's network namespace"


class Packets:
    """`follow` keeps to it what is asked for: pods come and go, and policies are written by anybody."""

    def __init__(self, operator: Operator) -> None:
        self._operator = operator
        self.namespace = ""
        """Of the shop, whose policies are enforced, and whose pods can lose packets."""
        self._dropping: set[int] = set()
        self._losing: dict[str, float] = {}
        self._written = ""
        self._alone = asyncio.Lock()

    async def drop(self, node: int, *, all_of_them: bool) -> None:
        """Drop every packet to and from a node's pods, or none."""
        (self._dropping.add if all_of_them else self._dropping.discard)(node)
        await self.write()

    async def lose_packets(self, service: str, share: float) -> None:
        """Lose such a share of the packets to and from a service's pods; 0 ends it."""
        self._losing[service] = share
        if not share:
            del self._losing[service]
        await self.write()

    async def follow(self) -> None:
        """Go on until it is cancelled; then nothing is dropped any more. Raises NotUnderstoodError, NotWrittenError."""
        try:
            while True:
                await self.write()
                await _CLOCK.sleep(_LOOK_EVERY_S)
        finally:
            await _nft(_without_table())

    async def write(self) -> None:
        """Bring the table up to date."""
        async with self._alone:
            wanted = await self._wanted()
            if wanted != self._written:
                await _nft(wanted)
                self._written = wanted

    async def _wanted(self) -> str:
        policies = await self._operator.list("NetworkPolicy", self.namespace) if self.namespace else []
        if not (policies or self._losing or self._dropping):
            return _without_table() if self._written else ""
        pods = await self._operator.list("Pod", self.namespace) if policies or self._losing else []
        return _table(self._drops() + self._losses(pods), isolations(policies, pods))

    def _drops(self) -> list[str]:
        return [f"ip {end} {pod_range(node)} drop" for node in sorted(self._dropping) for end in ("saddr", "daddr")]

    def _losses(self, pods: Sequence[Obj]) -> list[str]:
        return [
            f"ip {end} {pod['status']['podIP']} numgen random mod 1000 < {round(1000 * share)} drop"
            for service, share in sorted(self._losing.items())
            for pod in sorted(pods, key=lambda each: str(each["metadata"]["name"]))
            if (pod["metadata"].get("labels") or {}).get("app") == service and pod["status"].get("podIP")
            for end in ("saddr", "daddr")
        ]


def _without_table() -> str:
    return f"table inet {TABLE}\ndelete table inet {TABLE}\n"  # named first, so that it is there to be deleted


def _table(faults: Sequence[str], found: Sequence[Isolation]) -> str:
    """Write the whole table; a hook sees packets after kube-proxy has chosen their pod."""
    chains = [_chain("faults", faults)]
    chains += [_chain(each.lower(), as_chain(found, each)) for each in Direction]
    for hook in _HOOKS:
        policies = as_rules(found) if hook == "forward" else []
        opened = f"type filter hook {hook} priority 10; policy accept;"
        chains.append(_chain(hook, [opened, "jump faults", *policies]))
    return _without_table() + f"table inet {TABLE} {{\n" + "".join(chains) + "}\n"


def _chain(name: str, lines: Sequence[str]) -> str:
    return f"chain {name} {{\n" + "".join(f"  {line}\n" for line in lines) + "}\n"


async def _nft(text: str) -> None:
    if not text:
        return
    process = await asyncio.create_subprocess_exec(
        *("nft", "--file", "-"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate(text.encode())
    if process.returncode:
        raise NotWrittenError(f"nft: {said.decode(errors='replace').strip()}")
