"""What a run of `primum bench ingest` found, counted from what the senders were told and what the stream holds."""

import statistics
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from eval.ingest.traffic import Traffic, deliveries, groups, posted

ACK_P99_MS: Final = 100.0
LEAST_OF_RAW: Final = 0.7


@dataclass(frozen=True)
class Phase:
    """One burst through the gateway, and the same burst without it just before; rates are distinct alerts a second."""

    traffic: Traffic
    elapsed_s: float
    cpu_s: float
    """What the gateway's process computed."""
    raw_elapsed_s: float
    raw_cpu_s: float
    acknowledged: frozenset[int]
    """Numbers of alerts that a sender got a 2xx for."""
    latencies: Sequence[tuple[float, int]]
    answers: Mapping[str, int]

    @property
    def rate(self) -> float:
        return self.traffic.alerts / self.elapsed_s

    @property
    def raw_rate(self) -> float:
        return self.traffic.alerts / self.raw_elapsed_s


@dataclass
class Counted:
    """What the stream says of the alerts that were offered to the gateway."""

    stored: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)


def count(phases: Sequence[Phase], stream: Collection[Mapping[str, Any]]) -> Counted:
    """Compare what was acknowledged with the bodies of the stream. An alert stored with other words counts as lost."""
    known = Counter(_identity(body, body["starts_at"]) for body in stream)
    found = Counted()
    for phase in phases:
        traffic = phase.traffic
        for number in range(traffic.first, traffic.first + traffic.alerts):
            alert = posted(traffic.seed, number)
            copies = known[_identity(alert, alert["startsAt"])]
            found.stored += copies > 0
            if copies == 0 and number in phase.acknowledged:
                found.lost.append(alert["fingerprint"])
            if copies > 1:
                found.doubled.append(alert["fingerprint"])
    return found


def _identity(alert: Mapping[str, Any], starts_at: str) -> tuple[object, ...]:
    """What must be equal for it to be the same alert; the moment as a moment, for it is printed in two ways."""
    labels, annotations = (tuple(sorted(alert[name].items())) for name in ("labels", "annotations"))
    return alert["fingerprint"], alert["status"], datetime.fromisoformat(starts_at), labels, annotations


def acknowledged(traffic: Traffic, indices: Collection[int]) -> frozenset[int]:
    """Return the numbers of the alerts in those groups."""
    cut = groups(traffic)
    return frozenset(number for index in indices for number in cut[index])


def figures(phases: Sequence[Phase]) -> dict[str, Any]:
    """Sum up bursts of one kind: medians of their rates, and how long acknowledged calls took, per alert."""
    latencies = sorted(pair for phase in phases for pair in phase.latencies)
    sent = [sum(map(len, deliveries(phase.traffic))) for phase in phases]
    cpu_us, raw_cpu_us = (
        round(1e6 * sum(each) / sum(sent))
        for each in ([phase.cpu_s for phase in phases], [phase.raw_cpu_s for phase in phases])
    )
    calls = sum(sum(phase.answers.values()) for phase in phases)
    return {
        "rate_per_s": round(statistics.median(phase.rate for phase in phases)),
        "raw_rate_per_s": round(statistics.median(phase.raw_rate for phase in phases)),
        "of_raw_ratio": round(statistics.median(phase.raw_elapsed_s / phase.elapsed_s for phase in phases), 3),
        "deliveries_per_s": round(
            statistics.median(count / phase.elapsed_s for count, phase in zip(sent, phases, strict=True))
        ),
        "cpu_us_per_delivery": cpu_us,
        "raw_cpu_us_per_delivery": raw_cpu_us,
        "ack_p50_ms": _percentile(latencies, 0.5),
        "ack_p99_ms": _percentile(latencies, 0.99),
        "elapsed_s": round(sum(phase.elapsed_s for phase in phases), 3),
        "deliveries": sum(sent),
        "calls": calls,
        "answers": dict(sum((Counter(phase.answers) for phase in phases), Counter())),
        "rounds": [{"rate_per_s": round(phase.rate), "raw_rate_per_s": round(phase.raw_rate)} for phase in phases],
    }


def _percentile(latencies: Sequence[tuple[float, int]], share: float) -> float | None:
    """Return the ms within which that share of the alerts was acknowledged; a call counts for each of its alerts."""
    left = share * sum(alerts for _, alerts in latencies)
    for ms, alerts in latencies:
        left -= alerts
        if left <= 0:
            return round(ms, 2)
    return None
