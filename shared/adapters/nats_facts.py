"""Facts on JetStream, read on where it stopped: a storm's incident has thousands, and is looked at again and again."""

from collections import OrderedDict
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Final

from shared.adapters import nats_events
from shared.adapters.nats_stream import NatsStream, Stored
from shared.adapters.refused import Refused
from shared.adapters.seal import Seal
from shared.bus import subjects
from shared.domain.acceptance import Refusal
from shared.domain.authority import MAY_NOTE
from shared.domain.errors import Refuse
from shared.domain.events import Fact
from shared.domain.ids import IncidentId

_FACTS_KEPT: Final = 10_000
"""Of all incidents together: two storms' worth."""
_INCIDENTS_KEPT: Final = 256


class Facts:
    """What counts of what is said beside the ledger; the facts of the incidents last looked at are kept."""

    def __init__(self, stream: NatsStream, seal: Seal, refused: Refused) -> None:
        self._stream, self._seal, self._refused = stream, seal, refused
        self._by_id: OrderedDict[IncidentId, _Read] = OrderedDict()

    async def of(self, incident: IncidentId) -> Sequence[Fact]:
        """Return an incident's facts, oldest first. Raises LedgerUnavailable."""
        read = self._by_id.get(incident) or _Read()
        for stored in await self._stream.after(subjects.facts_of(incident), read.sequence):
            if stored.sequence > read.sequence:  # else another reader was faster
                read.sequence = stored.sequence
                self._hear(incident, read, stored)
        self._keep(incident, read)
        return tuple(read.told.values())

    def forget(self, incident: IncidentId) -> None:
        """Let go of an incident's facts; they are read anew if somebody asks."""
        self._by_id.pop(incident, None)

    def only(self, still_open: AbstractSet[IncidentId]) -> None:
        """Let go of the facts of all others."""
        for incident in self._by_id.keys() - still_open:
            del self._by_id[incident]

    def _hear(self, incident: IncidentId, read: "_Read", stored: Stored) -> None:
        try:
            fact = nats_events.fact(stored)
        except Refuse:
            self._refused.note(stored, Refusal.UNREADABLE)
            return
        name = stored.headers.get("ce-id", "")
        if (why := self._why_refused(incident, fact, stored)) is not None:
            self._refused.note(stored, why)
        elif name in read.told:  # facts have no order: a copy is known by its name
            self._refused.note(stored, Refusal.REPLAYED)
        else:
            read.told[name] = fact

    def _why_refused(self, incident: IncidentId, fact: Fact, stored: Stored) -> Refusal | None:
        signer = self._seal.signer(stored)
        if signer is None or stored.subject != subjects.fact(incident, fact.fact):
            return Refusal.FORGED
        return None if signer in MAY_NOTE[type(fact)] else Refusal.FOREIGN

    def _keep(self, incident: IncidentId, read: "_Read") -> None:
        if read.sequence:
            self._by_id[incident] = max(read, self._by_id.get(incident, read), key=lambda each: each.sequence)
            self._by_id.move_to_end(incident)
        while len(self._by_id) > 1 and (len(self._by_id) > _INCIDENTS_KEPT or self._count() > _FACTS_KEPT):
            self._by_id.popitem(last=False)

    def _count(self) -> int:
        return sum(len(read.told) for read in self._by_id.values())


class _Read:
    """The facts of one incident as far as they were read, by name."""

    def __init__(self) -> None:
        self.sequence = 0
        self.told: dict[str, Fact] = {}
