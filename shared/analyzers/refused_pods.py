"""Pods that the API server does not let a ReplicaSet make."""

from typing import NamedTuple

from shared.analyzers.evidence import seen, told
from shared.domain.cause import Evidence
from shared.domain.objects import Deployment
from shared.domain.revisions import current_revision
from shared.domain.snapshot import Snapshot


class Refusal(NamedTuple):
    """The API server's words, and where they stand."""

    message: str
    evidence: tuple[Evidence, ...]


def refusal(deployment: Deployment, snapshot: Snapshot) -> Refusal | None:
    """What the API server said to the newest pods that it refused, while its controller still wants them.

    By the ReplicaSet's condition, which goes when all are there; events tell of refusals that are long over.
    """
    current = current_revision(deployment, snapshot)
    if current is None:
        return None
    for said in current.status.conditions:
        if (said.type, said.status, said.reason) == ("ReplicaFailure", "True", "FailedCreate"):
            told_of = [told(event) for event in snapshot.events_about(current.ref) if event.reason == "FailedCreate"]
            where = seen(current, "/status/conditions/ReplicaFailure", f"{said.reason}: {said.message}")
            return Refusal(said.message, (where, *told_of[-1:]))
    return None
