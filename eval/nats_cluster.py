"""Three real nats-servers that are one cluster, on loopback: what production runs, and what can lose its leader."""

import asyncio
import os
import signal
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final, Self

import nats
from nats.aio.client import DEFAULT_INBOX_PREFIX, Client
from nats.js.errors import APIError

from eval.ports import free_ports
from eval.stopping import together
from shared.adapters.nats_connection import User, inbox_prefix
from shared.adapters.nats_server import EmbeddedNats
from shared.ports.clock import Clock

NODES: Final = 3
_LOOK_EVERY_S: Final = 0.05
_CLUSTER: Final = """\
server_name: "{name}"
cluster {{ name: "primum", listen: "127.0.0.1:{port}", routes: [{routes}] }}
"""


class NatsCluster:
    """`async with NatsCluster(folder, clock) as cluster:` has a leader, and all three nodes current.

    `url` names all of them, with commas between. A node goes by its number. `more` goes into each one's configuration;
    if that names users, `user` is who looks after the cluster. Raises NatsDidNotStart, TimeoutError.
    """

    def __init__(
        self, folder: Path, clock: Clock, *, more: str = "", user: User | None = None, within_s: float = 30.0
    ) -> None:
        self._clock, self._user, self._within_s = clock, user, within_s
        ports = free_ports(2 * NODES)
        clients, routes = ports[:NODES], ports[NODES:]
        mesh = ", ".join(f'"nats://127.0.0.1:{port}"' for port in routes)
        self.nodes = [
            EmbeddedNats(
                folder / str(number),
                port,
                start_timeout_s=within_s,
                more=_CLUSTER.format(name=number, port=route, routes=mesh) + more,
            )
            for number, (port, route) in enumerate(zip(clients, routes, strict=True))
        ]
        self._stack = AsyncExitStack()

    @property
    def url(self) -> str:
        return ",".join(node.url for node in self.nodes)

    async def __aenter__(self) -> Self:
        try:
            for node in self.nodes:
                self._stack.push_async_callback(node.stop)
            await together(node.start() for node in self.nodes)
            await self.healthy()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def connect(self) -> Client:
        """Connect to whichever node answers."""
        return await nats.connect(
            self.url.split(","),
            connect_timeout=2,
            error_cb=_expected,
            nkeys_seed_str=self._user.key.seed if self._user else None,
            inbox_prefix=inbox_prefix(self._user.name) if self._user else DEFAULT_INBOX_PREFIX,
        )

    async def leader_of(self, stream: str) -> int:
        """Return the node that leads a stream. Raises TimeoutError if none does in time."""
        client = await self.connect()
        try:
            async with asyncio.timeout(self._within_s):
                while True:
                    try:
                        found = (await client.jetstream(timeout=1).stream_info(stream)).cluster
                    except (nats.errors.Error, APIError):  # nobody leads just now
                        found = None
                    if found is not None and found.leader:
                        return int(found.leader)
                    await self._clock.sleep(_LOOK_EVERY_S)
        finally:
            await client.close()

    async def kill(self, number: int) -> None:
        """End a node at once, as a power cut does; return once it is gone."""
        os.kill(self.nodes[number].pid, signal.SIGKILL)
        async with asyncio.timeout(self._within_s):
            while not self.nodes[number].exited:
                await self._clock.sleep(_LOOK_EVERY_S)

    async def stop(self, number: int) -> None:
        """Let a node end in order: it hands its leaderships on first."""
        await self.nodes[number].stop()

    async def start(self, number: int) -> None:
        """Start a node again, on its port and its data."""
        await self.nodes[number].stop()  # of one that was killed this lets go of the folder
        await self.nodes[number].start()

    async def healthy(self) -> None:
        """Wait until there is a leader for everything, and every copy is current. Raises TimeoutError."""
        client = await self.connect()
        try:
            async with asyncio.timeout(self._within_s):
                while not await self._is_healthy(client):
                    await self._clock.sleep(_LOOK_EVERY_S)
        finally:
            await client.close()

    async def _is_healthy(self, client: Client) -> bool:
        js = client.jetstream(timeout=1)
        try:
            await js.account_info()
            infos = await js.streams_info()
        except (nats.errors.Error, APIError):
            return False
        for info in infos:
            if info.cluster is None or not info.cluster.leader:
                return False
            if any(not peer.current or peer.offline for peer in info.cluster.replicas or ()):
                return False
        return True


async def _expected(_: Exception) -> None:
    """Nodes die here; nats-py would print a traceback for each attempt to reach one."""
