"""A rollout that does not go on."""

from collections.abc import Iterator, Sequence
from typing import Final

from shared.analyzers.evidence import changed, seen
from shared.analyzers.pods import current_pods, runs_unready
from shared.domain.cause import CauseCode, Finding
from shared.domain.objects import Condition, Deployment, Pod
from shared.domain.revisions import known_good, template_difference
from shared.domain.snapshot import Snapshot

_DEADLINE: Final = "ProgressDeadlineExceeded"
_CONFIDENCE_UNPROVEN: Final = 0.45
"""Below what is acted upon unasked."""


def rollout_stuck(snapshot: Snapshot) -> Iterator[Finding]:
    """A Deployment whose controller has given its rollout up, while the new pods run and are not ready.

    Kubernetes says so itself, after `progressDeadlineSeconds` without any progress. Where pods of the revision before
    are ready beside them, it is the new revision's; where none is, what they wait for may be missing everywhere.
    """
    for deployment in snapshot.deployments:
        given_up = next((each for each in deployment.status.conditions if _gives_up(each)), None)
        if given_up is not None:
            waiting = [pod for pod in current_pods(deployment, snapshot) if runs_unready(pod) and not pod.restarts]
            if waiting:
                yield _finding(deployment, given_up, waiting, snapshot)


def _gives_up(condition: Condition) -> bool:
    return (condition.type, condition.status, condition.reason) == ("Progressing", "False", _DEADLINE)


def _finding(deployment: Deployment, given_up: Condition, waiting: Sequence[Pod], snapshot: Snapshot) -> Finding:
    good = known_good(deployment, snapshot)
    proven = good is not None and any(pod.ready for pod in snapshot.pods_of_revision(good))
    edits = template_difference(deployment, good) if good is not None else ()
    return Finding(
        code=CauseCode.ROLLOUT_STUCK,
        object=deployment.ref,
        evidence=(
            seen(deployment, "/status/conditions", f"{given_up.reason}: {given_up.message}"),
            *(seen(pod, "/status/conditions/Ready", "not ready, its containers run") for pod in waiting[:3]),
            *(changed(deployment, edit) for edit in edits[:5]),
        ),
        summary=f"the rollout of {deployment.ref} got stuck: {len(waiting)} of its new pods run and do not get ready"
        + (f", while pods of revision {good.revision} are" if good is not None and proven else ""),
        confidence=0.85 if proven else _CONFIDENCE_UNPROVEN,
        remedy={} if good is None else {"revision": good.revision},
    )
