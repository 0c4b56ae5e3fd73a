"""A node that is gone, or says itself that it is not ready."""

from collections.abc import Iterator

from shared.analyzers.evidence import seen
from shared.analyzers.lost import LostNode, lost_nodes
from shared.analyzers.pods import live
from shared.domain.cause import CauseCode, Evidence, Finding
from shared.domain.objects import Condition, Pod
from shared.domain.snapshot import Snapshot


def node_not_ready(snapshot: Snapshot) -> Iterator[Finding]:
    """A node whose condition Ready is not true.

    What to do about it only somebody who sees the machine can say: who evicts the pods of a node that nobody hears
    from may have two of what must be one, for they may still run there.
    """
    return (_finding(lost) for lost in lost_nodes(snapshot))


def _finding(lost: LostNode) -> Finding:
    return Finding(
        code=CauseCode.NODE_NOT_READY,
        object=lost.node.ref,
        evidence=(
            seen(lost.node, "/status/conditions/Ready", _said(lost.said)),
            *(_of_pod(pod) for pod in lost.pods[:5]),
        ),
        summary=f"{lost.node.ref} is not ready ({lost.said.reason or 'unknown'}): {_toll(lost)}; {_advice(lost)}",
        confidence=0.95,
    )


def _said(said: Condition) -> str:
    since = f" since {said.last_transition_time:%H:%M:%S} UTC" if said.last_transition_time else ""
    return f"status {said.status}{since}, {said.reason}: {said.message}"


def _of_pod(pod: Pod) -> Evidence:
    if not live([pod]):
        return seen(pod, "/metadata/deletionTimestamp", f"it is to end, and is still on {pod.spec.node_name}")
    word = next((said for said in pod.status.conditions if said.type == "Ready"), None)
    return seen(pod, "/status/conditions/Ready", _said(word) if word else "nothing is said of it")


def _toll(lost: LostNode) -> str:
    names = ", ".join(str(ref) for ref in lost.workloads)
    return f"{len(lost.pods)} pods are on it" + (f", and {names} count on some of them" if names else "")


def _advice(lost: LostNode) -> str:
    if lost.said.status == "False":
        return "its kubelet says why"
    return "look at the machine before anybody evicts them, for they may still run there"
