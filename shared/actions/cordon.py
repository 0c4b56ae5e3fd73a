"""Keep new pods off a node."""

from shared.actions.action import NotApplicable, action, patch
from shared.domain.change import Change, replace
from shared.domain.cluster import Kind, Ref
from shared.domain.frozen import Frozen
from shared.domain.snapshot import Snapshot


class Cordon(Frozen):
    """Which Node."""

    node: Ref


@action("node.cordon", params=Cordon, writes=[Kind.NODE])
def cordon(params: Cordon, snapshot: Snapshot) -> list[Change]:
    """Mark a node unschedulable; the taint that follows is the controller's, and goes with the mark."""
    node = snapshot.find(params.node)
    if node is None or node.ref.kind is not Kind.NODE:
        raise NotApplicable(f"{params.node} is not a Node of this cluster")
    return patch(node, [replace(node, "/spec/unschedulable", value=True)], "is unschedulable already")
