"""The symptom, measured: what the alerts' own expressions say now.

A resolved notice is never asked: it trails the fact by group intervals. A failed query is `unknown`, never `gone`.
"""

from collections.abc import Iterable, Sequence

from shared.domain.alert import Alert
from shared.domain.errors import MetricsUnavailable
from shared.domain.events import AlertJoined, Fact, SampleTaken, SymptomRead
from shared.domain.health import Symptom, SymptomReading
from shared.ports.metrics import Metrics, Series

RECEDING_RATIO = 0.8
"""At or below this part of the last reading's firing series or level, the symptom recedes."""


async def read_symptom(
    alerts: Sequence[Alert], metrics: Metrics | None, previous: SymptomReading | None = None
) -> SymptomReading:
    """Evaluate each distinct expression of the alerts once, and count the alerts whose series still match."""
    if metrics is None:
        return SymptomReading(symptom=Symptom.UNKNOWN, reason="no Prometheus is configured")
    by_expression: dict[str, list[Alert]] = {}
    for alert in alerts:
        if alert.expression:
            by_expression.setdefault(alert.expression, []).append(alert)
    if not by_expression:
        return SymptomReading(symptom=Symptom.UNKNOWN, reason="the alerts carry no expression (generatorURL)")
    try:
        answers = {expression: await metrics.query(expression) for expression in by_expression}
    except MetricsUnavailable as failure:
        return SymptomReading(symptom=Symptom.UNKNOWN, reason=str(failure))
    matching = [
        series for expression, group in by_expression.items() for series in still_matching(group, answers[expression])
    ]
    return conclude(matching, previous)


def still_matching(alerts: Iterable[Alert], series: Sequence[Series]) -> list[Series]:
    """The series that belong to one of the alerts: an alert's labels are its series' labels and the rule's own."""
    told = [alert.labels for alert in alerts]
    wanted: dict[tuple[str, ...], set[tuple[str | None, ...]]] = {}  # by the names of labels: one look-up for a series
    found = []
    for one in series:
        names = tuple(sorted(name for name in one.labels if name != "__name__"))
        if names not in wanted:
            wanted[names] = {tuple(labels.get(name) for name in names) for labels in told}
        if tuple(one.labels[name] for name in names) in wanted[names]:
            found.append(one)
    return found


def conclude(matching: Sequence[Series], previous: SymptomReading | None) -> SymptomReading:
    """Say what the matching series mean, beside the last reading."""
    if not matching:
        return SymptomReading(symptom=Symptom.GONE, reason="no series matches the alerts' expressions any more")
    firing, level = len(matching), sum(one.value for one in matching)
    reading = SymptomReading(
        symptom=Symptom.PRESENT, reason=f"{firing} series still match", firing=firing, level=round(level, 6)
    )
    if previous is not None and _recedes(reading, previous):
        said = f"{firing} series still match, {previous.firing} did; level {level:.3g} after {previous.level:.3g}"
        return reading.but(symptom=Symptom.RECEDING, reason=said)
    return reading


def _recedes(now: SymptomReading, previous: SymptomReading) -> bool:
    if previous.symptom not in (Symptom.PRESENT, Symptom.RECEDING):
        return False
    fewer = now.firing <= previous.firing * RECEDING_RATIO
    # A level of zero, as `up == 0` has it, says that it is so and not how much: it cannot fall any more.
    return fewer or 0 < previous.level * RECEDING_RATIO >= now.level


def alerts_of(facts: Iterable[Fact]) -> Sequence[Alert]:
    """The incident's alerts, each by the newest word on it."""
    newest = {fact.alert.fingerprint: fact.alert for fact in facts if isinstance(fact, AlertJoined)}
    return list(newest.values())


def last_reading(facts: Iterable[Fact]) -> SymptomReading | None:
    """The newest reading on record: what the next one is compared with to see it recede."""
    readings = [fact.symptom for fact in facts if isinstance(fact, SampleTaken | SymptomRead)]
    return readings[-1] if readings else None
