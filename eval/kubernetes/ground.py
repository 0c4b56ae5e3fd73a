"""The real cluster as a ground: a real shop in it, real users, a real Prometheus and a pair of real Alertmanagers."""

import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

from eval.ground import (
    Condition,
    GroundName,
    MachineFaults,
    NetworkFaults,
    NodeFaults,
    Settings,
    alert_in_words,
)
from eval.kubernetes.accounts import CONTEXT as ACCOUNT_CONTEXT
from eval.kubernetes.accounts import Account
from eval.kubernetes.choice import CONTEXT, OURS, Source, choose_ours
from eval.kubernetes.identities import identities
from eval.kubernetes.machines import Machines, ours
from eval.kubernetes.opening import is_complete
from eval.kubernetes.packets import Packets
from eval.kubernetes.past import ETCD
from eval.kubernetes.pki import SERVER
from eval.kubernetes.relay import Relay
from eval.kubernetes.shop import surge_of
from eval.kubernetes.standing import Place, Standing, standing
from eval.kubernetes.wounds import Machinery, wounds
from eval.lab.alertmanager import Delivery
from eval.lab.shop import NODES, Shop
from eval.operator import Operator, operating
from shared.adapters import kubernetes_config
from shared.adapters.system import SystemClock
from shared.domain.errors import PrimumError

_WATCHED_S: Final = "30"
"""How long Primum watches what it mended, and lets a symptom linger: of a shop that lives for minutes."""
RESTS_WITHIN_S: Final = 180.0
"""Until a new shop is in traffic, and every alert of the one before it is over."""
_LOOK_EVERY_S: Final = 0.5
_WINDOW_S: Final = 20.0
"""Over which Primum takes rates: shorter than an alert takes to come, or they still hold what was before the fault."""
_CLOCK: Final = SystemClock()


class KubernetesGround:
    """What `kubernetes_ground` yields."""

    name: GroundName = "kubernetes"
    pace = 1.0
    renews = True

    def __init__(self, place: Standing, relay: Relay, accounts: Mapping[str, Account], own: "Own") -> None:
        self._place, self._relay, self._accounts, self._own = place, relay, accounts, own
        self.operator: Operator = place.operator
        self.machines: MachineFaults | None = own.machines
        self.nodes: NodeFaults | None = own.machines
        self.network: NetworkFaults | None = own.packets
        self.shop: Shop
        self._told_before = 0
        self._moved_in()

    @property
    def deliveries(self) -> Sequence[Delivery]:
        return self._relay.deliveries

    async def surge(self, role: str, factor: float) -> None:
        await self._place.load.surge(self.shop.services[role], factor, self.shop.rps[role] * surge_of(role))

    async def delay_alerts(self, by_s: float) -> None:
        self._relay.delay_s = by_s

    async def grow_old(self) -> None:
        await self._place.grow_old()

    async def users(self) -> Mapping[str, float]:
        return (await self._place.load.seen())[self.shop.edge].outcomes

    async def alerts(self) -> Sequence[Mapping[str, str]]:
        return [each["labels"] for each in await self._place.monitoring.firing() if each["state"] == "firing"]

    async def complete(self) -> bool:
        return await is_complete(self.operator, self.shop)

    async def at_rest(self) -> bool:
        return not await self.unrest()

    async def unrest(self) -> Sequence[str]:
        missing = [] if await self.complete() else ["not every pod is there, or one is still going"]
        active = await self._place.monitoring.firing()
        alerts = {alert_in_words(each["labels"], each["state"]) for each in active}
        last = {each.fingerprint: each.status for each in self.deliveries[self._told_before :]}
        untold = [] if self._relay.idle and "firing" not in last.values() else ["not everything was told"]
        return [*missing, *sorted(alerts), *untold]

    async def wounds(self) -> Sequence[str]:
        return await wounds(self.operator, self._own.machines, self._own.before)

    async def until(self, condition: Condition, timeout_s: float) -> None:
        ends_s = _CLOCK.monotonic_s() + timeout_s
        while not await condition():
            self._own.check()
            if _CLOCK.monotonic_s() >= ends_s:
                raise TimeoutError(f"not within {timeout_s:g} s")
            await _CLOCK.sleep(_LOOK_EVERY_S)

    async def pass_s(self, seconds: float) -> None:
        await _CLOCK.sleep(seconds)

    # --- a Primum before it

    async def settings(self, folder: Path) -> Settings:  # noqa: ARG002 - its kubeconfigs were written when it opened
        """Say what a team would set: each service signs in as the ServiceAccount that Primum ships for it."""
        return Settings(
            {
                "PRIMUM_CLUSTER": self.name,
                "PRIMUM_KUBE_CONTEXT": ACCOUNT_CONTEXT,
                "PRIMUM_PROMETHEUS_URL": self._place.monitoring.url,
                "PRIMUM_METRICS_WINDOW_S": f"{_WINDOW_S:g}",
                "PRIMUM_SURROUNDINGS_AGE_S": "2",
                "PRIMUM_SYMPTOM_EVERY_S": "5",
                "PRIMUM_WATCH_S": _WATCHED_S,
                "PRIMUM_RELAPSE_AFTER_S": _WATCHED_S,
            },
            {name: {"PRIMUM_KUBECONFIG": str(account.kubeconfig)} for name, account in self._accounts.items()},
        )

    async def tell(self, token: str, webhooks: Sequence[str]) -> None:
        self._relay.to(webhooks)
        await self._place.monitoring.tell(self._relay.url, token)

    async def renew(self, seed: int) -> None:
        self._relay.silent = True
        self._told_before = len(self.deliveries)  # that what fired is over is not told in the silence
        try:
            await self._place.renew(seed)
            self._moved_in()
            await self.until(self.at_rest, RESTS_WITHIN_S)
        except TimeoutError as error:
            raise TimeoutError(
                f"the new shop does not come to rest: {error}; {', '.join(await self.unrest())}"
            ) from error
        finally:
            self._relay.silent = False

    def _moved_in(self) -> None:
        """Go by the names of the shop that stands there now."""
        self.shop = replace(self._place.shop, nodes=self._own.machines.by_role(NODES))
        self._own.packets.namespace = self.shop.namespace


class Own(NamedTuple):
    """What a cluster has that was built here: machines and a network that may be broken, and how they were."""

    machines: Machines
    packets: Packets
    before: Machinery
    following: asyncio.Task[None]

    def check(self) -> None:
        """Raise what ended the enforcing of policies, if anything did: then nothing is as the scenario says."""
        if self.following.done():
            self.following.result()


@asynccontextmanager
async def owned(operator: Operator) -> AsyncIterator[Own]:
    """Have the machines of the cluster that was built here, and NetworkPolicies enforced.

    However this ends, nothing is frozen, short of memory or without packets afterwards. Raises PrimumError where this
    process is in no network of such a cluster.
    """
    if (places := ours()) is None:
        raise PrimumError("these machines were not started here", advice=f"without {CONTEXT} some are, for the run")
    packets = Packets(operator)
    machines = Machines(places, packets)
    before = await Machinery.of(machines)
    following = asyncio.create_task(packets.follow())
    async with AsyncExitStack() as stack:  # whichever of them cannot be ended or mended, the others are
        stack.push_async_callback(_cancelled, following)
        for name in machines.names:
            stack.push_async_callback(machines.mend, name)
        yield Own(machines, packets, before, following)


async def _cancelled(task: asyncio.Task[None]) -> None:
    """End it. Raises what it had ended with."""
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


@asynccontextmanager
async def kubernetes_ground(seed: int) -> AsyncIterator[KubernetesGround]:
    """Open a shop on the cluster that PRIMUM_TEST_CONTEXT names; this process must be in the network of its nodes.

    Raises PrimumError if that is not one of ours.
    """
    kubeconfig, context = Path(os.environ["KUBECONFIG"]), os.environ[CONTEXT]
    if (server := (await kubernetes_config.load(kubeconfig, context)).host) != SERVER:
        raise PrimumError(
            f"the cluster at {server} has no registry on its node's loopback, which the shop's images come from",
            advice=f"without {CONTEXT} one that has is started for the run",
        )
    with tempfile.TemporaryDirectory(prefix="primum-ground-", ignore_cleanup_errors=True) as folder:
        async with (
            operating(kubeconfig, context) as operator,
            owned(operator) as own,
            standing(Place(operator, server, ETCD), seed, Path(folder), _say) as place,
            Relay() as relay,
        ):
            accounts = await identities(operator, server, Path(folder) / "primum")
            yield KubernetesGround(place, relay, accounts, own)


def enter() -> None:
    """Return if a cluster is named; else become this very command on one that is up for it alone.

    Raises PrimumError if there can be none.
    """
    choice = choose_ours(os.environ)
    if choice.source is Source.NONE:
        raise PrimumError(f"no real cluster can be had here: {choice.reason}", advice="--on lab is always there")
    if choice.source is Source.BUILT:
        command = (*OURS, "run", *sys.orig_argv)
        os.execv(command[0], command)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
