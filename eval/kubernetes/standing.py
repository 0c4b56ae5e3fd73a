"""A shop that stands on a real cluster: its images in a registry, its users, and the monitoring of its team."""

import random
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from eval.kubernetes import programs
from eval.kubernetes.load import Load, targets
from eval.kubernetes.monitoring import watched
from eval.kubernetes.opening import addresses, close_shop, open_shop, until_complete
from eval.kubernetes.past import grow_old
from eval.kubernetes.registry import Registry
from eval.kubernetes.shop import design, image_environments, manifests
from eval.lab.shop import Shop
from eval.monitoring.monitoring import Monitoring
from eval.operator import Operator
from eval.ports import free_ports


class Place(NamedTuple):
    """The cluster that a shop is put on; this process must be in the network of its nodes."""

    operator: Operator
    server: str
    """The API's URL."""
    etcd: str
    """Where its etcd answers, in which a shop's past is written."""


class Standing:
    """What `standing` yields. `shop`, `load` and what is behind them are new after each `renew`."""

    def __init__(self, place: Place, registry: Registry, folder: Path, binaries: Path) -> None:
        self.operator, self.registry = place.operator, registry
        self._folder, self._binaries, self._etcd = folder, binaries, place.etcd
        self.users = f"127.0.0.1:{free_ports(1)[0]}"
        self._stack = AsyncExitStack()
        self.monitoring: Monitoring
        self.shop: Shop
        self.load: Load

    async def renew(self, seed: int) -> None:
        """Open the shop that this seed draws, in namespaces of its own; the one before it goes. Raises TimeoutError."""
        await self.close()
        self.shop = design(random.Random(seed))
        await self.registry.push(image_environments(self.shop))
        self._stack.push_async_callback(close_shop, self.operator, self.shop)
        await open_shop(self.operator, manifests(self.shop))
        await until_complete(self.operator, self.shop)
        await self.grow_old()
        users = targets(self.shop, await addresses(self.operator, self.shop))
        self.load = await self._stack.enter_async_context(Load(self._binaries, self._folder, users, self.users))

    async def grow_old(self) -> None:
        """Let the shop as it stands be a month old."""
        for namespace in (self.shop.namespace, self.shop.quiet_namespace):
            await grow_old(self.operator, namespace, self._etcd)

    async def close(self) -> None:
        """Let the users go, and then the shop with its namespaces."""
        await self._stack.aclose()


@asynccontextmanager
async def standing(place: Place, seed: int, folder: Path, say: Callable[[str], None]) -> AsyncIterator[Standing]:
    """Have a shop stand on a cluster until the block ends; logs and data lie in `folder`.

    Raises NotBuilt, ProgramDidNotStart, PushFailed, OperatorRefusedError, TimeoutError.
    """
    async with programs.built(say) as binaries, Registry(binaries, folder) as registry:
        shop = Standing(place, registry, folder, binaries)
        try:
            await shop.renew(seed)
            users_url = f"http://{shop.users}/metrics"
            async with watched(binaries, folder, place.operator, place.server, users_url) as shop.monitoring:
                yield shop
        finally:
            await shop.close()
