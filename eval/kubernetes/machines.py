"""A built cluster's nodes as machines that can be broken, each alone, and mended."""

import asyncio
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

from eval.kubernetes import cgroups, network
from eval.kubernetes.daemon import Daemon, known
from eval.kubernetes.packets import Packets
from eval.kubernetes.places import Places, running
from shared.adapters.system import SystemClock

LEFT_MIB: Final = 60
"""How much a shrunk node has beside what its pods use: the kubelet evicts below a hundred."""
_SQUEEZE_EVERY_S: Final = 2.0
_CLOCK: Final = SystemClock()


class Machines:
    """What a ground calls its nodes and its machines; a name is that of its Node."""

    def __init__(self, places: Places, packets: Packets) -> None:
        self.places, self._packets = places, packets
        self._numbers = {each.name: int(each.name.removeprefix("node")) for each in places.state.glob("node[0-9]*")}
        self.names: Sequence[str] = sorted(self._numbers)
        self._limits: dict[str, str] = {}
        self._squeezing: dict[str, asyncio.Task[None]] = {}

    def by_role(self, roles: Sequence[str]) -> Mapping[str, str]:
        """Name one of them for each role; with more roles than nodes, some have the same."""
        return {role: self.names[place % len(self.names)] for place, role in enumerate(roles)}

    async def drop_packets(self, name: str) -> None:
        await self._packets.drop(self._numbers[name], all_of_them=True)

    async def freeze(self, name: str) -> None:
        self._kubelet(name).signal(signal.SIGSTOP)

    async def shrink(self, name: str) -> None:
        memory = cgroups.pods_memory(self.places, self._numbers[name])
        self._limits.setdefault(name, memory.limit)
        self._squeezing.setdefault(name, asyncio.create_task(_squeeze(memory)))

    async def mend(self, name: str) -> None:
        self._kubelet(name).signal(signal.SIGCONT)
        if name in self._limits:
            await self._let_go(name)
        await self._packets.drop(self._numbers[name], all_of_them=False)

    async def _let_go(self, name: str) -> None:
        """Give its memory back. Raises what the squeezing broke off with: then there was no fault."""
        squeezing = self._squeezing.pop(name)
        squeezing.cancel()
        cgroups.pods_memory(self.places, self._numbers[name]).limit = self._limits.pop(name)
        with suppress(asyncio.CancelledError):
            await squeezing

    def memory_limits(self) -> Mapping[str, str]:
        """What the pods of each node may have."""
        return {name: cgroups.pods_memory(self.places, number).limit for name, number in self._numbers.items()}

    def daemons(self) -> Sequence[Daemon]:
        """All processes of the cluster itself."""
        return known(self.places.daemons)

    def _kubelet(self, name: str) -> Daemon:
        return next(each for each in self.daemons() if each.name == f"kubelet-{self._numbers[name]}")


async def _squeeze(memory: cgroups.Memory) -> None:
    """Take whatever gets free, until this is cancelled."""
    while True:
        memory.limit = str(memory.working_set_bytes + LEFT_MIB * 1024 * 1024)
        await _CLOCK.sleep(_SQUEEZE_EVERY_S)


def ours() -> Places | None:
    """The cluster that was built here in whose network this process is; None if it is in none."""
    return next((each for each in map(Places, running()) if network.is_inside(each)), None)
