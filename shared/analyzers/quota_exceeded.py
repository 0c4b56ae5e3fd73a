"""A ResourceQuota that a workload does not fit into."""

import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from shared.analyzers.evidence import at
from shared.analyzers.refused_pods import Refusal, refusal
from shared.domain.cause import CauseCode, Evidence, Finding
from shared.domain.cluster import Kind
from shared.domain.objects import Deployment, PodTemplate, ResourceQuota, quantity
from shared.domain.revisions import known_good
from shared.domain.snapshot import Snapshot

_EXCEEDED: Final = re.compile(
    r"exceeded quota: (?P<name>[^\s,]+), requested: (?P<requested>\S+), used: (?P<used>\S+), limited: (?P<limited>\S+)"
)
"""The admission plugin's words; each part is `resource=quantity,resource=quantity`."""


class _Exceeded(NamedTuple):
    """Which quota, and by resource what was asked for, what was used already and what is allowed."""

    name: str
    requested: Mapping[str, str]
    used: Mapping[str, str]
    limited: Mapping[str, str]


def quota_exceeded(snapshot: Snapshot) -> Iterator[Finding]:
    """A Deployment whose pods are refused, because a ResourceQuota of its namespace has no room for them.

    Nothing that was right once says how large a quota should be: to raise it is for a person. Where a rollout asks
    for more than the revision before, that revision is the way back.
    """
    for deployment in snapshot.deployments:
        refused = refusal(deployment, snapshot)
        if refused is not None and (exceeded := _exceeded(refused.message)) is not None:
            yield _finding(deployment, refused, exceeded, snapshot)


def _exceeded(message: str) -> _Exceeded | None:
    matched = _EXCEEDED.search(message)
    if matched is None:
        return None
    return _Exceeded(matched["name"], *(_amounts(matched[part]) for part in ("requested", "used", "limited")))


def _amounts(text: str) -> Mapping[str, str]:
    return dict(part.split("=", 1) for part in text.split(",") if "=" in part)


def _finding(deployment: Deployment, refused: Refusal, exceeded: _Exceeded, snapshot: Snapshot) -> Finding:
    quota = _quota(deployment, exceeded.name, snapshot)
    good = known_good(
        deployment, snapshot, lambda made: _is_smaller(made.spec.template, deployment.spec.template, exceeded)
    )
    needs = ", ".join(
        f"{asked} more {resource} than the {exceeded.used.get(resource, '?')} used of {exceeded.limited.get(resource)}"
        for resource, asked in exceeded.requested.items()
    )
    return Finding(
        code=CauseCode.QUOTA_EXCEEDED,
        object=deployment.ref,
        evidence=(*refused.evidence, *_state(quota)),
        summary=f"quota {exceeded.name} refuses a pod of {deployment.ref}, which asks for {needs}"
        + (f"; revision {good.revision} asked for less" if good is not None else "")
        + ("; it has room by now, and the controller's next try is to come" if _has_room(quota, exceeded) else ""),
        confidence=0.95,
        remedy={} if good is None else {"revision": good.revision},
    )


def _quota(deployment: Deployment, name: str, snapshot: Snapshot) -> ResourceQuota | None:
    wanted = deployment.ref.but(kind=Kind.RESOURCE_QUOTA, name=name)
    return next((quota for quota in snapshot.resource_quotas if quota.ref == wanted), None)


def _state(quota: ResourceQuota | None) -> Iterator[Evidence]:
    if quota is not None:
        yield at(quota, "/spec/hard")
        yield at(quota, "/status/used")


def _has_room(quota: ResourceQuota | None, exceeded: _Exceeded) -> bool:
    """Whether somebody made room since: a controller that was refused again and again waits up to 16 minutes."""
    if quota is None:
        return False
    return all(
        quantity(asked) + quantity(quota.status.used.get(resource, 0)) <= quantity(quota.spec.hard.get(resource, "1E"))
        for resource, asked in exceeded.requested.items()
    )


def _is_smaller(earlier: PodTemplate, now: PodTemplate, exceeded: _Exceeded) -> bool:
    """Whether its pods ask for less of what is short, and for no more of anything else that is."""
    amounts = [(_asks(earlier, resource), _asks(now, resource)) for resource in exceeded.requested]
    return any(was < asked for was, asked in amounts) and all(was <= asked for was, asked in amounts)


def _asks(template: PodTemplate, resource: str) -> float:
    """What a pod counts for; of a bare `memory` its requests do."""
    bound, _, name = resource.rpartition(".")
    containers = template.spec.containers
    if name == "pods":
        return 1.0
    if bound == "limits":
        return sum(quantity(container.resources.limits.get(name, 0)) for container in containers)
    # What has a limit and no request requests its limit.
    return sum(
        quantity(container.resources.requests.get(name, container.resources.limits.get(name, 0)))
        for container in containers
    )
