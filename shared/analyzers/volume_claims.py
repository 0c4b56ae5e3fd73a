"""Pods that wait for a volume, in the scheduler's words."""

from collections.abc import Sequence

from shared.analyzers.evidence import at, seen
from shared.analyzers.placing import unscheduled
from shared.analyzers.pods import current_pods
from shared.domain.cause import Evidence
from shared.domain.objects import Deployment, PodTemplate, ReplicaSet
from shared.domain.path import join
from shared.domain.revisions import known_good
from shared.domain.snapshot import Snapshot


def waiting_for(words: str, deployment: Deployment, snapshot: Snapshot) -> Sequence[Evidence]:
    """Point at what the scheduler says of the newest pods, where it says these words, and at the claims."""
    said = [
        seen(pod, "/status/conditions/PodScheduled", f"{condition.reason}: {condition.message}")
        for pod in current_pods(deployment, snapshot)
        if (condition := unscheduled(pod)) is not None and words in condition.message
    ]
    volumes = [volume for volume in deployment.spec.template.spec.volumes if volume.persistent_volume_claim]
    paths = [join("spec", "template", "spec", "volumes", volume.name) for volume in volumes]
    return [*said[:3], *(at(deployment, path) for path in paths[:3])] if said else []


def without_these_claims(deployment: Deployment, snapshot: Snapshot) -> ReplicaSet | None:
    """The revision to go back to that asks for other claims, or for none."""
    asked = claims(deployment.spec.template)
    return known_good(deployment, snapshot, lambda made: claims(made.spec.template) != asked)


def claims(template: PodTemplate) -> set[str]:
    """The names of the claims that a template mounts."""
    return {
        volume.persistent_volume_claim.claim_name for volume in template.spec.volumes if volume.persistent_volume_claim
    }
