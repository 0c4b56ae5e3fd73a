"""Probes that can never succeed: what the two analyzers of them share."""

from typing import NamedTuple

from shared.analyzers.evidence import at
from shared.domain.cause import Evidence
from shared.domain.objects import Container, Deployment, Probe, ReplicaSet
from shared.domain.path import join
from shared.domain.revisions import known_good, otherwise, template_difference
from shared.domain.snapshot import Snapshot


class WrongProbe(NamedTuple):
    """A probe that can only be wrong: how that is known, where it stands, and the revision that probed otherwise."""

    why: str
    evidence: tuple[Evidence, ...]
    good: ReplicaSet | None


def wrong_probe(name: str, deployment: Deployment, snapshot: Snapshot) -> WrongProbe | None:
    """Find the probe (`readinessProbe`, `livenessProbe`) that knocks at a port which its container does not declare.

    Or one that is all that is new of its pods, so that it can only be the probe. It must be known to fail.
    """
    for container in deployment.spec.template.spec.containers:
        place = join("spec", "template", "spec", "containers", container.name)
        path = f"{place}/{name}"
        if deployment.object.at(path) is None:
            continue
        good = known_good(deployment, snapshot, otherwise(deployment, path))
        probe = container.readiness_probe if name == "readinessProbe" else container.liveness_probe
        why = _undeclared(container, probe)
        if not why and good is not None and _all_that_is_new(path, deployment, good):
            why = f"changed since revision {good.revision}, and nothing else did"
        if why:
            before = () if good is None else (at(good, path),)
            return WrongProbe(why, (at(deployment, path), at(deployment, f"{place}/ports"), *before), good)
    return None


def _undeclared(container: Container, probe: Probe | None) -> str:
    """Say where it knocks, if not at a port that the container declares; where it declares none, nothing is known."""
    port = None if probe is None else probe.port
    if port is None or not container.ports or any(port in {each.container_port, each.name} for each in container.ports):
        return ""
    return f"knocks at port {port}, and container {container.name} serves {_listed(container)}"


def _listed(container: Container) -> str:
    return ", ".join(str(each.container_port) for each in container.ports)


def _all_that_is_new(path: str, deployment: Deployment, good: ReplicaSet) -> bool:
    """Whether an earlier revision differs in nothing but this probe, never mind the metadata."""
    new = (edit.path for edit in template_difference(deployment, good))
    return all(each.startswith((path, "/spec/template/metadata/")) for each in new)
