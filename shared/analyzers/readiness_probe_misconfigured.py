"""A readiness probe that can never succeed."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

from shared.analyzers.evidence import at, seen, told
from shared.analyzers.pods import current_pods, readiness_failures, runs_unready
from shared.domain.cause import CauseCode, Finding
from shared.domain.objects import Container, Deployment, Event, Pod, ReplicaSet, Templated
from shared.domain.path import join
from shared.domain.revisions import known_good, template_difference
from shared.domain.snapshot import Snapshot


class _Hanging(NamedTuple):
    """A pod that runs and is never ready, and what the kubelet said last of its probe."""

    pod: Pod
    failure: Event


def readiness_probe_misconfigured(snapshot: Snapshot) -> Iterator[Finding]:
    """A Deployment none of whose newest pods gets ready, though they run: their probe knocks where nobody listens.

    Where nobody listens: at a port that the container does not declare. Or the probe is all that is new of its
    container, so that it can only be the probe.
    """
    for deployment in snapshot.deployments:
        pods = current_pods(deployment, snapshot)
        hanging = [
            _Hanging(pod, failures[-1])
            for pod in pods
            if runs_unready(pod) and (failures := readiness_failures(pod, snapshot))
        ]
        if hanging and not any(pod.ready for pod in pods):
            yield from _findings(deployment, hanging, snapshot)


def _findings(deployment: Deployment, hanging: Sequence[_Hanging], snapshot: Snapshot) -> Iterator[Finding]:
    for container in deployment.spec.template.spec.containers:
        if container.readiness_probe is None:
            continue
        path = join("spec", "template", "spec", "containers", container.name, "readinessProbe")
        good = known_good(deployment, snapshot, partial(_differ, path, deployment))
        if _undeclared(container) or (good is not None and _all_that_is_new(path, deployment, good)):
            yield _finding(deployment, container, hanging, good)
            return


def _differ(path: str, one: Templated, other: Templated) -> bool:
    return one.object.at(path) != other.object.at(path)


def _undeclared(container: Container) -> bool:
    """Whether its probe knocks at another port than those it declares; where it declares none, nothing is known."""
    port = None if container.readiness_probe is None else container.readiness_probe.port
    if port is None or not container.ports:
        return False
    return not any(port in {declared.container_port, declared.name or None} for declared in container.ports)


def _all_that_is_new(path: str, deployment: Deployment, good: ReplicaSet) -> bool:
    """Whether an earlier revision differs in nothing but this probe; never mind the metadata."""
    return all(
        edit.path.startswith((path, "/spec/template/metadata/")) for edit in template_difference(deployment, good)
    )


def _finding(
    deployment: Deployment, container: Container, hanging: Sequence[_Hanging], good: ReplicaSet | None
) -> Finding:
    place = join("spec", "template", "spec", "containers", container.name)
    port = None if container.readiness_probe is None else container.readiness_probe.port
    declared = ", ".join(str(each.container_port) for each in container.ports)
    undeclared = f" knocks at port {port}, and container {container.name} serves {declared}"
    changed = f" changed since revision {good.revision}, and nothing else did" if good is not None else ""
    return Finding(
        code=CauseCode.READINESS_PROBE_MISCONFIGURED,
        object=deployment.ref,
        evidence=(
            at(deployment, f"{place}/readinessProbe"),
            at(deployment, f"{place}/ports"),
            *(at(good, f"{place}/readinessProbe") for good in (good,) if good is not None),
            *(told(each.failure) for each in hanging[:3]),
            *(seen(each.pod, "/status/conditions/Ready", "not ready, its containers run") for each in hanging[:3]),
        ),
        summary=f"{len(hanging)} pods of {deployment.ref} run and are never ready: their probe"
        + (undeclared if _undeclared(container) else changed),
        confidence=0.95,
        remedy={} if good is None else {"revision": good.revision},
    )
