"""What scenarios are played on: a cluster with a shop in it, under load and watched. The lab's, or a real one."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from eval.lab.alertmanager import Delivery
from eval.lab.shop import Shop
from eval.operator import Operator

GroundName = Literal["lab", "kubernetes"]
Condition = Callable[[], Awaitable[bool]]
SLOW: str = "slow"
"""The outcome of a user's request that was answered well and too late."""


class NodeFaults(Protocol):
    """What can befall a machine. Machines go by the names of their Nodes: `Ground.shop` has one for each role."""

    names: Sequence[str]

    async def drop_packets(self, name: str) -> None:
        """Let it lose its pods' packets while it goes on reporting Ready."""

    async def mend(self, name: str) -> None:
        """Let it be well again, whatever befell it."""


class MachineFaults(NodeFaults, Protocol):
    """What can befall a machine that is one."""

    async def freeze(self, name: str) -> None:
        """Let its kubelet stand still: its pods go on, and nobody looks after them."""

    async def shrink(self, name: str) -> None:
        """Leave it hardly more memory than its pods use, whatever gets free, as a hypervisor does that needs it."""


class NetworkFaults(Protocol):
    """What can befall the network between pods."""

    async def lose_packets(self, service: str, share: float) -> None:
        """Lose such a share (0 to 1) of all packets to and from the pods of a service of the shop; 0 ends it."""


class Ground(Protocol):
    """All that a scenario sees. Seconds are the ground's own: `pace` of them pass in one of the wall's."""

    name: GroundName
    pace: float
    shop: Shop
    """What the roles are called, and what they need; another one after `renew`."""
    operator: Operator
    """What a person with kubectl can do, with an administrator's rights."""
    nodes: NodeFaults | None
    """None where a scenario cannot break them."""
    machines: MachineFaults | None
    """The same nodes, where they are real; else None."""
    network: NetworkFaults | None
    """None where pods have no real network, or one that is not ours."""

    @property
    def deliveries(self) -> Sequence[Delivery]:
        """Every alert that Primum's webhook answered with 2xx, oldest first, as its senders have it."""

    async def surge(self, role: str, factor: float) -> None:
        """Raise a role's load to `factor` times its usual one; 1 ends it."""

    async def delay_alerts(self, by_s: float) -> None:
        """Let all news of alerts in the shop arrive so much later from now on; 0 makes it prompt again."""

    async def grow_old(self) -> None:
        """Let the shop as it stands be a month old, where stamps can be moved: a rollout of today is suspected."""

    async def users(self) -> Mapping[str, float]:
        """Users' requests since the shop opened, counted outside of it: by HTTP status, `slow`, or what went wrong."""

    async def alerts(self) -> Sequence[Mapping[str, str]]:
        """The labels of every alert that fires now."""

    async def complete(self) -> bool:
        """Whether every Deployment of the shop is rolled out, and no pod is on its way out."""

    async def at_rest(self) -> bool:
        """Whether it is complete, no alert is pending or fires, and everything was told that there was to tell."""

    async def unrest(self) -> Sequence[str]:
        """What of that keeps it from being at rest, in words; nothing if it is."""

    async def wounds(self) -> Sequence[str]:
        """What of the cluster itself, beside its objects, is not as it was: machines, their network, its DNS."""

    async def until(self, condition: Condition, timeout_s: float) -> None:
        """Wait until the condition holds. Raises TimeoutError after so many seconds of the ground's."""

    async def pass_s(self, seconds: float) -> None:
        """Let so much of the ground's time pass."""


@dataclass(frozen=True)
class Settings:
    """What a Primum before this ground is told besides its defaults, as environment variables."""

    everywhere: Mapping[str, str]
    each: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By service: a kubeconfig of its own, for one."""


class Site(Ground, Protocol):
    """A ground that a Primum can be put before."""

    renews: bool
    """Whether `renew` gives another shop, which nobody has a history with."""

    async def settings(self, folder: Path) -> Settings:
        """Say where the cluster and its metrics are, and how fast time runs; files that takes are written there."""

    async def tell(self, token: str, webhooks: Sequence[str]) -> None:
        """Let alerts be sent there from now on: to the replicas of one gateway."""

    async def renew(self, seed: int) -> None:
        """Have a shop that no scenario has touched: a new one in a clean namespace, or the old one at rest.

        `seed` draws its names, if there is anything to draw. Raises TimeoutError.
        """


def alert_in_words(labels: Mapping[str, str], state: str) -> str:
    """Say which alert is pending or fires."""
    return " ".join(word for word in (labels["alertname"], labels.get("service", ""), state) if word)


Opening = Callable[[int], AbstractAsyncContextManager[Site]]
"""How a ground is opened: `async with lab_ground(seed) as ground`; all is gone when that ends."""
