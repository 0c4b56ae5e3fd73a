"""Incidents as people read them, over HTTP, in the command line and in a message: the fold, put in words."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

from services.gateway.sentences import details, sentence
from shared.domain.cause import Cause
from shared.domain.change import Evict, Patch
from shared.domain.events import AlertJoined, Fact, Noted, Recorded, SampleTaken, SymptomRead
from shared.domain.frozen import Frozen, Json, JsonObject
from shared.domain.incident import NEEDS_A_PERSON, Incident
from shared.domain.runbook import Plan, describe
from shared.domain.transaction import Transaction


def agents(activities: Mapping[str, str]) -> JsonObject:
    """What is done now, by service where one process of it speaks, else by process."""
    services = {holder: holder.partition("-")[0] for holder in activities}
    many = {service for service, times in Counter(services.values()).items() if times > 1}
    return {
        holder if (service := services[holder]) in many else service: said
        for holder, said in sorted(activities.items())
    }


def summary(incident: Incident) -> JsonObject:
    """One incident in a list."""
    best = incident.causes[0] if incident.causes else None
    return {
        "id": incident.id,
        "state": incident.state,
        "title": incident.title,
        "root": str(incident.root) if incident.root else None,
        "cause": f"{best.code} at {best.object}" if best else None,
        "reason": incident.reason,
        "needs_a_person": incident.state in NEEDS_A_PERSON,
        "opened_at": _at(incident.opened_at),
        "updated_at": _at(incident.updated_at),
        "transactions": [known.id for known in incident.transactions],
        "plan_hash": incident.pending.hash if incident.pending else None,
    }


def detail(incident: Incident, history: Sequence[Recorded], facts: Sequence[Fact]) -> JsonObject:
    """Everything about one incident; `incident` is the fold itself, `timeline` its events in words."""
    return {
        "incident": dump(incident),
        "summary": summary(incident),
        "causes": [cause_view(cause) for cause in incident.causes],
        "plan": plan_view(incident.pending) if incident.pending else None,
        "approval_expires_at": _at(incident.approval_expires_at),
        "transactions": [transaction_view(known) for known in incident.transactions],
        "timeline": [entry(record) for record in history],
        "facts": [dump(fact) for fact in facts],
        "notes": _notes(facts),
    }


def entry(record: Recorded) -> JsonObject:
    """One event of the timeline."""
    return {
        "at": record.at.isoformat(),
        "sequence": record.sequence,
        "by": record.by,
        "type": record.event.type,
        "text": sentence(record.event),
        "details": list(details(record.event)),
        "event": dump(record.event),
    }


def cause_view(cause: Cause) -> JsonObject:
    """A cause with its evidence."""
    return {
        "code": cause.code,
        "object": str(cause.object),
        "summary": cause.summary,
        "confidence": cause.confidence,
        "evidence": [dump(piece) for piece in cause.evidence],
        "rank_reasons": list(cause.rank_reasons),
    }


def plan_view(plan: Plan) -> JsonObject:
    """What a plan would do, whom it can touch, and how it would be taken back."""
    return {
        "hash": plan.hash,
        "runbook": plan.runbook.name,
        "runbook_version": plan.runbook.version,
        "risk": plan.risk,
        "destructive": plan.destructive,
        "cause": cause_view(plan.cause),
        "diff": diff(plan),
        "undo": undo(plan),
        "blast_radius": list(plan.blast_radius),
        "verdict_within_s": plan.settle_s + plan.shows_within_s,
    }


def diff(plan: Plan) -> list[Json]:
    """A line for each value that it writes."""
    return [line for change in plan.changes for line in describe(change)]


def undo(plan: Plan) -> list[Json]:
    """A line for each value that undo would put back, in the order of doing so."""
    lines: list[Json] = []
    for change in reversed(plan.changes):
        match change:
            case Patch():
                lines += describe(change.inverse())
            case Evict(ref=ref):
                lines.append(f"{ref}: nothing to put back, its controller makes another")
    return lines


def transaction_view(known: Transaction) -> JsonObject:
    """One transaction with its measurements before and after."""
    return {
        "id": known.id,
        "runbook": known.plan.runbook.name,
        "plan_hash": known.plan.hash,
        "outcome": known.outcome,
        "unproven": known.unproven,
        "verdict": dump(known.verdict),
        "undo_why": known.undo_why,
        "untried": known.untried,
        "opened_at": known.opened_at.isoformat(),
        "applied_at": _at(known.applied_at),
        "diff": diff(known.plan),
        "undo": undo(known.plan),
        "scope": [str(ref) for ref in known.scope],
        "before": dump(known.before),
        "after": dump(known.after),
        "symptom_before": dump(known.symptom_before),
    }


def dump(value: Frozen | None) -> JsonObject | None:
    """A value of the domain as JSON."""
    return None if value is None else value.model_dump(mode="json", by_alias=True)


def _notes(facts: Sequence[Fact]) -> list[Json]:
    """A line for each fact; the alerts of one name and status are one line, since a storm joins hundreds."""
    joined = [fact for fact in facts if isinstance(fact, AlertJoined)]
    firsts = {(fact.alert.status, fact.alert.name): fact for fact in reversed(joined)}
    times = Counter((fact.alert.status, fact.alert.name) for fact in joined)
    lines: list[Json] = []
    for fact in facts:
        if not isinstance(fact, AlertJoined):
            lines.append(_note(fact))
        elif firsts[which := (fact.alert.status, fact.alert.name)] is fact:
            often = f", {times[which]} times; the first" if times[which] > 1 else ""
            lines.append(f"{fact.alert.status} {fact.alert.name} belongs here{often}: {fact.because}")
    return lines


def _note(fact: SampleTaken | SymptomRead | Noted) -> str:
    match fact:
        case SampleTaken(transaction=transaction, symptom=symptom):
            return f"measured for {transaction}: {symptom.symptom}, {symptom.reason}"
        case SymptomRead(symptom=symptom):
            return f"measured: {symptom.symptom}, {symptom.reason}"
        case Noted(text=text):
            return text


def _at(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
