"""What a run left behind, counted in the cluster and in the streams: lost, doubled, orphaned, and how it ended."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from eval.lab.alertmanager import Delivery
from eval.lab.store import Change, Store
from eval.logbook import Logbook, to_ms
from eval.scenarios.scenario import Expected
from shared.domain.cluster import MARK
from shared.domain.errors import IllegalTransition
from shared.domain.events import EVENTS, Event
from shared.domain.incident import State, advance

Line = Mapping[str, Any]
_OUTCOMES: Final = frozenset({"Kept", "KeptMoreToDo", "Undone", "UndoneUntried", "UndoneForGood", "UndoStuck"})
_ONCE_A_STEP: Final = frozenset({"Intended", "StepApplied"})


def incidents_of(logbook: Logbook) -> Mapping[str, Sequence[Line]]:
    """The events of each incident, oldest first."""
    found: dict[str, list[Line]] = defaultdict(list)
    for line in logbook.ledger:
        if line["subject"].startswith("primum.ledger."):
            found[line["subject"].split(".")[2]].append(line)
    return found


# --- lost


def lost(logbook: Logbook, acknowledged: Sequence[Delivery], confirmed: Iterable[Line]) -> list[str]:
    """Acknowledged alerts that are not stored or in no incident, and confirmed events that the ledger does not hold."""
    told = {(one.fingerprint, one.status, one.starts_at) for one in acknowledged}
    return [
        *(f"alert {' '.join(alert)} is not stored" for alert in logbook.lost(told)),
        *_in_no_incident(logbook, acknowledged),
        *_not_in_the_ledger(logbook, confirmed),
    ]


def _in_no_incident(logbook: Logbook, acknowledged: Sequence[Delivery]) -> Iterator[str]:
    """A condition that fired and that no incident knows. A resolved notice opens nothing and joins nothing."""
    told = [line["alert"] for line in (*logbook.facts, *logbook.ledger) if _tells_of_an_alert(line)]
    known = {(alert["fingerprint"], to_ms(alert["starts_at"])) for alert in told}
    fired = {(one.fingerprint, to_ms(one.starts_at)): one for one in acknowledged if one.status == "firing"}
    for mark in sorted(fired.keys() - known):
        yield f"alert {mark[0]} ({fired[mark].starts_at}, {dict(fired[mark].labels)}) is in no incident"


def _tells_of_an_alert(line: Line) -> bool:
    return line.get("fact") == "alert-joined" or line.get("type") == "Opened"


def _not_in_the_ledger(logbook: Logbook, confirmed: Iterable[Line]) -> Iterator[str]:
    stored = {(line["sequence"], line["subject"].split(".")[2], line.get("type")) for line in logbook.ledger}
    for said in confirmed:
        if (said["sequence"], said["incident"], said["type"]) not in stored:
            yield f"{said['type']} of {said['incident']} was confirmed as {said['sequence']} and is not in the ledger"


# --- doubled


def doubled(logbook: Logbook, writes: "Writes", expected_incidents: int) -> list[str]:
    """Effects and events that are there twice."""
    found = _twice("event", (line["headers"].get("ce-id") for line in logbook.ledger if "type" in line))
    incidents = incidents_of(logbook)
    real = [events for events in incidents.values() if not any(event["type"] == "Merged" for event in events)]
    if len(real) > expected_incidents:
        found.append(f"{len(real)} incidents of {expected_incidents} causes")
    for name, events in incidents.items():
        found += _twice(f"{name}:", (f"Opened {event['key']}" for event in events if event["type"] == "Opened"))
        found += _twice(f"{name}:", map(_step, (event for event in events if event["type"] in _ONCE_A_STEP)))
        found += _overlapping(name, events)
    return found + writes.doubled()


def _twice(what: str, names: Iterable[object]) -> list[str]:
    return [f"{what} {name} {times} times" for name, times in Counter(names).items() if times > 1]


def _step(event: Line) -> str:
    return f"{event['type']} of {event['transaction']} step {event['step']}"


def _overlapping(name: str, events: Sequence[Line]) -> list[str]:
    """A transaction that began before the last one had an outcome, or with a plan that was judged already."""
    found: list[str] = []
    under_way: str | None = None
    judged: set[str] = set()
    plans: dict[str, str] = {}
    for event in events:
        match event["type"]:
            case "TransactionOpened":
                plan = _identity(event["plan"])
                if under_way is not None:
                    found.append(f"{name}: {event['transaction']} began while {under_way} was under way")
                if plan in judged:
                    found.append(f"{name}: {event['transaction']} is a second attempt of a plan that was judged")
                under_way, plans[event["transaction"]] = event["transaction"], plan
            case outcome if outcome in _OUTCOMES:
                under_way = None
                if outcome != "UndoneUntried":
                    judged.add(plans.get(event["transaction"], ""))
            case _:
                pass
    return found


def _identity(plan: Line) -> str:
    """What makes two plans one: the runbook, the object at fault and every change."""
    return json.dumps([plan["runbook"]["name"], plan["cause"]["object"], plan["changes"]], sort_keys=True)


@dataclass
class Writes:
    """Every change that carries a transaction's mark, as the cluster's own store saw it."""

    there: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """By (transaction, object, value written)."""

    def watch(self, store: Store) -> None:
        """Count from now on."""
        store.subscribe(self._on_change)

    def _on_change(self, change: Change) -> None:
        now, was = change.obj, change.old
        mark = now["metadata"].get("labels", {}).get(MARK)
        if was is None or not mark or now.get("spec") == was.get("spec"):
            return
        last = now["metadata"]["managedFields"][-1]["manager"]
        if last.startswith("primum"):
            name = f"{now['kind']}/{now['metadata']['name']}"
            self.there[mark.split(".")[0], name, str(now["spec"])] += 1

    def doubled(self) -> list[str]:
        """One transaction writes a value once: to do it, or to undo it."""
        return [
            f"{transaction} wrote the same to {name} {times} times"
            for (transaction, name, _), times in self.there.items()
            if times > 1
        ]


# --- how it ended


def ending(logbook: Logbook, expected: Sequence[Expected]) -> list[str]:
    """What is otherwise than without the fault: incidents, what was kept, what was taken back, dead letters."""
    problems = [f"dead letter: {letter.get('reason')}" for letter in logbook.dead]
    problems += [f"it cannot be read: {what}" for what in logbook.unreadable]
    incidents = incidents_of(logbook)
    real = {
        name: events for name, events in incidents.items() if not any(event["type"] == "Merged" for event in events)
    }
    for name, events in incidents.items():
        problems += _not_closed(name, events)
    runbooks = {
        event["transaction"]: event["plan"]["runbook"]["name"]
        for events in real.values()
        for event in events
        if event["type"] == "TransactionOpened"
    }
    ended = [event for events in real.values() for event in events if event["type"] in _OUTCOMES]
    kept = sorted(runbooks[event["transaction"]] for event in ended if event["type"] in ("Kept", "KeptMoreToDo"))
    should_keep = sorted(name for one in expected for name in one.kept)
    undone = sum(event["type"] in ("Undone", "UndoneForGood") for event in ended)
    for what, found, should in (
        ("incidents", len(real), sum(one.incidents for one in expected)),
        ("kept", kept, should_keep),
        ("judged and taken back", undone, sum(one.undone for one in expected)),
        ("stuck", sum(event["type"] == "UndoStuck" for event in ended), 0),
    ):
        if found != should:
            problems.append(f"{what}: {found}, should be {should}")
    return problems


def event_of(line: Line) -> Event:
    """The event that a line of the ledger is."""
    body = {key: value for key, value in line.items() if key not in ("subject", "sequence", "headers")}
    return EVENTS.validate_json(json.dumps(body))


def _not_closed(name: str, events: Sequence[Line]) -> list[str]:
    """Walk the table, as everybody who reads the ledger must be able to."""
    state: State | None = None
    for event in events:
        try:
            state = advance(state, event_of(event))
        except IllegalTransition as error:
            return [f"{name}: {error} (sequence {event['sequence']})"]
    return [] if state is State.CLOSED else [f"{name} ended as {state}"]


def untried(logbook: Logbook) -> int:
    """Transactions that were taken back unjudged, because their holder died or was cut off."""
    return sum(line.get("type") == "UndoneUntried" for line in logbook.ledger)


def story(logbook: Logbook) -> list[str]:
    """The run in lines, for whoever must find out why it is red."""
    return [
        " ".join(
            str(part)
            for part in (
                line["headers"].get("ce-time", "")[11:23],
                line["subject"].split(".")[2],
                line["type"],
                line.get("transaction", ""),
                line.get("why", ""),
                line.get("found", ""),
                line.get("reason", "")[:200],
            )
            if part != ""
        )
        for line in logbook.ledger
        if line["subject"].startswith("primum.ledger.")
    ]
