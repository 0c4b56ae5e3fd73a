"""What the gateway says, as far as the command line shows it; lenient to what a newer gateway may add."""

from typing import TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from shared.domain.cause import Evidence
from shared.domain.errors import PrimumError
from shared.domain.frozen import Json, JsonObject
from shared.domain.health import Health, SymptomReading, Verdict


class Said(BaseModel):
    """A part of an answer."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Summary(Said):
    """An incident in a list."""

    id: str
    state: str
    title: str
    root: str | None = None
    cause: str | None = None
    reason: str = ""
    needs_a_person: bool = False
    opened_at: AwareDatetime | None = None
    updated_at: AwareDatetime | None = None
    transactions: tuple[str, ...] = ()
    plan_hash: str | None = None


class Incidents(Said):
    """A list of them."""

    incidents: tuple[Summary, ...]
    unread: str | None = None


class Status(Said):
    """What goes on now."""

    cluster: str
    mode: str
    paused: str | None
    unread: str | None = None
    agents: dict[str, str]
    open: tuple[Summary, ...]


class Cause(Said):
    """Why it is broken."""

    code: str
    object: str
    summary: str
    confidence: float
    evidence: tuple[Evidence, ...] = ()
    rank_reasons: tuple[str, ...] = ()


class Plan(Said):
    """What would be done."""

    hash: str
    runbook: str
    risk: str
    destructive: bool
    cause: Cause
    diff: tuple[str, ...]
    undo: tuple[str, ...]
    blast_radius: tuple[str, ...]
    verdict_within_s: float


class Transaction(Said):
    """What was done."""

    id: str
    runbook: str
    outcome: str
    unproven: bool = False
    untried: bool = False
    verdict: Verdict | None = None
    undo_why: str | None = None
    opened_at: AwareDatetime
    diff: tuple[str, ...]
    before: Health
    after: Health | None = None
    symptom_before: SymptomReading


class Entry(Said):
    """One event of the timeline."""

    at: AwareDatetime
    by: str
    type: str
    text: str
    details: tuple[str, ...] = ()


class Detail(Said):
    """Everything about one incident."""

    summary: Summary
    causes: tuple[Cause, ...] = ()
    plan: Plan | None = None
    approval_expires_at: AwareDatetime | None = None
    transactions: tuple[Transaction, ...] = ()
    timeline: tuple[Entry, ...] = ()
    notes: tuple[str, ...] = ()


class Done(Said):
    """The answer to an order."""

    summary: Summary
    note: str = ""


AnAnswer = TypeVar("AnAnswer", bound=Said)


def understood(kind: type[AnAnswer], said: JsonObject) -> AnAnswer:
    """Return the answer. Raises PrimumError if the gateway speaks another version of this language."""
    try:
        return kind.model_validate(_printable(said))
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise PrimumError(
            f"the gateway's answer is not what this command line understands ({where})",
            advice="use the same version of both: `primum version`, and that of the gateway",
        ) from error


def _printable(said: Json) -> Json:
    """Without what would steer a terminal: alerts and pods can say anything, also escape sequences."""
    match said:
        case str():
            return printable(said)
        case list():
            return [_printable(part) for part in said]
        case dict():
            return {str(_printable(key)): _printable(value) for key, value in said.items()}
        case _:
            return said


def printable(text: str) -> str:
    """A text on one line, without what would steer a terminal."""
    return "".join(letter if letter.isprintable() else " " if letter.isspace() else "?" for letter in text)
