"""A pod that is larger than any node."""

from collections.abc import Iterator

from shared.analyzers.evidence import at, seen
from shared.analyzers.placing import asked, unscheduled
from shared.analyzers.pods import current_pods
from shared.domain.cause import CauseCode, Evidence, Finding
from shared.domain.objects import Deployment, Node, PodTemplate, quantity
from shared.domain.path import join
from shared.domain.revisions import known_good
from shared.domain.snapshot import Snapshot


def requests_too_large(snapshot: Snapshot) -> Iterator[Finding]:
    """A Deployment whose newest pods wait for room, and ask for more than an empty node has.

    What would fit into an empty node waits for others to go: that is no mistake of its own.
    """
    for deployment in snapshot.deployments:
        waiting = [
            seen(pod, "/status/conditions/PodScheduled", f"{said.reason}: {said.message}")
            for pod in current_pods(deployment, snapshot)
            if (said := unscheduled(pod)) is not None and "Insufficient" in said.message
        ]
        if waiting and snapshot.nodes and not _fits(deployment.spec.template, snapshot):
            yield _finding(deployment, waiting, snapshot)


def _fits(template: PodTemplate, snapshot: Snapshot) -> bool:
    wanted = asked(template.spec.containers)
    return any(all(amount <= _has(node, resource) for resource, amount in wanted.items()) for node in snapshot.nodes)


def _has(node: Node, resource: str) -> float:
    return quantity(node.status.allocatable.get(resource, 0))


def _finding(deployment: Deployment, waiting: list[Evidence], snapshot: Snapshot) -> Finding:
    good = known_good(deployment, snapshot, lambda made: _fits(made.spec.template, snapshot))
    containers = deployment.spec.template.spec.containers
    paths = [join("spec", "template", "spec", "containers", container.name, "resources") for container in containers]
    return Finding(
        code=CauseCode.REQUESTS_TOO_LARGE,
        object=deployment.ref,
        evidence=(
            *waiting[:3],
            *(at(deployment, path) for path in paths[:3]),
            *(at(node, "/status/allocatable") for node in snapshot.nodes[:3]),
        ),
        summary=f"a pod of {deployment.ref} asks for more than any node has",
        confidence=0.95,
        remedy={} if good is None else {"revision": good.revision},
    )
