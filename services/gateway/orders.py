"""What people may order, as they send it: the bodies of the gateway's POST requests."""

from typing import Annotated, TypeAlias

from pydantic import Field, StringConstraints

from shared.domain.frozen import Frozen
from shared.domain.ids import PlanHash, TransactionId

Person = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Reason = Annotated[str, StringConstraints(strip_whitespace=True, max_length=2000)]


class Approve(Frozen):
    """Do it, and exactly it: the hash is that of the plan which the person was shown."""

    plan_hash: PlanHash = Field(min_length=1)
    by: Person


class Deny(Frozen):
    """Do not do it."""

    plan_hash: PlanHash = Field(min_length=1)
    by: Person
    reason: Reason = ""


class Take(Frozen):
    """Hands off, a person works on it."""

    by: Person


class Pick(Frozen):
    """Do this plan after all; picking it approves it."""

    plan_hash: PlanHash = Field(min_length=1)
    by: Person


class Close(Frozen):
    """It is over."""

    by: Person
    reason: Reason = ""


class Undo(Frozen):
    """Take a transaction back."""

    by: Person
    reason: Reason = ""
    transaction: TransactionId = TransactionId("")
    """From the address, not from the body."""


class Pause(Frozen):
    """Begin nothing new."""

    by: Person
    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000)]


class Resume(Frozen):
    """Go on."""

    by: Person


Order: TypeAlias = Approve | Deny | Take | Pick | Close | Undo
"""What changes one incident; pausing is everybody's."""
