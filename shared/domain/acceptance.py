"""What a reader of the ledger believes: a message counts only if its owner said exactly that, exactly here."""

from collections.abc import Collection
from enum import StrEnum
from typing import NamedTuple

from shared.domain.append import owners_in, owners_of
from shared.domain.errors import IllegalTransition
from shared.domain.events import Owner, Recorded
from shared.domain.ids import EventId
from shared.domain.incident import Incident, apply


class Refusal(StrEnum):
    """Why a stored message has no effect."""

    UNREADABLE = "unreadable"
    """It is nothing that Primum writes."""
    NEWER = "newer"
    """A service of this ledger said it, in its place, and this version cannot read it, or what follows it."""
    FORGED = "forged"
    """It is not signed by whom it names: by nobody, by somebody else, or it was altered since."""
    FOREIGN = "foreign"
    """Its author signed it, and may not say that."""
    REPLAYED = "replayed"
    """It does not follow what was said last: a copy, or out of its place."""
    ILLEGAL = "illegal"
    """The table has no place for it there."""


class Heard(NamedTuple):
    """One message of an incident, and whose key its signature fits."""

    sequence: int
    record: Recorded | None
    """None: it could not be read."""
    signed_by: Owner | None
    """None: nobody's."""
    follows: EventId | None = None
    """What it names as the last one before it, if it could not be read."""


def hear(incident: Incident, heard: Heard) -> tuple[Incident, Refusal | None]:
    """Return the incident after a message. One that is refused moves only the sequence, for the compare-and-swap.

    What is well signed, in its place, and not to be read was said by a newer version. To leave it out would be to judge
    by half the truth: from there on the incident is `beyond` this reader.
    """
    if incident.beyond:
        return incident.model_copy(update={"sequence": heard.sequence}), Refusal.NEWER
    if heard.record is None:
        may = owners_of(incident.state)
        if why_refused(heard.signed_by, may, heard.follows, incident.last) is not None:
            return _unmoved(incident, heard.sequence), Refusal.UNREADABLE
        told = "a newer Primum carried it on: this one cannot read how"
        return incident.model_copy(update={"sequence": heard.sequence, "beyond": True, "reason": told}), Refusal.NEWER
    record = heard.record
    author = heard.signed_by if heard.signed_by is record.by else None
    owners = owners_in(incident.state, record.event)
    if (why := why_refused(author, owners, record.follows, incident.last)) is not None:
        return _unmoved(incident, heard.sequence), why
    try:
        return apply(incident, record), None
    except IllegalTransition:
        return _unmoved(incident, heard.sequence), Refusal.ILLEGAL


def why_refused(
    signed_by: Owner | None, may: Collection[Owner], follows: EventId | None, last: EventId
) -> Refusal | None:
    """Why a message counts for nothing, whatever it is about; None if it counts.

    `last` is the id of the last one that counted. Every message names the one that its author saw before it, so that
    a copy, wherever it is put, follows the wrong one.
    """
    if signed_by is None:
        return Refusal.FORGED
    if signed_by not in may:
        return Refusal.FOREIGN
    if follows != last:
        return Refusal.REPLAYED
    return None


def _unmoved(incident: Incident, sequence: int) -> Incident:
    return incident.model_copy(update={"sequence": sequence, "refused": incident.refused + 1})
