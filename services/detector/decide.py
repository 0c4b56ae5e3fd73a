"""The detector's decisions, pure: where an alert belongs, and what a reading of the symptom means."""

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, assert_never

from shared.analyzers.topology import Topology
from shared.domain.alert import Alert
from shared.domain.cluster import Ref
from shared.domain.events import Cleared, Quiet, Relapsed
from shared.domain.frozen import Frozen
from shared.domain.health import Symptom, SymptomReading
from shared.domain.ids import CorrelationKey, IncidentId
from shared.domain.incident import Incident, State
from shared.domain.transaction import Outcome


class Group(Frozen):
    """The cause group of an alert: its key, the workload it is rooted in, and why."""

    key: CorrelationKey
    root: Ref | None
    because: str
    about: Ref | None = None
    """What the alert itself is about."""


class Home(Frozen):
    """The incident that something belongs to, and why; `over`: it is closed, and so is what came late."""

    incident: IncidentId
    because: str
    over: bool = False


def group_of(alert: Alert, topology: Topology | None) -> Group:
    """Group by the workload that topology names as the root; without one, by namespace and alert name.

    An alert that names a namespace and no object in it belongs to what is the root of all that is unhealthy there.
    """
    workload = topology.workload_of(alert.labels) if topology else None
    if topology is not None and (workload is not None or topology.names_no_object(alert.labels)):
        root = topology.root_of(workload) if workload else topology.only_root_in(alert.namespace)
        if root is not None:
            key = _key(alert, str(root.ref))
            return Group(key=key, root=root.ref, because=root.because, about=workload or root.ref)
    named = f"{alert.namespace}/{alert.name}"
    return Group(key=_key(alert, named), root=None, because=f"no workload is known for it: grouped by {named}")


def _key(alert: Alert, named: str) -> CorrelationKey:
    return CorrelationKey(hashlib.sha256(f"{alert.cluster}\0{named}".encode()).hexdigest()[:24])


def home_of(group: Group, began: datetime, topology: Topology, open_incidents: Sequence[Incident]) -> Home | None:
    """Find the open incident whose fault explains a group that began at that moment; the oldest, if several do.

    Its fault explains what is rooted in anything that it involves. It also explains what depends on that, unless the
    root shows a fault of its own: errors and load are passed on, a pod that cannot start is not.
    """
    if group.root is None:
        return None
    for incident in sorted(open_incidents, key=lambda known: (known.opened_at or began, known.id)):
        if not _began_with(incident, began):
            continue
        involved = involved_in(incident)
        if group.root in involved:
            return Home(incident=incident.id, because=f"{group.root} is part of what {incident.id} is about")
        if (why := _passed_on(group, involved, topology) or _harmed(group, incident, topology)) is not None:
            return Home(incident=incident.id, because=why)
    return None


def healed_with(group: Group, began: datetime, topology: Topology, incidents: Sequence[Incident]) -> Home | None:
    """Find the incident that healed by itself, as the group's alert did, and that may have been its doing.

    What is well again does not show which of two was ill first: whatever an incident's root needs may be its beginning.
    """
    for incident in sorted(incidents, key=lambda known: (known.opened_at or began, known.id)):
        healed = incident.state in (State.RESOLVED, State.CLOSED) and not incident.transactions
        if healed and _began_with(incident, began) and incident.root and group.root in topology.needs(incident.root):
            because = f"{incident.root} depends on {group.root}, and all had healed before anybody could look"
            return Home(incident=incident.id, because=because, over=incident.state is State.CLOSED)
    return None


def merges_into(
    incident: Incident, group: Group, began: datetime, topology: Topology, others: Sequence[Incident]
) -> Home | None:
    """Find the open incident that one which is open already belongs to, by what has shown since."""
    return (
        home_of(group, began, topology, others)
        or home_by_cause(incident, began, others)
        or twin_of(group, began, topology, others)
    )


def home_by_cause(incident: Incident, began: datetime, others: Sequence[Incident]) -> Home | None:
    """Find the open incident that has the same best cause, wherever it has its root; the oldest, if several do.

    A caller that harms two is rooted in both, and which of them it is shows only now. What is named by its timing alone
    may be named twice by chance.
    """
    best = next(iter(incident.causes), None)
    if best is None or best.circumstantial:
        return None
    for other in sorted(others, key=lambda known: (known.opened_at or began, known.id)):
        if _began_with(other, began) and any(cause.is_same(best) for cause in other.causes[:1]):
            return Home(incident=other.id, because=f"both come of {best.code} of {best.object}")
    return None


def twin_of(group: Group, began: datetime, topology: Topology, open_incidents: Sequence[Incident]) -> Home | None:
    """Find an open incident of no known cause that the same thing explains now, where none is about that itself.

    Alerts that were ahead of the cluster's state opened one for each victim; the oldest may stand for all.
    """
    if group.root not in topology.unwell:
        return None
    for incident in sorted(open_incidents, key=lambda known: (known.opened_at or began, known.id)):
        root = incident.root if may_merge(incident) and not incident.causes else None
        if root is not None and topology.root_of(root).ref == group.root:
            return Home(incident=incident.id, because=f"{group.root} explains {incident.id}, too: {group.because}")
    return None


def may_hold(incident: Incident, began: datetime) -> bool:
    """Whether an open incident can still take what began at that moment."""
    return incident.open and _began_with(incident, began)


def _began_with(incident: Incident, began: datetime) -> bool:
    """Whether it did not begin only after that incident's fault was over."""
    over = incident.state in (State.RESOLVED, State.CLOSED)
    return not over or incident.updated_at is None or began <= incident.updated_at


def involved_in(incident: Incident) -> frozenset[Ref]:
    """The root of an incident, its best cause, and what its transactions lock."""
    locked = (ref for transaction in incident.transactions for ref in transaction.plan.locked)
    root = [incident.root] if incident.root else []
    return frozenset((*root, *(cause.object for cause in incident.causes[:1]), *locked))


def _passed_on(group: Group, involved: frozenset[Ref], topology: Topology) -> str | None:
    if group.root is None or _has_a_fault_of_its_own(group.root, topology):
        return None
    below = topology.needs(group.about or group.root) & involved
    return f"{group.about or group.root} depends on {min(below)}, and shows no fault of its own" if below else None


def _harmed(group: Group, incident: Incident, topology: Topology) -> str | None:
    """Who harms one by calling it harms all that it calls; there it shows for a while, also when that is over."""
    blamed = next((cause.object for cause in incident.causes[:1] if cause.harms is not None), None)
    if group.root is None or blamed is None or _has_a_fault_of_its_own(group.root, topology):
        return None
    return (
        f"{blamed} calls {group.root}, which shows no fault of its own"
        if group.root in topology.needs(blamed)
        else None
    )


def _has_a_fault_of_its_own(ref: Ref, topology: Topology) -> bool:
    return (fault := topology.unwell.get(ref)) is not None and fault.structural


_MERGEABLE: Final = frozenset(
    {State.DETECTED, State.DIAGNOSING, State.PLANNING, State.AWAITING_APPROVAL, State.ESCALATED}
)


def may_merge(incident: Incident) -> bool:
    """Whether it may still be closed into another: nobody took it over, and no plan of its own was judged.

    What was judged bars a plan in its own incident only, and a person who was asked counts on finding it there.
    """
    judged = any(not known.untried for known in incident.transactions)
    return incident.state in _MERGEABLE and not incident.taken_by and not judged


def group_now(incident: Incident, first: Alert, topology: Topology) -> Group:
    """Where an open incident belongs as the cluster looks now: by what explains its root, while anything does.

    Else by its first alert, which may have had more than one way down when the cluster did not show the fault yet.
    """
    if incident.root is not None and (root := topology.root_of(incident.root)).ref in topology.unwell:
        return Group(key=incident.key, root=root.ref, because=root.because, about=incident.root)
    return group_of(first, topology)


def keeps(one: Incident, other: Incident, topology: Topology) -> bool:
    """Whether of two incidents that are one the first stays open.

    The one that is the other's root stays, then the one that is the other's best cause, then the older. One that was
    opened without a look at the cluster, and so has no root, yields to one that has.
    """
    if (one.root is None) is not (other.root is None):
        return one.root is not None
    if one.root and other.root and one.root != other.root:
        if topology.root_of(other.root).ref == one.root:
            return True
        if topology.root_of(one.root).ref == other.root:
            return False
    if (explains := _names(other, one)) is not _names(one, other):
        return explains
    return (one.opened_at, one.id) < (other.opened_at, other.id) if one.opened_at and other.opened_at else False


def _names(incident: Incident, other: Incident) -> bool:
    """Whether its best cause is what the other is rooted in."""
    return any(cause.object == other.root for cause in incident.causes[:1])


class Seen(Frozen):
    """A look at an incident's root in the cluster's objects; one that failed shows neither illness nor health."""

    looked: bool
    ailing: str | None = None
    """Why the root is unwell; None if it is well."""

    @property
    def well(self) -> bool:
        return self.looked and self.ailing is None


def over(reading: SymptomReading, seen: Seen) -> bool:
    """Whether nothing is wrong (any more): the symptom is gone, and so is any structural reason for its return."""
    return reading.symptom is Symptom.GONE and seen.well


def _is_a_persons_to_end(incident: Incident) -> bool:
    """Whether what got stuck keeps its locks until a person decides: an end by itself would keep them for ever."""
    return incident.state is State.ESCALATED and any(known.outcome is Outcome.STUCK for known in incident.transactions)


def watch(  # noqa: PLR0911, PLR0913 - each is one independent piece of the evidence, one return an outcome
    incident: Incident,
    reading: SymptomReading,
    seen: Seen,
    now: datetime,
    *,
    relapse_after_s: float,
    watch_s: float,
) -> Cleared | Relapsed | Quiet | None:
    """Say what a look at an open incident means; None if nothing changes."""
    if incident.state is not State.RESOLVED:
        return Cleared(reading=reading) if over(reading, seen) and not _is_a_persons_to_end(incident) else None
    since_s = (now - incident.updated_at).total_seconds() if incident.updated_at else 0.0
    match reading.symptom:
        case Symptom.PRESENT if since_s >= relapse_after_s:
            return Relapsed(reading=reading)
        case Symptom.RECEDING if since_s >= watch_s:
            # It is compared with the last reading on record, which grows old: below that it may stand for ever.
            return Relapsed(reading=reading.but(reason=f"not gone in all this time; {reading.reason}"))
        case Symptom.PRESENT | Symptom.RECEDING:
            return None
        case Symptom.GONE | Symptom.UNKNOWN:
            if seen.ailing is not None and since_s >= relapse_after_s:
                return Relapsed(reading=reading.but(reason=f"{seen.ailing}; {reading.reason}"))
            if seen.well and since_s >= watch_s:
                return Quiet(reason=f"quiet for {timedelta(seconds=round(since_s))}: {reading.reason}")
            return None
        case _:
            assert_never(reading.symptom)
