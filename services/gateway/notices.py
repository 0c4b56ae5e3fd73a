"""What a person must be told who is not looking: when it is due, and the whole context in one message."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple

from services.gateway.views import cause_view, dump, plan_view, summary, transaction_view
from shared.domain.events import Kept, Opened, Proposed, Recorded, TakenOver
from shared.domain.frozen import Json, JsonObject
from shared.domain.ids import IncidentId
from shared.domain.incident import Incident, State, advance


class Why(StrEnum):
    """What is wanted of the person."""

    AWAITING_APPROVAL = "awaiting_approval"
    ESCALATED = "escalated"
    STUCK = "stuck"
    KEPT_UNPROVEN = "kept_unproven"
    UNDO_IS_LATE = "undo_is_late"


class Notice(NamedTuple):
    """One thing to tell, once: `sequence` is the ledger's, of the event that made it due."""

    why: Why
    sequence: int

    def name(self, incident: IncidentId) -> str:
        """Name it among all notices: the message's `id`, by which a receiver knows a repeat."""
        return f"{incident}.{self.sequence}"

    def told(self, how: str) -> str:
        """The note in the timeline that it was told; it is how a second telling is avoided."""
        return f"{self.why} (event {self.sequence}): {how}"


_STATES: Final = {
    State.AWAITING_APPROVAL: Why.AWAITING_APPROVAL,
    State.ESCALATED: Why.ESCALATED,
    State.STUCK: Why.STUCK,
}


def due(history: Sequence[Recorded], late_since: datetime) -> Notice | None:
    """Return what is to be told of an incident as it stands; an undo that was asked for before `late_since` is late.

    Observe mode's proposals disturb nobody, and who took an incident over knows it. A late undo goes on by itself, for
    as long as its cluster does not answer or a lock is somebody else's: it has no end of its own that would tell.
    """
    state, entered = _entered(history)
    if entered is None or isinstance(entered.event, Proposed | TakenOver):
        return None
    if state is State.UNDOING:
        return Notice(Why.UNDO_IS_LATE, entered.sequence) if entered.at <= late_since else None
    if state is State.RESOLVED and isinstance(entered.event, Kept) and entered.event.unproven:
        return Notice(Why.KEPT_UNPROVEN, entered.sequence)
    why = _STATES.get(state) if state else None
    return Notice(why, entered.sequence) if why else None


def _entered(history: Sequence[Recorded]) -> tuple[State | None, Recorded | None]:
    """The state and the event that led there, or the last word of a person who took it."""
    state: State | None = None
    entered: Recorded | None = None
    for record in history:
        after = advance(state, record.event)
        if after is not state or isinstance(record.event, TakenOver):
            entered = record
        state = after
    return state, entered


def message(notice: Notice, incident: Incident, history: Sequence[Recorded], url: str) -> JsonObject:
    """The full context, for whoever reads it on a phone at night: what, why, on what evidence, and what to do."""
    opened = next((record.event for record in history if isinstance(record.event, Opened)), None)
    return {
        "id": notice.name(incident.id),
        "why": notice.why,
        "text": _text(notice, incident),
        "summary": summary(incident),
        "alert": dump(opened.alert) if opened else None,
        "causes": [cause_view(cause) for cause in incident.causes],
        "plan": plan_view(incident.pending) if incident.pending else None,
        "transactions": [transaction_view(known) for known in incident.transactions],
        "do": _do(notice, incident, f"{url}/api/incidents/{incident.id}"),
        "incident": dump(incident),
    }


def _text(notice: Notice, incident: Incident) -> str:
    match notice.why:
        case Why.AWAITING_APPROVAL:
            runbook = incident.pending.runbook.name if incident.pending else "a plan"
            return f"Primum asks to run {runbook} for {incident.title}: {incident.reason}"
        case Why.ESCALATED:
            return f"Primum needs you for {incident.title}: {incident.reason}"
        case Why.STUCK:
            return f"Primum could not take back what it did for {incident.title}: {incident.reason}"
        case Why.KEPT_UNPROVEN:
            return f"Primum keeps a change for {incident.title} that it could not measure: {incident.reason}"
        case Why.UNDO_IS_LATE:
            return (
                f"Primum is still taking back what it did for {incident.title}, and goes on trying: the log of its undo"
                f" service says what it waits for, its cluster or another transaction's lock ({incident.reason})"
            )


def _do(notice: Notice, incident: Incident, url: str) -> list[Json]:
    """Each thing that can be done now, as a command and as a request."""
    acts: list[Json] = [_act("look", f"primum show {incident.id}", "GET", url)]
    plan_hash = incident.pending.hash if incident.pending else None
    match notice.why:
        case Why.AWAITING_APPROVAL:
            body: JsonObject = {"plan_hash": plan_hash, "by": "<you>"}
            acts.append(_act("approve", f"primum approve {incident.id}", "POST", f"{url}/approve", body))
            acts.append(_act("deny", f"primum deny {incident.id}", "POST", f"{url}/deny", body))
        case Why.ESCALATED | Why.STUCK:
            acts.append(_act("take", f"primum take {incident.id}", "POST", f"{url}/take", {"by": "<you>"}))
            acts.append(_act("close", f"primum close {incident.id}", "POST", f"{url}/close", {"by": "<you>"}))
        case Why.KEPT_UNPROVEN:
            base = url.partition("/api/")[0]
            acts += [
                _act("undo", f"primum undo {known.id}", "POST", f"{base}/api/transactions/{known.id}/undo")
                for known in incident.transactions[-1:]
            ]
        case Why.UNDO_IS_LATE:
            pass
    return acts


def _act(what: str, command: str, method: str, url: str, body: JsonObject | None = None) -> JsonObject:
    return {"what": what, "command": command, "method": method, "url": url, "body": body}
