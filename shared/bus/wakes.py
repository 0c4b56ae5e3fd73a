"""Which events of the ledger wake which service: the operator makes their consumers by it, before any of them runs."""

from collections.abc import Mapping
from typing import Final

from shared.domain.events import (
    Applied,
    ApprovalExpired,
    ApprovalRequested,
    Approved,
    Base,
    Cleared,
    CouldNotLook,
    Denied,
    Diagnosed,
    DiagnosisStarted,
    Kept,
    KeptMoreToDo,
    NoPlanLeft,
    NothingFound,
    Opened,
    Owner,
    PlanPicked,
    Relapsed,
    Stale,
    TransactionOpened,
    Undone,
    UndoneForGood,
    UndoneUntried,
    UndoRequested,
    UndoStuck,
)

WAKES_ON: Final[Mapping[Owner, frozenset[type[Base]]]] = {
    # What may need a person.
    Owner.GATEWAY: frozenset(
        {ApprovalRequested, ApprovalExpired, NothingFound, CouldNotLook, NoPlanLeft, Kept, UndoneForGood, UndoStuck}
    ),
    Owner.DETECTOR: frozenset({Opened, Cleared, Relapsed, Kept, UndoneForGood}),
    Owner.DIAGNOSER: frozenset({Opened, DiagnosisStarted, Undone, KeptMoreToDo, Relapsed, Stale}),
    Owner.MITIGATOR: frozenset(
        {Diagnosed, Approved, Denied, PlanPicked, UndoneUntried, TransactionOpened, Applied, Kept}
    ),
    Owner.UNDO: frozenset({TransactionOpened, Applied, UndoRequested}),
}
TAKES_ALERTS: Final = frozenset({Owner.DETECTOR})
