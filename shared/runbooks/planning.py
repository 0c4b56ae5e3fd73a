"""Bind runbooks to causes: which may run here, exactly what they would write, and why the others may not."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from pydantic import ValidationError

from shared.actions.registry import ACTIONS, NotApplicable
from shared.domain.cause import Cause, CauseCode
from shared.domain.change import Change, Evict, Patch
from shared.domain.cluster import Kind, Object, Ref
from shared.domain.frozen import Frozen, Json
from shared.domain.runbook import ActionStep, CheckStep, Plan, Risk, Runbook, RunbookId, Step
from shared.domain.snapshot import Snapshot
from shared.runbooks.catalog import Catalog
from shared.runbooks.conditions import check

MOST_CHANGES: Final = 50
"""A transaction is small enough to be watched and taken back."""
_RISKS: Final = tuple(Risk)


class NotChosen(Frozen):
    """Why a runbook that treats a cause does not run here."""

    runbook: str
    cause: CauseCode
    reason: str

    def __str__(self) -> str:
        return f"{self.runbook} for {self.cause}: {self.reason}"


class _Unfit(Exception):  # noqa: N818 - the way out of binding, with the reason
    """This runbook does not fit this cause here."""


class _Bound(NamedTuple):
    """A runbook's params as this cause fills them in, and what conditions see of them."""

    params: Mapping[str, Ref | Json]
    names: Mapping[str, Json]


def plans(catalog: Catalog, causes: Sequence[Cause], snapshot: Snapshot) -> tuple[list[Plan], list[NotChosen]]:
    """Make every plan there is, best first: by the cause's rank, then the lower risk, then the name."""
    chosen: list[Plan] = []
    rejected: list[NotChosen] = []
    for cause in causes:
        treating = sorted(catalog.treating(cause.code), key=lambda book: (_RISKS.index(book.risk), book.name))
        for runbook in treating:
            match plan(runbook, cause, snapshot):
                case Plan() as made:
                    chosen.append(made)
                case NotChosen() as reason:
                    rejected.append(reason)
    return chosen, rejected


def plan(runbook: Runbook, cause: Cause, snapshot: Snapshot) -> Plan | NotChosen:
    """Bind one runbook to one cause."""
    try:
        changes, after = _walk(runbook, cause, snapshot)
    except (_Unfit, NotApplicable) as reason:
        return NotChosen(runbook=runbook.name, cause=cause.code, reason=str(reason))
    return Plan(
        runbook=RunbookId(name=runbook.name, version=runbook.version, hash=runbook.hash),
        cause=cause,
        changes=tuple(changes),
        scope=_scope(changes, snapshot, after) or (cause.object,),
        settle_s=runbook.settle_s,
        shows_within_s=runbook.shows_within_s,
        risk=runbook.risk,
        destructive=runbook.destructive,
        postconditions=runbook.postconditions,
    )


def unmet_postconditions(catalog: Catalog, made: Plan, snapshot: Snapshot) -> tuple[str, ...]:
    """Say which of a plan's postconditions do not hold now, each with its reason."""
    runbook = catalog.find(made.runbook.name)
    if runbook is None or runbook.hash != made.runbook.hash:
        return (f"{made.runbook.name} is not the runbook any more that was run",) if made.postconditions else ()
    try:
        bound = _bind(runbook, made.cause, snapshot)
    except _Unfit as reason:
        return (str(reason),)
    return tuple(held.reason for each in made.postconditions if not (held := check(each, bound.names)).holds)


def _walk(runbook: Runbook, cause: Cause, snapshot: Snapshot) -> tuple[list[Change], Snapshot]:
    """Go through the steps from the first on, each seeing what the ones before it would have written."""
    bound = _bind(runbook, cause, snapshot)
    for condition in runbook.preconditions:
        if not (held := check(condition, bound.names)).holds:
            raise _Unfit(f"precondition: {held.reason}")
    changes: list[Change] = []
    step: Step | None = runbook.steps[0]
    while step is not None:
        if isinstance(step, CheckStep):
            held = check(step.check, _bind(runbook, cause, snapshot).names)
            step = _step(runbook, step.then if held.holds else step.otherwise)
            continue
        made = _act(step, bound, snapshot)
        changes += made
        snapshot = _after(snapshot, made)
        step = _step(runbook, step.next)
    if not changes:
        raise _Unfit("its steps would change nothing")
    if len(changes) > MOST_CHANGES:
        raise _Unfit(f"it would make {len(changes)} changes, more than {MOST_CHANGES} in one transaction")
    return changes, snapshot


def _step(runbook: Runbook, name: str | None) -> Step | None:
    return next((step for step in runbook.steps if step.id == name), None)


def _act(step: ActionStep, bound: _Bound, snapshot: Snapshot) -> list[Change]:
    return ACTIONS[step.action].run({field: bound.params[param] for field, param in step.with_.items()}, snapshot)


def _bind(runbook: Runbook, cause: Cause, snapshot: Snapshot) -> _Bound:
    params = {name: _value(origin, cause) for name, origin in runbook.params.items()}
    names: dict[str, Json] = {name: _body(value, snapshot) for name, value in params.items()}
    names["nodes"] = [node.object.body for node in snapshot.nodes]
    deployment = snapshot.deployment(cause.object)
    revisions = snapshot.revisions_of(deployment) if deployment is not None else ()
    names["revisions"] = [made.written_template for made in revisions]
    return _Bound(params, names)


def _value(origin: str, cause: Cause) -> Ref | Json:
    if origin == "cause.object":
        return cause.object
    key = origin.removeprefix("cause.remedy.")
    if key not in cause.remedy:
        raise _Unfit(f"the cause does not say which {key}")
    return _ref_or_json(cause.remedy[key])


def _ref_or_json(value: Json) -> Ref | Json:
    """A remedy names an object by the fields of a Ref."""
    if isinstance(value, dict) and value.keys() == Ref.model_fields.keys():
        try:
            return Ref.model_validate(value)
        except ValidationError as invalid:
            raise _Unfit(f"the cause names no object with {value}") from invalid
    return value


def _body(value: Ref | Json, snapshot: Snapshot) -> Json:
    if not isinstance(value, Ref):
        return value
    if (seen := snapshot.find(value)) is None:
        raise _Unfit(f"{value} is not in the cluster")
    return seen.body


def _after(snapshot: Snapshot, changes: Sequence[Change]) -> Snapshot:
    """The cluster as the patches would leave it; what controllers then do is not foreseen."""
    patched: dict[Ref, Object] = {}
    for change in changes:
        seen = patched.get(change.ref) or snapshot.find(change.ref)
        if isinstance(change, Patch) and seen is not None:
            patched[change.ref] = change.apply(seen)
    if not patched:
        return snapshot
    return snapshot.but(objects=tuple(patched.get(seen.ref, seen) for seen in snapshot.objects))


def _scope(changes: Sequence[Change], before: Snapshot, after: Snapshot) -> tuple[Ref, ...]:
    """The Deployments written, evicted from, or behind a written Service, and the Services in front of them."""
    scope: set[Ref] = set()
    for change in changes:
        scope |= _touched(change, before) | _touched(change, after)
    workloads = [found for ref in scope if (found := after.deployment(ref)) is not None]
    return tuple(sorted(scope | {service.ref for workload in workloads for service in after.services_of(workload)}))


def _touched(change: Change, snapshot: Snapshot) -> set[Ref]:
    match change:
        case Patch(ref=Ref(kind=Kind.DEPLOYMENT) as ref):
            return {ref}
        case Patch(ref=Ref(kind=Kind.SERVICE) as ref):
            service = snapshot.service(ref)
            return {ref} if service is None else {ref, *(view.ref for view in snapshot.workloads_behind(service))}
        case Patch():
            return set()
        case Evict(ref=ref):
            pod = next((pod for pod in snapshot.pods if pod.ref == ref), None)
            owner = None if pod is None else snapshot.owner_of(pod)
            return set() if owner is None else {owner.ref}
