"""Restart a workload the way `kubectl rollout restart` does."""

from datetime import UTC

from shared.actions.action import action, patch, rolling
from shared.domain.change import Change, replace
from shared.domain.cluster import RESTARTED_AT, Kind, Ref
from shared.domain.frozen import Frozen
from shared.domain.path import join
from shared.domain.snapshot import Snapshot


class Restart(Frozen):
    """Which Deployment."""

    deployment: Ref


@action("deployment.restart", params=Restart, writes=[Kind.DEPLOYMENT])
def restart(params: Restart, snapshot: Snapshot) -> list[Change]:
    """Stamp the pod template with the moment of the snapshot, so that every pod is replaced in a rolling update."""
    deployment = rolling(params.deployment, snapshot)
    stamp = snapshot.taken_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    path = join("spec", "template", "metadata", "annotations", RESTARTED_AT)
    return patch(deployment.object, [replace(deployment.object, path, stamp)], f"was restarted at {stamp} already")
