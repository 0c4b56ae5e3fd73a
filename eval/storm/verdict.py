"""What a storm became, read from the LEDGER and FACTS streams against the truth of its generator."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations

from nats.aio.client import Client

from eval.storm.alerts import Told
from shared.adapters import nats_events
from shared.adapters.nats_stream import NatsStream
from shared.domain.events import AlertJoined, Merged, Opened
from shared.domain.ids import IncidentId

_TIMEOUT_S = 10.0
Key = tuple[str, datetime]
"""Fingerprint, and when it began to fire."""


@dataclass(frozen=True)
class Record:
    """What the streams hold."""

    opened: Sequence[IncidentId]
    merged: Mapping[IncidentId, IncidentId]
    joined: Sequence[tuple[IncidentId, Key]]
    """Each record that an alert joined, oldest first."""
    last_joined_at: datetime | None
    story: Sequence[str]
    """What was opened, what came of it and why, in lines, for whoever must find out why a storm is red."""

    def final(self, incident: IncidentId) -> IncidentId:
        """Where an incident went in the end."""
        while incident in self.merged:
            incident = self.merged[incident]
        return incident


async def read(connection: Client) -> Record:
    """Read both streams whole. Raises LedgerUnavailable."""
    opened: list[IncidentId] = []
    merged: dict[IncidentId, IncidentId] = {}
    story: list[str] = []
    for stored in await NatsStream(connection, "LEDGER", _TIMEOUT_S).after("primum.ledger.>"):
        record = nats_events.recorded(stored)
        said = f"{record.at:%H:%M:%S.%f} {record.incident} {record.event.name}"
        match record.event:
            case Opened() as event:
                opened.append(record.incident)
                story.append(f"{said}: {event.title}: {event.grouped_because}")
            case Merged(into=into, reason=reason):
                merged[record.incident] = into
                story.append(f"{said} into {into}: {reason}")
            case _:
                story.append(said)
    joined: list[tuple[IncidentId, Key]] = []
    reasons: Counter[tuple[str, str]] = Counter()
    last: datetime | None = None
    for stored in await NatsStream(connection, "FACTS", _TIMEOUT_S).after("primum.fact.*.alert-joined"):
        fact = nats_events.fact(stored)
        if isinstance(fact, AlertJoined):
            joined.append((IncidentId(stored.headers["ce-subject"]), (fact.alert.fingerprint, fact.alert.starts_at)))
            reasons[stored.headers["ce-subject"], fact.because] += 1
            last = datetime.fromisoformat(stored.headers["Nats-Time-Stamp"])
    story += [f"{incident} was joined by {times}: {because}" for (incident, because), times in sorted(reasons.items())]
    return Record(opened, merged, joined, last, story)


@dataclass(frozen=True)
class Verdict:
    """One storm's figures; all but `incidents`, `unattributed` and `merged` should be zero."""

    incidents: int
    unattributed: int
    merged: int
    wrong_merges: int
    splits: int
    misplaced: int
    lost: int
    doubled: int

    @property
    def ok(self) -> bool:
        return not (self.wrong_merges or self.splits or self.misplaced or self.lost or self.doubled)


def judge(record: Record, storm: Sequence[Told], causes: int) -> Verdict:
    """Count. What an incident is about is what its clear alerts are about."""
    truth = {(told.fingerprint, told.starts_at): told for told in storm}
    homes: dict[IncidentId, list[Told]] = {record.final(incident): [] for incident in record.opened}
    seen: dict[Key, set[IncidentId]] = {}
    doubled = 0
    for (incident, key), times in Counter(record.joined).items():
        doubled += times - 1
        if key in truth:
            seen.setdefault(key, set()).add(record.final(incident))
    doubled += sum(len(where) - 1 for where in seen.values())
    for key, where in seen.items():
        for home in where:
            homes[home].append(truth[key])
    holds = {home: _clear_causes(alerts) for home, alerts in homes.items()}
    alone = [home for home, alerts in homes.items() if not holds[home] and all(told.unattributable for told in alerts)]
    return Verdict(
        incidents=len(homes) - len(alone),
        unattributed=len(alone),
        merged=len(record.merged),
        wrong_merges=len({pair for held in holds.values() for pair in combinations(sorted(held), 2)}),
        splits=sum(max(0, sum(cause in held for held in holds.values()) - 1) for cause in range(causes))
        + sum(not holds[home] and home not in alone for home in homes),
        misplaced=sum(not told.causes & set(held) for home, held in holds.items() for told in homes[home] if held),
        lost=len(truth.keys() - seen.keys()),
        doubled=doubled,
    )


def _clear_causes(alerts: Sequence[Told]) -> Sequence[int]:
    return sorted({cause for told in alerts if len(told.causes) == 1 for cause in told.causes})
