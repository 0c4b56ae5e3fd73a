"""The bus's time: processes compare moments that others wrote down, so all of them must read one clock."""

import json
from datetime import datetime, timedelta
from typing import Final

import nats.errors
from nats.aio.client import Client

from shared.domain.errors import LedgerUnavailable
from shared.ports.clock import Clock

_LONGEST_S: Final = 1.0
"""An answer that took longer says too little of when it was given."""


class NatsClock:
    """The port Clock on the server's wall clock, carried on by this machine's monotonic one between two questions.

    The server tells its time with what it says of a consumer (`ts`, nats-server 2.10 and later); `stream` and `durable`
    name one that the service may ask for. Until the first answer it is this machine's own wall clock.
    """

    def __init__(self, connection: Client, local: Clock, stream: str, durable: str, timeout_s: float = 5.0) -> None:
        self._connection, self._local, self._timeout_s = connection, local, timeout_s
        self._question = f"$JS.API.CONSUMER.INFO.{stream}.{durable}"
        self._known: tuple[datetime, float] | None = None

    def now(self) -> datetime:
        if self._known is None:
            return self._local.now()
        at, heard_s = self._known
        return at + timedelta(seconds=self._local.monotonic_s() - heard_s)

    def monotonic_s(self) -> float:
        return self._local.monotonic_s()

    async def sleep(self, seconds: float) -> None:
        await self._local.sleep(seconds)

    async def ask(self) -> float:
        """Ask the server what time it is; return by how many seconds this machine is ahead. Raises LedgerUnavailable.

        A slow answer is used only while there is no better one.
        """
        if not self._connection.is_connected:
            raise LedgerUnavailable("NATS is not connected")
        asked_s = self._local.monotonic_s()
        try:
            reply = await self._connection.request(self._question, b"", self._timeout_s)
            at = datetime.fromisoformat(json.loads(reply.data)["ts"])
        except (nats.errors.Error, TimeoutError, OSError) as error:
            raise LedgerUnavailable(f"NATS did not say what time it is ({type(error).__name__})") from error
        except (KeyError, ValueError) as error:
            raise LedgerUnavailable("NATS said nothing of the time: is there no such consumer?") from error
        heard_s = self._local.monotonic_s()
        if self._known is None or heard_s - asked_s < _LONGEST_S:
            self._known = (at, (asked_s + heard_s) / 2)
        return (self._local.now() - self.now()).total_seconds()
