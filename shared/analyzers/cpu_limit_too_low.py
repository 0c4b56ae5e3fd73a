"""A CPU limit that the work does not fit into."""

from collections.abc import Iterator

from shared.analyzers.cpu import CpuUse, at_its_end
from shared.analyzers.crash_loop import AFTER_A_CHANGE
from shared.analyzers.evidence import at, measured
from shared.domain.cause import CauseCode, Finding
from shared.domain.objects import Container, Deployment, ReplicaSet, quantity
from shared.domain.path import join
from shared.domain.revisions import known_good, rolled_out_within
from shared.domain.snapshot import Snapshot


def cpu_limit_too_low(snapshot: Snapshot) -> Iterator[Finding]:
    """A Deployment whose pods use all the CPU that they may, since a rollout of the last hour that lowered the limit.

    What had that limit for longer has more to do than before: that is load.
    """
    for deployment in snapshot.deployments:
        use = at_its_end(deployment, snapshot)
        if use is None or not _is_new(deployment, snapshot):
            continue
        for container in deployment.spec.template.spec.containers:
            if "cpu" in container.resources.limits and (roomier := _roomier(deployment, container, snapshot)):
                yield _finding(deployment, container, use, roomier)


def _is_new(deployment: Deployment, snapshot: Snapshot) -> bool:
    return rolled_out_within(AFTER_A_CHANGE, deployment, snapshot)


def _roomier(deployment: Deployment, container: Container, snapshot: Snapshot) -> ReplicaSet | None:
    """The earlier revision to go back to, of those that gave this container more CPU."""
    limit = quantity(container.resources.limits["cpu"])

    def had_more(made: ReplicaSet) -> bool:
        same = next((each for each in made.spec.template.spec.containers if each.name == container.name), None)
        return same is not None and quantity(same.resources.limits.get("cpu", "1E")) > limit

    return known_good(deployment, snapshot, had_more)


def _finding(deployment: Deployment, container: Container, use: CpuUse, earlier: ReplicaSet) -> Finding:
    path = join("spec", "template", "spec", "containers", container.name, "resources", "limits", "cpu")
    namespace, name = deployment.ref.namespace, deployment.metadata.name
    series = f'rate(container_cpu_usage_seconds_total{{namespace="{namespace}",pod=~"{name}-.*"}})'
    had = earlier.object.at(path) or "none"
    return Finding(
        code=CauseCode.CPU_LIMIT_TOO_LOW,
        object=deployment.ref,
        evidence=(
            measured(series, f"{use.used_cores:.2f} of {use.limit_cores:.2f} cores, over {use.pods} ready pods"),
            at(deployment, path),
            at(earlier, path),
        ),
        summary=f"container {container.name} of {deployment.ref} uses {use.ratio:.0%} of a CPU limit of "
        f"{container.resources.limits['cpu']}; revision {earlier.revision} had {had}",
        confidence=0.9,
        remedy={"container": container.name, "revision": earlier.revision},
    )
