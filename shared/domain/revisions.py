"""A Deployment's revisions: which one runs now, which came before, and since when."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from shared.domain.change import Edit, difference
from shared.domain.cluster import RESTARTED_AT
from shared.domain.frozen import Json, JsonObject
from shared.domain.objects import Deployment, ReplicaSet
from shared.domain.snapshot import Snapshot

_REUSED: Final = "deployment.kubernetes.io/revision-history"
"""On a ReplicaSet that came back: its creation says nothing of the rollout then."""


def _unstamped(template: JsonObject) -> JsonObject:
    """Without the stamp of a restart, and without annotations where none is left."""
    metadata = template.get("metadata")
    if not isinstance(metadata, dict):
        return template
    annotations = metadata.get("annotations")
    kept = {k: v for k, v in annotations.items() if k != RESTARTED_AT} if isinstance(annotations, dict) else {}
    rest: dict[str, Json] = {key: value for key, value in metadata.items() if key != "annotations"}
    return {**template, "metadata": {**rest, "annotations": kept} if kept else rest}


def current_revision(deployment: Deployment, snapshot: Snapshot) -> ReplicaSet | None:
    """The ReplicaSet of the template that the Deployment has now; None while the controller has not made it yet."""
    template = deployment.written_template
    return next((made for made in snapshot.revisions_of(deployment) if made.written_template == template), None)


def earlier_revisions(deployment: Deployment, snapshot: Snapshot) -> Sequence[ReplicaSet]:
    """The older revisions that would run something else, newest first; a mere restart is nothing else."""
    current = current_revision(deployment, snapshot)
    template = _unstamped(deployment.written_template)
    return [
        made
        for made in snapshot.revisions_of(deployment)
        if (current is None or made.revision < current.revision) and _unstamped(made.written_template) != template
    ]


def known_good(
    deployment: Deployment, snapshot: Snapshot, fits: Callable[[ReplicaSet], bool] = lambda _: True
) -> ReplicaSet | None:
    """The earlier revision to go back to, of those that fit: the newest with a pod that is ready now, else the newest.

    What has its cause in the template fits only where that differs: to go back to the same fault would mend nothing.
    """
    earlier = [made for made in earlier_revisions(deployment, snapshot) if fits(made)]
    proven = (made for made in earlier if any(pod.ready for pod in snapshot.pods_of_revision(made)))
    return next(proven, next(iter(earlier), None))


def otherwise(deployment: Deployment, *paths: str) -> Callable[[ReplicaSet], bool]:
    """Whether a revision has something else at one of these paths of its template."""
    return lambda made: any(made.object.at(path) != deployment.object.at(path) for path in paths)


def template_difference(deployment: Deployment, revision: ReplicaSet) -> Sequence[Edit]:
    """The edits that lead from the Deployment's template to a revision's; paths are those of the Deployment."""
    return difference(deployment.written_template, revision.written_template, "spec", "template")


def came_back(revision: ReplicaSet) -> bool:
    """Whether the Deployment ran this revision before and returned to it: somebody's own way back."""
    return _REUSED in revision.metadata.annotations


def rolled_out_at(revision: ReplicaSet, snapshot: Snapshot) -> datetime | None:
    """When the Deployment went to this revision: its creation, or its oldest pod's if the revision came back."""
    if not came_back(revision):
        return revision.metadata.creation_timestamp
    made = (pod.metadata.creation_timestamp for pod in snapshot.pods_of_revision(revision))
    return min((at for at in made if at is not None), default=None)


def rolled_out_within(span: timedelta, deployment: Deployment, snapshot: Snapshot) -> bool:
    """Whether the Deployment went to the revision that it has now no longer ago than that."""
    current = current_revision(deployment, snapshot)
    since = None if current is None else rolled_out_at(current, snapshot)
    return since is not None and snapshot.taken_at - since <= span
