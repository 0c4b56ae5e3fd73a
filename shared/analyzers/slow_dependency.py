"""A service that makes others wait."""

from collections.abc import Iterator, Sequence

from shared.analyzers.addresses import services_named
from shared.analyzers.cpu import is_unmeasured
from shared.analyzers.crash_loop import AFTER_A_CHANGE
from shared.analyzers.evidence import changed, measured
from shared.analyzers.slow import slow_services
from shared.analyzers.unhealthy import sick
from shared.domain.cause import CauseCode, Evidence, Finding
from shared.domain.cluster import Ref
from shared.domain.health import Latency
from shared.domain.objects import Deployment, ReplicaSet
from shared.domain.revisions import known_good, rolled_out_within, template_difference
from shared.domain.snapshot import Snapshot


def slow_dependency(snapshot: Snapshot) -> Iterator[Finding]:
    """A Deployment whose answers take longer than before, although nothing that it calls does: those who call it wait.

    Its own objects are well: what cannot start, or has no CPU left, is slow for that. While nobody knows how much it
    uses, right after its pods were replaced, nothing is said: a way back from a slow release is none from a load.
    """
    slow = slow_services(snapshot)
    for ref in sorted(slow):
        service = snapshot.service(ref)
        behind = [] if service is None else snapshot.workloads_behind(service)
        if len(behind) == 1 and _is_well(behind[0], snapshot) and not slow.keys() & _called_by(behind[0], snapshot):
            yield _finding(behind[0], ref, slow[ref], [other for other in slow if other != ref], snapshot)


def _is_well(deployment: Deployment, snapshot: Snapshot) -> bool:
    return sick(deployment, snapshot) is None and not is_unmeasured(deployment, snapshot)


def _called_by(deployment: Deployment, snapshot: Snapshot) -> set[Ref]:
    named = set(services_named(deployment))
    own = {service.ref for service in snapshot.services_of(deployment)}
    return {
        service.ref for service in snapshot.services if (service.ref.namespace, service.metadata.name) in named
    } - own


def _finding(
    deployment: Deployment, service: Ref, latency: Latency, others: Sequence[Ref], snapshot: Snapshot
) -> Finding:
    good = _before_it_was_slow(deployment, snapshot)
    edits = template_difference(deployment, good) if good is not None else ()
    waiting = [ref for ref in sorted(others) if service in _reached(ref, snapshot)]
    return Finding(
        code=CauseCode.SLOW_DEPENDENCY,
        object=deployment.ref,
        evidence=(
            _took(service, latency),
            *(_took(ref, snapshot.latency[ref.key]) for ref in waiting[:3]),
            *(changed(deployment, edit) for edit in edits[:5]),
        ),
        summary=f"{deployment.ref} answers in {_ms(latency.now_s)}, before in {_ms(latency.before_s)}, "
        "and nothing that it calls got slower"
        + (f"; its template changed (revision {good.revision} differs)" if good is not None else ""),
        confidence=0.8 if good is not None else 0.6,
        remedy={} if good is None else {"revision": good.revision},
    )


def _before_it_was_slow(deployment: Deployment, snapshot: Snapshot) -> ReplicaSet | None:
    """The revision before a rollout of the last hour; what was rolled out earlier did not make it slow now."""
    recent = rolled_out_within(AFTER_A_CHANGE, deployment, snapshot)
    return known_good(deployment, snapshot) if recent else None


def _reached(start: Ref, snapshot: Snapshot) -> set[Ref]:
    """The Services that requests to one go on to, near or far."""
    reached: set[Ref] = set()
    front = [start]
    while front:
        service = snapshot.service(front.pop())
        for deployment in [] if service is None else snapshot.workloads_behind(service):
            news = _called_by(deployment, snapshot) - reached
            reached |= news
            front += news
    return reached


def _took(service: Ref, latency: Latency) -> Evidence:
    series = f'http_request_duration_seconds{{namespace="{service.namespace}",service="{service.name}"}}'
    return measured(series, f"{_ms(latency.now_s)} on average, {_ms(latency.before_s)} before")


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms"
