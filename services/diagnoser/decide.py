"""The diagnoser's decisions, pure: which findings are causes of this incident, and which of them comes first."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Final, NamedTuple

from shared.analyzers.suspects import ERRING_REQUESTS
from shared.analyzers.topology import Topology
from shared.domain.alert import Alert
from shared.domain.cause import CIRCUMSTANTIAL, MEASURED, OUT_OF_REACH, Cause, CauseCode, Finding
from shared.domain.cluster import Kind, Ref
from shared.domain.incident import Incident
from shared.domain.snapshot import Snapshot
from shared.domain.transaction import Outcome

INTRINSIC: Final = frozenset(
    {
        CauseCode.IMAGE_PULL_FAILED,
        CauseCode.MEMORY_LIMIT_TOO_LOW,
        CauseCode.SERVICE_SELECTOR_MISMATCH,
        CauseCode.SERVICE_TARGET_PORT_MISMATCH,
        CauseCode.SCALED_TOO_LOW,
        CauseCode.NODE_GRAY_FAILURE,
        CauseCode.NODE_NOT_READY,
        CauseCode.NODE_CORDONED,
        CauseCode.NODE_MEMORY_PRESSURE,
        CauseCode.PODS_KILLED,
        CauseCode.CONFIG_MAP_MISSING,
        CauseCode.SECRET_MISSING,
        CauseCode.READINESS_PROBE_MISCONFIGURED,
        CauseCode.UNSCHEDULABLE,
        CauseCode.QUOTA_EXCEEDED,
        CauseCode.SERVICE_ACCOUNT_MISSING,
        CauseCode.LIMIT_RANGE_EXCEEDED,
        CauseCode.VOLUME_CLAIM_MISSING,
        CauseCode.VOLUME_CLAIM_UNBOUND,
        CauseCode.REQUESTS_TOO_LARGE,
        CauseCode.TAINT_NOT_TOLERATED,
        CauseCode.LIVENESS_PROBE_MISCONFIGURED,
        CauseCode.INIT_CONTAINER_HANGING,
        CauseCode.COMMAND_NOT_FOUND,
        CauseCode.ANTI_AFFINITY_UNSATISFIABLE,
        CauseCode.CPU_LIMIT_TOO_LOW,
        CauseCode.DEPENDENCY_ADDRESS_WRONG,
        CauseCode.DNS_MISCONFIGURED,
        CauseCode.DNS_POLICY_WRONG,
        CauseCode.NETWORK_POLICY_BLOCKS,
        CauseCode.WEBHOOK_FAILING,
        CauseCode.PORT_CONFLICT,
        CauseCode.SERVICE_PORT_MISMATCH,
        CauseCode.CERTIFICATE_EXPIRED,
        CauseCode.MEMORY_USE_GROWN,
    }
)
"""Faults that stand on their own evidence: nothing that happens elsewhere makes them."""
_SAY_WHAT_A_ROLLOUT_DID: Final = frozenset(
    {
        CauseCode.CRASH_LOOP,
        CauseCode.CREDENTIALS_REFUSED,
        CauseCode.SLOW_DEPENDENCY,
        CauseCode.ROLLOUT_STUCK,
        CauseCode.MEMORY_USE_GROWN,
        CauseCode.CONNECTIONS_EXHAUSTED,
        CauseCode.RETRY_STORM,
    }
)
"""Causes that, with a revision to go back to, say what a rollout did: its timing alone says less."""
_MAY_BE_LOAD: Final = MEASURED | {CauseCode.CONNECTIONS_EXHAUSTED}
"""Causes that, without a revision to go back to, may be no more than what too much load does to a workload."""
_UNLOCATED_FACTOR: Final = 0.5
"""Where no alert names an object, a finding of its namespace may be the cause: a person is asked."""
_HEARSAY_CONFIDENCE: Final = 0.45
"""A rollout that nothing but its timing speaks against: below what is acted upon unasked."""


class Place(IntEnum):
    """Where a finding lies, seen from the incident; the nearer to the root the smaller."""

    ROOT = 0
    ON_THE_WAY = 1
    DOWNSTREAM = 2
    NAMESPACE = 3


class _Ranked(NamedTuple):
    finding: Finding
    place: Place
    tried: bool
    explained_by: Finding | None
    reasons: tuple[str, ...]

    @property
    def order(self) -> tuple[bool, bool, bool, float, int, str, Ref]:
        far = self.place >= Place.DOWNSTREAM
        explained = self.explained_by is not None
        finding = self.finding
        return self.tried, explained, far, -finding.confidence, self.place, finding.code, finding.object


def rank(
    findings: Sequence[Finding], incident: Incident, topology: Topology, alerts: Sequence[Alert] = ()
) -> tuple[Cause, ...]:
    """Name the causes of an incident, best first.

    Only what lies at the root, between the alerted objects and the root, or downstream of them is a cause; the rest
    of the cluster's trouble is somebody else's incident. What another finding explains steps back, and is none if
    that is for a person to end: nobody is helped by acting on its doings. What was tried and taken back comes last.
    """
    placed = _placed(findings, incident, topology, alerts)
    ranked = [
        _Ranked(finding, place, _was_tried(finding, incident), _explanation(finding, place, placed), (why,))
        for finding, place, why in placed
    ]
    causes: dict[tuple[CauseCode, Ref], Cause] = {}
    for each in sorted(ranked, key=lambda each: each.order):
        if each.explained_by is None or each.explained_by.code not in OUT_OF_REACH:
            causes.setdefault((each.finding.code, each.finding.object), _cause(each))  # it may harm more than one
    return tuple(causes.values())


def _placed(
    findings: Sequence[Finding], incident: Incident, topology: Topology, alerts: Sequence[Alert]
) -> list[tuple[Finding, Place, str]]:
    located = _located(findings, [incident.root] if incident.root else [], topology)
    if located or incident.root in topology.unwell:
        return located  # what other alerts of the incident may also be due to has an incident of its own
    starts = _starts(incident, topology, alerts)
    if not starts:
        namespaces = {alert.namespace for alert in alerts if alert.namespace}
        return [
            (_weaker(finding), Place.NAMESPACE, "no alert names an object; this one is of the alert's namespace")
            for finding in findings
            if finding.object.namespace in namespaces and finding.code not in CIRCUMSTANTIAL
        ]
    return _located(findings, starts, topology)


def _located(
    findings: Sequence[Finding], starts: Sequence[Ref], topology: Topology
) -> list[tuple[Finding, Place, str]]:
    places: dict[Ref, tuple[Place, str]] = {}
    for start in starts:
        for ref, place, why in _around(start, topology):
            if ref not in places or place < places[ref][0]:
                places[ref] = (place, why)
    located = [(finding, *places[at]) for finding in findings if (at := _felt_at(finding, places)) is not None]
    return [kept for each in located if (kept := _doubted(*each, topology)) is not None]


def _felt_at(finding: Finding, places: Mapping[Ref, object]) -> Ref | None:
    """Where among these places it lies: at its object, else at what that harms from above."""
    return next((ref for ref in (finding.object, finding.harms) if ref in places), None)


def _starts(incident: Incident, topology: Topology, alerts: Iterable[Alert]) -> Sequence[Ref]:
    """What the alerts are about, and the root that the incident was opened with."""
    about = {found for alert in alerts if (found := topology.workload_of(alert.labels)) is not None}
    return sorted(about | ({incident.root} if incident.root is not None else set()))


def _around(start: Ref, topology: Topology) -> Iterable[tuple[Ref, Place, str]]:
    """Yield the objects that may have caused trouble at `start`, nearest to the root first."""
    root = topology.root_of(start)
    yield root.ref, Place.ROOT, f"at the root: {root.because}"
    for ref in topology.kin(root.ref):
        yield ref, Place.ROOT, f"one with the root {root.ref}"
    way = topology.way(start, root.ref) or (start,)
    for step in way:
        for ref in (step, *topology.kin(step)):
            yield ref, Place.ON_THE_WAY, f"between {start} and the root {root.ref}"
    for ref in topology.needs(start):
        yield ref, Place.DOWNSTREAM, f"downstream of {start}"


def _weaker(finding: Finding) -> Finding:
    return finding.but(confidence=finding.confidence * _UNLOCATED_FACTOR)


def _doubted(finding: Finding, place: Place, why: str, topology: Topology) -> tuple[Finding, Place, str] | None:
    """A rollout is suspected little whose requests go well since; far downstream only if nobody measured that."""
    if finding.code not in CIRCUMSTANTIAL:
        return finding, place, why
    fronts = [ref for ref in topology.kin(finding.object) if ref.kind is Kind.SERVICE]
    if place < Place.DOWNSTREAM:
        if any(ref in topology.unwell for ref in (finding.object, *fronts)) or not _is_used(fronts, topology.snapshot):
            return finding, place, why
        return _hearsay(finding), place, f"{why}; its requests go well since"
    if any(ref.key in topology.snapshot.recent for ref in fronts):
        return None
    return _hearsay(finding), place, f"{why}; whether its requests go well was not measured"


def _hearsay(finding: Finding) -> Finding:
    return finding.but(confidence=min(finding.confidence, _HEARSAY_CONFIDENCE))


def _is_used(services: Iterable[Ref], snapshot: Snapshot) -> bool:
    """Whether there are enough recent requests to one of these to say how they go."""
    counted = (snapshot.recent.get(ref.key) for ref in services)
    return any(recent.requests >= ERRING_REQUESTS for recent in counted if recent is not None)


def _explanation(finding: Finding, place: Place, others: Sequence[tuple[Finding, Place, str]]) -> Finding | None:
    """The finding that explains this one: of the same object and more telling, or one nearer to the root."""
    if finding.code in INTRINSIC:
        return None
    same = [other for other, _, _ in others if other.object == finding.object]
    direct = [other for other in same if other.code in INTRINSIC]
    doings = [other for other in same if other.code in _SAY_WHAT_A_ROLLOUT_DID and other.remedy]
    if finding.code is not CauseCode.RECENT_ROLLOUT:
        doings = []
    roots = [other for other, where, _ in others if where is Place.ROOT and other.code not in CIRCUMSTANTIAL]
    if place is not Place.ON_THE_WAY:
        roots = [other for other in roots if other.code in OUT_OF_REACH]
    return next(iter((*direct, *doings, *roots)), None)


def _was_tried(finding: Finding, incident: Incident) -> bool:
    """Whether a transaction for this very cause was judged and taken back."""
    return any(
        transaction.plan.cause.is_same(finding)
        for transaction in incident.transactions
        if transaction.outcome is Outcome.UNDONE and not transaction.untried
    )


def _went_back_in_vain(cause: Cause, incident: Incident) -> bool:
    """Whether a rollout is blamed by another name, and going back behind it did not help already."""
    return _blames_a_rollout(cause) and any(
        _blames_a_rollout(transaction.plan.cause) and transaction.plan.cause.object == cause.object
        for transaction in incident.transactions
        if transaction.outcome is Outcome.UNDONE and not transaction.untried
    )


def _is_just_felt(cause: Cause) -> bool:
    """Whether it says how a workload does and nothing of why, so that nothing could be done about it."""
    return cause.code in _MAY_BE_LOAD and not cause.remedy


def _blames_a_rollout(cause: Cause) -> bool:
    return cause.code in _SAY_WHAT_A_ROLLOUT_DID | CIRCUMSTANTIAL


def _cause(ranked: _Ranked) -> Cause:
    reasons = [*ranked.reasons, f"confidence {ranked.finding.confidence:.2f}"]
    if ranked.finding.code in CIRCUMSTANTIAL:
        reasons.append("named by its timing alone")
    if (explained := ranked.explained_by) is not None:
        reasons.append(f"steps back: {explained.code} of {explained.object} explains it")
    if ranked.tried:
        reasons.append("comes last: it was tried and taken back")
    fields = {name: getattr(ranked.finding, name) for name in Finding.model_fields}
    return Cause(**fields, rank_reasons=tuple(reasons))


def elsewhere(findings: Sequence[Finding], causes: Sequence[Cause]) -> tuple[str, ...]:
    """Say of each finding that is no cause of this incident that it was seen."""
    return tuple(
        f"not related: {finding.summary}" for finding in findings if not any(cause.is_same(finding) for cause in causes)
    )


def worth_another_look(  # noqa: PLR0913 - what was found, about what, and how long there is time for more
    causes: Sequence[Cause], topology: Topology, incident: Incident, now: datetime, *, grace_s: float, window_s: float
) -> bool:
    """Whether the cluster may show more in a moment: alerts can come before the state that explains them.

    So it is where nothing was found; or only a rollout while its pods do not get well: why they do not will show. Or
    while its pods are younger than the rates (`window_s`), which then hold how those ended that it replaced. Or only
    what a rollout may have done that was taken back in vain: rates that tell otherwise need a window first. Or only
    that something is slow or has no connection left, with nothing to go back to: what it is due to shows itself, or
    passes with its own incident.
    """
    since = incident.updated_at
    if since is None or now - since >= timedelta(seconds=grace_s):
        return False
    if all(_went_back_in_vain(cause, incident) or _is_just_felt(cause) for cause in causes):
        return True
    if not all(cause.circumstantial for cause in causes):
        return False
    broken = any((seen := topology.unwell.get(cause.object)) and seen.structural for cause in causes)
    oldest = topology.snapshot.taken_at - timedelta(seconds=window_s)
    return broken or any(_has_pods_since(oldest, cause.object, topology.snapshot) for cause in causes)


def _has_pods_since(moment: datetime, ref: Ref, snapshot: Snapshot) -> bool:
    deployment = snapshot.deployment(ref)
    pods = snapshot.pods_of(deployment) if deployment is not None else ()
    return any(made > moment for pod in pods if (made := pod.metadata.creation_timestamp) is not None)
