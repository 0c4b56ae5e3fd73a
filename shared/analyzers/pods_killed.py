"""Pods that something deletes, again and again."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from shared.analyzers.evidence import at, told
from shared.analyzers.lost import word_on
from shared.domain.cause import CauseCode, Finding
from shared.domain.cluster import Kind
from shared.domain.objects import Deployment, Event, ReplicaSet
from shared.domain.revisions import current_revision
from shared.domain.snapshot import Snapshot

WITHIN: Final = timedelta(minutes=5)
LEAST_LOST: Final = 6
"""More than a few drains in a row take from a workload of one pod."""
STILL_WITHIN: Final = timedelta(minutes=1)
"""So long ago at most the last one was made anew: of what has ended by itself nobody is woken."""
TURNOVERS: Final = 2
"""How often all pods must have gone that were made anew: to delete them once is how some people restart a workload."""
_CREATED: Final = re.compile(r"Created pod: (?P<pod>\S+)")
_DELETED: Final = re.compile(r"Deleted pod: (?P<pod>\S+)")
_PLACED: Final = re.compile(r"Successfully assigned \S+ to (?P<node>\S+)")
_ACCOUNTED_FOR: Final = frozenset({"Evicted", "Preempted", "TaintManagerEviction", "EvictedByVPA"})
"""Of what is told of a pod, that says who ended it."""


class _Made(NamedTuple):
    """What tells that a pod was made, and of its node, where it came to one."""

    event: Event
    node: str = ""

    def since(self, moment: datetime) -> bool:
        return self.event.at is not None and self.event.at >= moment


_ByMaker = Mapping[tuple[str, str], Sequence[Event]]


def pods_killed(snapshot: Snapshot) -> Iterator[Finding]:
    """A Deployment whose pods go again and again after they were made, although nobody rolled out, scaled or drained.

    Counted are the pods themselves, by name: a controller's events that differ in names only are combined after ten,
    and left out after twenty-five. Who deletes them, only the API server's audit log knows.
    """
    of_pods = _by_maker(snapshot)
    for deployment in snapshot.deployments:
        current, wanted = current_revision(deployment, snapshot), deployment.spec.replicas
        if current is not None and wanted > 0:
            since = _quiet_since(deployment, snapshot)
            made = _pods_made(current, of_pods, snapshot)
            lost = _lost(current, made, since, of_pods, snapshot)
            goes_on = any(each.since(snapshot.taken_at - STILL_WITHIN) for each in made.values())
            if goes_on and len(lost) >= max(LEAST_LOST, TURNOVERS * wanted):
                yield _finding(deployment, current, lost, (snapshot.taken_at - since).total_seconds())


def _by_maker(snapshot: Snapshot) -> _ByMaker:
    """What is told of pods, by what made them; those that are gone say no more of it than their names do."""
    made: dict[tuple[str, str], list[Event]] = {}
    for event in snapshot.events:
        about = event.involved_object
        if about.kind == Kind.POD and (event.reason == "Scheduled" or event.reason in _ACCOUNTED_FOR):
            made.setdefault((about.namespace, about.name.rpartition("-")[0]), []).append(event)
    return made


def _quiet_since(deployment: Deployment, snapshot: Snapshot) -> datetime:
    """Since when nobody rolled it out or scaled it, no longer ago than what is looked at."""
    scalings = (event.at for event in snapshot.events_about(deployment.ref) if event.reason == "ScalingReplicaSet")
    return max([snapshot.taken_at - WITHIN, *(moment for moment in scalings if moment is not None)])


def _pods_made(current: ReplicaSet, of_pods: _ByMaker, snapshot: Snapshot) -> Mapping[str, _Made]:
    """The pods that it has made, of which anybody still tells."""
    about_it = snapshot.events_about(current.ref)
    made = {found["pod"]: _Made(event) for event in about_it if (found := _CREATED.search(event.message))}
    for event in of_pods.get(_key(current), ()):
        if placed := _PLACED.search(event.message):
            made[event.involved_object.name] = _Made(event, placed["node"])
    return made


def _lost(
    current: ReplicaSet, made: Mapping[str, _Made], since: datetime, of_pods: _ByMaker, snapshot: Snapshot
) -> Sequence[_Made]:
    """Those of them that were made since then and are gone, for no reason that anybody gives."""
    about_it, about_its_pods = snapshot.events_about(current.ref), of_pods.get(_key(current), ())
    ended = {found["pod"] for event in about_it if (found := _DELETED.search(event.message))}
    ended |= {event.involved_object.name for event in about_its_pods if event.reason in _ACCOUNTED_FOR}
    ended |= {pod.metadata.name for pod in snapshot.pods_of_revision(current)}
    steady = _steady(snapshot)
    return [
        each
        for name, each in made.items()
        if name not in ended and each.since(since)
        if each.node in steady or (not each.node and len(steady) == len(snapshot.nodes))
    ]


def _key(current: ReplicaSet) -> tuple[str, str]:
    return current.ref.namespace, current.metadata.name


def _steady(snapshot: Snapshot) -> frozenset[str]:
    """The nodes that nobody drains, and that are there and ready: what goes from others may go for that."""
    return frozenset(
        node.metadata.name for node in snapshot.nodes if not node.spec.unschedulable and word_on(node) is None
    )


def _finding(deployment: Deployment, current: ReplicaSet, lost: Sequence[_Made], within_s: float) -> Finding:
    return Finding(
        code=CauseCode.PODS_KILLED,
        object=deployment.ref,
        evidence=(
            at(current, "/spec/replicas"),
            at(current, "/metadata/creationTimestamp"),
            *(told(each.event) for each in lost[-6:]),
        ),
        summary=f"{len(lost)} pods of {deployment.ref}, which wants {deployment.spec.replicas}, were made and deleted "
        f"again within {within_s:.0f} s, and nobody rolled it out, scaled or drained: who does it stands in the API "
        "server's audit log",
        confidence=0.7,
    )
