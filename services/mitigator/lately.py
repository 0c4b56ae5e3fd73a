"""What the mitigator remembers of incidents that are over, so that a plan does not read a day's incidents again.

Nothing depends on it: a mitigator that has forgotten everything reads them again.
"""

import asyncio
from datetime import datetime, timedelta
from itertools import chain
from typing import Final

from services.mitigator import decide
from shared.domain.ids import IncidentId
from shared.domain.incident import State
from shared.ports.ledger import Ledger

DAY: Final = timedelta(hours=24)
LOOKED_OVER: Final = 1000
"""How many incidents, newest first, are searched for the transactions of a day: a storm opens hundreds."""
_AT_ONCE: Final = 64


class Lately:
    """The transactions of the newest incidents; of those that are closed, only what the next plan is judged by."""

    def __init__(self) -> None:
        self._over: dict[IncidentId, tuple[decide.Past, ...]] = {}

    async def recent(self, ledger: Ledger, now: datetime) -> decide.Recent:
        """Look over the transactions of the last day, of all incidents. Raises LedgerUnavailable."""
        newest = await ledger.incidents(limit=LOOKED_OVER)
        over = {known: self._over[known] for known in newest if known in self._over}
        unread, open_ones = [known for known in newest if known not in over], list[decide.Past]()
        for start in range(0, len(unread), _AT_ONCE):
            for incident in await asyncio.gather(*map(ledger.fold, unread[start : start + _AT_ONCE])):
                if incident.state is State.CLOSED:
                    over[incident.id] = decide.past(incident)
                else:
                    open_ones += decide.past(incident)
        self._over = over
        return decide.recently([*open_ones, *chain.from_iterable(over.values())], now - DAY)
