"""Everything that can happen to an incident. The outcome is in an event's name; `incident` has the table."""

from enum import StrEnum
from typing import Annotated, ClassVar, Final, Literal, TypeAlias

from pydantic import AwareDatetime, Field, TypeAdapter

from shared.domain.alert import Alert
from shared.domain.cause import Cause
from shared.domain.change import Change
from shared.domain.cluster import Ref
from shared.domain.frozen import Frozen, JsonObject
from shared.domain.health import Health, SymptomReading, Verdict
from shared.domain.ids import ClusterName, CorrelationKey, EventId, HolderId, IncidentId, PlanHash, TransactionId
from shared.domain.runbook import Plan


class Owner(StrEnum):
    """The services: only an event's owner may append it."""

    GATEWAY = "gateway"
    DETECTOR = "detector"
    DIAGNOSER = "diagnoser"
    MITIGATOR = "mitigator"
    UNDO = "undo"


class UndoWhy(StrEnum):
    """Why a transaction is taken back; it decides what comes after."""

    WORSE = "worse"
    DID_NOT_HELP = "did-not-help"
    STEP_FAILED = "step-failed"
    HOLDER_DIED = "holder-died"
    CUT_OFF = "cut-off"
    """The holder lost its bus or its cluster in the middle of a step."""
    PAUSED = "paused"
    RELAPSED = "relapsed"
    PERSON = "person"


UNJUDGED: Final = frozenset({UndoWhy.HOLDER_DIED, UndoWhy.CUT_OFF, UndoWhy.PAUSED})
"""What cuts a transaction short and says nothing against its plan: nothing was measured."""


class Base(Frozen):
    """Common to all: `type` is the class's name, on the wire and in the subject."""

    name: ClassVar[str]

    @classmethod
    def __pydantic_init_subclass__(cls, **_: object) -> None:
        cls.name = cls.__name__


# --- detector


class Opened(Base):
    type: Literal["Opened"] = "Opened"
    cluster: ClusterName
    key: CorrelationKey
    root: Ref | None
    """The workload that topology names as the root of the alerts; None where nothing does."""
    title: str
    alert: Alert
    grouped_because: str


class Cleared(Base):
    type: Literal["Cleared"] = "Cleared"
    reading: SymptomReading


class Merged(Base):
    type: Literal["Merged"] = "Merged"
    into: IncidentId
    reason: str


class Relapsed(Base):
    type: Literal["Relapsed"] = "Relapsed"
    reading: SymptomReading


class Quiet(Base):
    type: Literal["Quiet"] = "Quiet"
    reason: str


# --- diagnoser


class DiagnosisStarted(Base):
    type: Literal["DiagnosisStarted"] = "DiagnosisStarted"


class Diagnosed(Base):
    type: Literal["Diagnosed"] = "Diagnosed"
    causes: tuple[Cause, ...] = Field(min_length=1)
    """Best first."""
    looked_at: tuple[str, ...]


class NothingFound(Base):
    type: Literal["NothingFound"] = "NothingFound"
    looked_at: tuple[str, ...]


class CouldNotLook(Base):
    type: Literal["CouldNotLook"] = "CouldNotLook"
    reason: str


# --- mitigator


class TransactionOpened(Base):
    type: Literal["TransactionOpened"] = "TransactionOpened"
    transaction: TransactionId
    plan: Plan
    holder: HolderId
    before: Health
    symptom_before: SymptomReading
    permitted_because: str


class ApprovalRequested(Base):
    type: Literal["ApprovalRequested"] = "ApprovalRequested"
    plan: Plan
    diff: tuple[str, ...]
    reason: str
    expires_at: AwareDatetime


class Proposed(Base):
    type: Literal["Proposed"] = "Proposed"
    plan: Plan
    diff: tuple[str, ...]
    reason: str


class NoPlanLeft(Base):
    type: Literal["NoPlanLeft"] = "NoPlanLeft"
    considered: tuple[str, ...]
    """A line for each runbook that treats the causes, with why it was not chosen."""


class Deferred(Base):
    type: Literal["Deferred"] = "Deferred"
    reason: str
    until: AwareDatetime


class Stale(Base):
    type: Literal["Stale"] = "Stale"
    reason: str


class ApprovalExpired(Base):
    type: Literal["ApprovalExpired"] = "ApprovalExpired"
    plan_hash: PlanHash


class Intended(Base):
    type: Literal["Intended"] = "Intended"
    transaction: TransactionId
    step: int
    change: Change
    pre_image: JsonObject
    post_image: JsonObject
    """What the server's dry run returned: the values as it stores them, which undo compares with."""


class StepApplied(Base):
    type: Literal["StepApplied"] = "StepApplied"
    transaction: TransactionId
    step: int


class Applied(Base):
    type: Literal["Applied"] = "Applied"
    transaction: TransactionId
    judge_by: AwareDatetime
    """The deadline of the verdict; clear cases end earlier."""


class Kept(Base):
    type: Literal["Kept"] = "Kept"
    transaction: TransactionId
    verdict: Verdict
    after: Health
    symptom: SymptomReading
    unproven: bool = False
    reason: str


class KeptMoreToDo(Base):
    type: Literal["KeptMoreToDo"] = "KeptMoreToDo"
    transaction: TransactionId
    verdict: Verdict
    after: Health
    symptom: SymptomReading
    reason: str


class UndoRequested(Base):
    type: Literal["UndoRequested"] = "UndoRequested"
    transaction: TransactionId
    why: UndoWhy
    reason: str
    verdict: Verdict | None = None
    after: Health | None = None
    by: str = ""


# --- undo


class TransactionSeized(Base):
    type: Literal["TransactionSeized"] = "TransactionSeized"
    transaction: TransactionId
    holder: HolderId


class UndoIntended(Base):
    type: Literal["UndoIntended"] = "UndoIntended"
    transaction: TransactionId
    step: int
    change: Change
    """The inverse of what was intended: derived, never written by hand."""


class UndoStepApplied(Base):
    type: Literal["UndoStepApplied"] = "UndoStepApplied"
    transaction: TransactionId
    step: int
    found: str
    """What stood there: `ours` (put back), `untouched` (the write never arrived), `already-back`, `self-healing`."""


class Undone(Base):
    type: Literal["Undone"] = "Undone"
    transaction: TransactionId
    verified: Verdict
    after: Health


class UndoneUntried(Base):
    type: Literal["UndoneUntried"] = "UndoneUntried"
    transaction: TransactionId
    verified: Verdict
    after: Health


class UndoneForGood(Base):
    type: Literal["UndoneForGood"] = "UndoneForGood"
    transaction: TransactionId
    verified: Verdict
    after: Health
    reason: str


class UndoStuck(Base):
    type: Literal["UndoStuck"] = "UndoStuck"
    transaction: TransactionId
    reason: str
    values: tuple[str, ...] = ()
    """Where somebody edited after us: path, their value, ours."""


# --- gateway: people


class Approved(Base):
    type: Literal["Approved"] = "Approved"
    plan_hash: PlanHash
    by: str


class Denied(Base):
    type: Literal["Denied"] = "Denied"
    plan_hash: PlanHash
    by: str
    reason: str = ""


class TakenOver(Base):
    type: Literal["TakenOver"] = "TakenOver"
    by: str


class PlanPicked(Base):
    type: Literal["PlanPicked"] = "PlanPicked"
    plan_hash: PlanHash
    by: str


class Closed(Base):
    type: Literal["Closed"] = "Closed"
    by: str
    reason: str = ""


Event: TypeAlias = Annotated[
    Opened
    | Cleared
    | Merged
    | Relapsed
    | Quiet
    | DiagnosisStarted
    | Diagnosed
    | NothingFound
    | CouldNotLook
    | TransactionOpened
    | ApprovalRequested
    | Proposed
    | NoPlanLeft
    | Deferred
    | Stale
    | ApprovalExpired
    | Intended
    | StepApplied
    | Applied
    | Kept
    | KeptMoreToDo
    | UndoRequested
    | TransactionSeized
    | UndoIntended
    | UndoStepApplied
    | Undone
    | UndoneUntried
    | UndoneForGood
    | UndoStuck
    | Approved
    | Denied
    | TakenOver
    | PlanPicked
    | Closed,
    Field(discriminator="type"),
]
EVENTS: TypeAdapter[Event] = TypeAdapter(Event)
EVENT_TYPES: tuple[type[Base], ...] = tuple(Base.__subclasses__())


class Recorded(Frozen):
    """An event as the ledger holds it."""

    incident: IncidentId
    id: EventId
    sequence: int
    at: AwareDatetime
    by: Owner
    event: Event
    follows: EventId = EventId("")
    """The event that its author had seen last in this incident: a copy follows the wrong one."""


# --- facts: what only informs; they never change a state


class AlertJoined(Frozen):
    """An alert that belongs to the incident: the first one, and every one that follows."""

    fact: Literal["alert-joined"] = "alert-joined"
    alert: Alert
    because: str

    @property
    def once(self) -> str:
        """Equal for two records that the same alert, which began to fire once, joined."""
        return f"{self.alert.fingerprint} {self.alert.starts_at.timestamp()}"


class SampleTaken(Frozen):
    """One measurement of the scope while a transaction is judged."""

    fact: Literal["sample-taken"] = "sample-taken"
    transaction: TransactionId
    health: Health
    symptom: SymptomReading


class SymptomRead(Frozen):
    """One measurement of the symptom while nothing is under way: the next one shows by it whether it recedes."""

    fact: Literal["symptom-read"] = "symptom-read"
    symptom: SymptomReading
    at: AwareDatetime


class Noted(Frozen):
    """A sentence for the person who reads the timeline."""

    fact: Literal["noted"] = "noted"
    text: str


Fact: TypeAlias = Annotated[AlertJoined | SampleTaken | SymptomRead | Noted, Field(discriminator="fact")]
FACTS: TypeAdapter[Fact] = TypeAdapter(Fact)
