"""Two containers of a pod that want the same port."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TypeAlias

from shared.analyzers.crash_loop import crashes
from shared.analyzers.evidence import at, seen
from shared.analyzers.pods import ContainerSeen, containers, current_pods
from shared.domain.cause import CauseCode, Finding
from shared.domain.objects import Deployment, PodTemplate, ReplicaSet
from shared.domain.path import join
from shared.domain.revisions import known_good
from shared.domain.snapshot import Snapshot

Port: TypeAlias = tuple[int, str]
"""Its number and its protocol."""


def port_conflict(snapshot: Snapshot) -> Iterator[Finding]:
    """A Deployment of whose containers one crashes again and again, while another one of its pod declares its port.

    The containers of a pod share one network: who comes second cannot listen. What only declares the same port, and
    runs, does not listen on it.
    """
    for deployment in snapshot.deployments:
        shared = _shared(deployment.spec.template)
        crashing = [found for found in containers(current_pods(deployment, snapshot)) if shared and crashes(found)]
        for port, names in shared.items():
            if losing := [found for found in crashing if found.status.name in names]:
                yield _finding(deployment, port, names, losing, snapshot)
                break


def _shared(template: PodTemplate) -> Mapping[Port, Sequence[str]]:
    """The ports that more than one container declares, and who does."""
    wanted: dict[Port, list[str]] = {}
    for container in template.spec.containers:
        for port in {(each.container_port, each.protocol) for each in container.ports}:
            wanted.setdefault(port, []).append(container.name)
    return {port: names for port, names in wanted.items() if len(names) > 1}


def _finding(
    deployment: Deployment, port: Port, names: Sequence[str], losing: Sequence[ContainerSeen], snapshot: Snapshot
) -> Finding:
    good = known_good(deployment, snapshot, partial(_is_apart, port))
    return Finding(
        code=CauseCode.PORT_CONFLICT,
        object=deployment.ref,
        evidence=(
            *(at(deployment, join("spec", "template", "spec", "containers", name, "ports")) for name in names),
            *(seen(found.pod, found.path, f"{found.status.restart_count} restarts") for found in losing[:3]),
        ),
        summary=f"containers {' and '.join(names)} of {deployment.ref} want port {port[0]} of their pod, and "
        f"{losing[0].status.name} crashes" + (f"; revision {good.revision} has no such two" if good else ""),
        confidence=0.9 if good is not None else 0.7,
        remedy={} if good is None else {"revision": good.revision},
    )


def _is_apart(port: Port, made: ReplicaSet) -> bool:
    return port not in _shared(made.spec.template)
