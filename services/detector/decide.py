"""The detector's decisions, pure: where an alert belongs, and what a reading of the symptom means."""

import hashlib
from datetime import datetime, timedelta
from typing import assert_never

from shared.analyzers.topology import Topology
from shared.domain.alert import Alert
from shared.domain.cluster import Ref
from shared.domain.events import Cleared, Quiet, Relapsed
from shared.domain.frozen import Frozen
from shared.domain.health import Symptom, SymptomReading
from shared.domain.ids import CorrelationKey
from shared.domain.incident import Incident, State


class Group(Frozen):
    """The cause group of an alert: its key, the workload it is rooted in, and why."""

    key: CorrelationKey
    root: Ref | None
    because: str


def group_of(alert: Alert, topology: Topology | None) -> Group:
    """Group by the workload that topology names as the root; without one, by namespace and alert name."""
    workload = topology.workload_of(alert.labels) if topology else None
    if topology is None or workload is None:
        named = f"{alert.namespace}/{alert.name}"
        return Group(key=_key(alert, named), root=None, because=f"no workload is known for it: grouped by {named}")
    root = topology.root_of(workload)
    return Group(key=_key(alert, str(root.ref)), root=root.ref, because=root.because)


def _key(alert: Alert, named: str) -> CorrelationKey:
    return CorrelationKey(hashlib.sha256(f"{alert.cluster}\0{named}".encode()).hexdigest()[:24])


def moved_to(incident: Incident, alert: Alert, topology: Topology) -> Group | None:
    """The other group that this incident's root has since proved to be part of; None if it stands on its own."""
    if incident.root is None:
        return None
    root = topology.root_of(incident.root)
    if root.ref == incident.root:
        return None
    return Group(key=_key(alert, str(root.ref)), root=root.ref, because=root.because)


def over(reading: SymptomReading, ailing: str | None) -> bool:
    """Whether nothing is wrong (any more): the symptom is gone, and so is any structural reason for its return."""
    return reading.symptom is Symptom.GONE and ailing is None


def watch(  # noqa: PLR0913 - each is one independent piece of the evidence
    incident: Incident,
    reading: SymptomReading,
    ailing: str | None,
    now: datetime,
    *,
    relapse_after_s: float,
    watch_s: float,
) -> Cleared | Relapsed | Quiet | None:
    """Say what a look at an open incident means; None if nothing changes."""
    if incident.state is not State.RESOLVED:
        return Cleared(reading=reading) if over(reading, ailing) else None
    since_s = (now - incident.updated_at).total_seconds() if incident.updated_at else 0.0
    match reading.symptom:
        case Symptom.PRESENT if since_s >= relapse_after_s:
            return Relapsed(reading=reading)
        case Symptom.PRESENT | Symptom.RECEDING:
            return None
        case Symptom.GONE | Symptom.UNKNOWN:
            if ailing is not None and since_s >= relapse_after_s:
                return Relapsed(reading=reading.but(reason=f"{ailing}; {reading.reason}"))
            if ailing is None and since_s >= watch_s:
                return Quiet(reason=f"quiet for {timedelta(seconds=round(since_s))}: {reading.reason}")
            return None
        case _:
            assert_never(reading.symptom)
