"""A node that says Ready and is not."""

from collections.abc import Iterator

from shared.analyzers.evidence import seen
from shared.analyzers.gray import GrayNode, gray_nodes
from shared.domain.cause import CauseCode, Finding
from shared.domain.snapshot import Snapshot


def node_gray_failure(snapshot: Snapshot) -> Iterator[Finding]:
    """A node that says Ready while nearly all its pods fail whose siblings on other nodes are well."""
    return (_finding(gray) for gray in gray_nodes(snapshot))


def _finding(gray: GrayNode) -> Finding:
    names = ", ".join(str(ref) for ref in gray.workloads)
    return Finding(
        code=CauseCode.NODE_GRAY_FAILURE,
        object=gray.node.ref,
        evidence=(
            seen(gray.node, "/status/conditions/Ready", "status True"),
            *(
                seen(pod, "/status/conditions/Ready", f"not ready, on {gray.node.metadata.name}")
                for pod in gray.failing[:5]
            ),
        ),
        summary=f"{len(gray.failing)} of {gray.pods} pods on {gray.node.ref} fail; {names} are well on other nodes",
        confidence=0.9,
        remedy={"node": gray.node.ref.model_dump(mode="json")},
    )
