"""Runbooks are contracts: what they treat, what must hold before and after, which steps, at which risk."""

import hashlib
import json
from enum import StrEnum
from typing import Self, TypeAlias

from pydantic import Field, model_validator

from shared.domain.cause import Cause, CauseCode
from shared.domain.change import Change, Evict, Patch
from shared.domain.cluster import Ref
from shared.domain.frozen import Frozen
from shared.domain.ids import PlanHash
from shared.domain.redaction import shown_slot


class Risk(StrEnum):
    """How much can go wrong while it runs; ties between runbooks go to the lower."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class ActionStep(Frozen):
    """Run one action of the registry."""

    id: str
    action: str
    with_: dict[str, str] = Field(default={}, alias="with")
    """The action's parameters, each a name of the runbook's params."""
    next: str | None = None


class CheckStep(Frozen):
    """Look, change nothing, and branch."""

    id: str
    check: str
    """A CEL expression over the runbook's params."""
    then: str | None = None
    otherwise: str | None = None


Step: TypeAlias = ActionStep | CheckStep


class Runbook(Frozen):
    """One versioned contract. Times are those of a real cluster, in seconds."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    version: int = Field(ge=1)
    summary: str
    treats: tuple[CauseCode, ...] = Field(min_length=1)
    params: dict[str, str]
    """Name to source: `cause.object`, or `cause.remedy.<key>`."""
    preconditions: tuple[str, ...] = ()
    postconditions: tuple[str, ...] = ()
    steps: tuple[Step, ...] = Field(min_length=1)
    settle_s: float = Field(gt=0)
    """At the longest, how long until the cluster has done what the steps ask."""
    shows_within_s: float = Field(gt=0)
    """At the longest, how long after settling until the symptom can be seen to leave."""
    risk: Risk
    destructive: bool = False

    @model_validator(mode="after")
    def _steps_are_a_graph(self) -> Self:
        ids = [step.id for step in self.steps]
        if len(set(ids)) != len(ids):
            raise ValueError("two steps have the same id")
        for step in self.steps:
            for target in (step.next,) if isinstance(step, ActionStep) else (step.then, step.otherwise):
                if target is not None and target not in ids[ids.index(step.id) + 1 :]:
                    raise ValueError(f"step {step.id!r} goes to {target!r}, which is no later step")
        return self

    @property
    def hash(self) -> str:
        """SHA-256 of the contract's canonical JSON, in hex."""
        return canonical_hash(self.model_dump(mode="json", by_alias=True))


class RunbookId(Frozen):
    """Which contract exactly: its name, version and content."""

    name: str
    version: int
    hash: str


class Plan(Frozen):
    """A runbook bound to one cause: exactly what will be written, and whom it can touch."""

    runbook: RunbookId
    cause: Cause
    changes: tuple[Change, ...] = Field(min_length=1)
    scope: tuple[Ref, ...] = Field(min_length=1)
    """The workloads that are locked and judged: the written ones and those they serve."""
    settle_s: float
    shows_within_s: float
    risk: Risk
    destructive: bool
    postconditions: tuple[str, ...] = ()

    @property
    def hash(self) -> PlanHash:
        """What an approval is bound to: the contract, the cause's object and every change."""
        said = {
            "runbook": self.runbook.hash,
            "object": str(self.cause.object),
            "changes": [change.model_dump(mode="json") for change in self.changes],
        }
        return PlanHash(canonical_hash(said)[:16])

    @property
    def written(self) -> frozenset[Ref]:
        """The objects that it patches; what heals itself is moved, not written."""
        return frozenset(change.ref for change in self.changes if isinstance(change, Patch))

    @property
    def locked(self) -> tuple[Ref, ...]:
        """What the transaction locks: the judged scope and every object that it writes."""
        return tuple(sorted({*self.scope, *self.written}))

    @property
    def blast_radius(self) -> tuple[str, ...]:
        return tuple(sorted({str(change.ref) for change in self.changes} | {str(ref) for ref in self.scope}))


def canonical_hash(value: object) -> str:
    """SHA-256 in hex of JSON with sorted keys and no spaces."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def describe(change: Patch | Evict) -> list[str]:
    """Say in a line for each edit what a change does, as a diff that a tired person can read."""
    match change:
        case Patch(ref=ref, edits=edits):
            return [
                f"{ref} {edit.path}: {shown_slot(edit.path, edit.before)} -> {shown_slot(edit.path, edit.after)}"
                for edit in edits
            ]
        case Evict(ref=ref, controller=controller):
            return [f"{ref}: evicted; {controller} makes another"]
