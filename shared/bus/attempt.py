"""One run of a handler, and what follows from how it ended: the one place that catches everything."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from structlog.typing import FilteringBoundLogger

from shared.bus import meters
from shared.bus.delivery import Dead, Done, Later, Settlement
from shared.bus.settings import ServiceSettings
from shared.bus.trace import continuing
from shared.domain.errors import (
    ClusterForbidden,
    ClusterUnavailable,
    Conflict,
    LedgerUnavailable,
    MetricsUnavailable,
    PrimumError,
    Refuse,
    Retry,
)
from shared.domain.events import Owner
from shared.ports.clock import Clock

OUTAGES: Final = (LedgerUnavailable, ClusterUnavailable, ClusterForbidden, MetricsUnavailable)
"""What passes without us, or by a person's hand: it is tried again for ever."""
_RUNS: Final = 5
"""How often a run that lost a race is repeated at once."""
_SHORTEST_S: Final = 0.25
_LONGEST_S: Final = 30.0


class HandlerTooSlowError(PrimumError):
    """A handler did not return: it was cancelled, wherever it was."""


@dataclass(frozen=True)
class Attempts:
    """How the handlers of one service are run."""

    owner: Owner
    settings: ServiceSettings
    clock: Clock
    log: FilteringBoundLogger

    async def run(
        self, work: str, handle: Callable[[], Awaitable[None]], times: int, headers: Mapping[str, str]
    ) -> Settlement:
        """Run it inside the trace of the message that asked for it; `times` is how often that was delivered."""
        began_s = self.clock.monotonic_s()
        with continuing(headers):
            settlement = await self._settled(work, handle, times)
        labels = (str(self.owner), work)
        meters.RECONCILE_S.labels(*labels).observe(self.clock.monotonic_s() - began_s)
        meters.HANDLED.labels(*labels, type(settlement).__name__.lower()).inc()
        return settlement

    async def _settled(self, work: str, handle: Callable[[], Awaitable[None]], times: int) -> Settlement:
        try:
            return await self._until_it_wins(handle)
        except Retry as error:
            self.log.info("will be tried again", work=work, reason=str(error), after_s=error.after_s)
            return Later(error.after_s, str(error))
        except Refuse as error:
            self.log.warning("can never be handled", work=work, reason=str(error))
            return Dead(str(error))
        except OUTAGES as error:
            self.log.warning("something does not answer", work=work, reason=str(error))
            return Later(backoff_s(times), str(error))
        except Exception as error:  # noqa: BLE001 - the boundary: a bug in a handler must not stop the service
            return self._bug(work, error, times)

    async def _until_it_wins(self, handle: Callable[[], Awaitable[None]]) -> Settlement:
        """Run; whoever loses a race folds and decides again at once."""
        lost, limit_s = "", self.settings.handler_timeout_s
        for _ in range(_RUNS):
            try:
                async with asyncio.timeout(limit_s) as limit:
                    await handle()
            except Conflict as error:
                lost = str(error)
            except TimeoutError as error:
                if not limit.expired():
                    raise
                raise HandlerTooSlowError(f"no end within {limit_s:g} s") from error
            else:
                return Done()
        return Later(_SHORTEST_S, f"lost {_RUNS} races: {lost}")

    def _bug(self, work: str, error: Exception, times: int) -> Settlement:
        self.log.error("a handler failed", work=work, delivered=times, exc_info=error)
        meters.BUGS.labels(str(self.owner), work).inc()
        reason = f"{type(error).__name__}: {error}"
        if times >= self.settings.max_failures:
            return Dead(f"failed {times} times, last with {reason}")
        return Later(backoff_s(times), reason, by_a_bug=True)


def backoff_s(times: int) -> float:
    """How long to wait after so many deliveries: doubling from a quarter of a second to half a minute."""
    return min(_LONGEST_S, _SHORTEST_S * 2.0 ** min(times - 1, 16))
