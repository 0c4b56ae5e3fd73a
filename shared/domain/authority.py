"""Who may say what on the bus, beside the table: drawn from its owners where it can be, said here once where not."""

from collections.abc import Mapping
from typing import Final

from shared.domain.events import (
    AlertJoined,
    Base,
    Fact,
    Noted,
    Opened,
    Owner,
    SampleTaken,
    SymptomRead,
    TransactionOpened,
    TransactionSeized,
)
from shared.domain.incident import TRANSITIONS, State


def events_of(owner: Owner) -> frozenset[type[Base]]:
    """Return the events that a service may append, in whatever state."""
    return frozenset(event for (_, event), row in TRANSITIONS.items() if owner in row.owners)


def _owners_of(*events: type[Base]) -> frozenset[Owner]:
    return frozenset(owner for owner in Owner if events_of(owner) & set(events))


_ENDERS: Final = frozenset(owner for row in TRANSITIONS.values() if row.next is State.CLOSED for owner in row.owners)

MAY_CLAIM_A_KEY: Final = _owners_of(Opened)
"""To say that the incident of a cause group is open."""
MAY_FREE_A_KEY: Final = _ENDERS
"""To say that none is: whoever may end an incident."""
MAY_HOLD: Final = _owners_of(TransactionOpened, TransactionSeized)
"""To take a workload's lock, and to say with a heartbeat that its holder lives."""
MAY_RELEASE: Final = MAY_HOLD | {Owner.GATEWAY}
"""A stuck transaction keeps its locks until a person decides, and people speak through the gateway."""
MAY_PAUSE: Final = frozenset({Owner.GATEWAY})
MAY_ALERT: Final = frozenset({Owner.GATEWAY})
MAY_CLAIM: Final = frozenset({Owner.GATEWAY})
"""To say that one is telling a person, so that no other does."""

MAY_NOTE: Final[Mapping[type[Fact], frozenset[Owner]]] = {
    AlertJoined: frozenset({Owner.DETECTOR}),
    SampleTaken: frozenset({Owner.MITIGATOR}),
    SymptomRead: frozenset({Owner.MITIGATOR}),
    Noted: frozenset(Owner),
}
