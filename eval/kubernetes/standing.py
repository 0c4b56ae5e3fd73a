"""A shop that stands on a real cluster: its images in a registry, its users, and the monitoring of its team."""

import random
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

from eval.kubernetes import programs
from eval.kubernetes.load import Load, targets
from eval.kubernetes.monitoring import watched
from eval.kubernetes.opening import addresses, close_shop, open_shop, until_complete
from eval.kubernetes.registry import Registry
from eval.kubernetes.shop import design, image_environments, manifests
from eval.lab.shop import Shop
from eval.monitoring.monitoring import Monitoring
from eval.monitoring.program import free_port
from eval.operator import Operator

SETTLES_WITHIN_S: Final = 60.0


class Standing:
    """What `standing` yields. `shop`, `load` and what is behind them are new after each `renew`."""

    def __init__(self, operator: Operator, registry: Registry, folder: Path, users: str, binaries: Path) -> None:
        self.operator, self.registry = operator, registry
        self._folder, self._users, self._binaries = folder, users, binaries
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
        users = targets(self.shop, await addresses(self.operator, self.shop))
        self.load = await self._stack.enter_async_context(Load(self._binaries, self._folder, users, self._users))

    async def close(self) -> None:
        """Let the users go, and then the shop with its namespaces."""
        await self._stack.aclose()


@asynccontextmanager
async def standing(
    operator: Operator, server: str, seed: int, folder: Path, say: Callable[[str], None]
) -> AsyncIterator[Standing]:
    """Have a shop stand on the cluster behind `server`, the API's URL, until the block ends.

    This process must be in the network of its nodes; logs and data lie in `folder`. Raises NotBuilt,
    ProgramDidNotStart, PushFailed, OperatorRefusedError, TimeoutError.
    """
    binaries = await programs.build(say)
    users = f"127.0.0.1:{free_port()}"
    async with Registry(binaries, folder) as registry:
        shop = Standing(operator, registry, folder, users, binaries)
        try:
            await shop.renew(seed)
            async with watched(binaries, folder, operator, server, f"http://{users}/metrics") as monitoring:
                shop.monitoring = monitoring
                yield shop
        finally:
            await shop.close()
