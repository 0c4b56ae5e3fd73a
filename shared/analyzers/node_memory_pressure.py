"""A node that runs short of memory."""

from collections.abc import Iterator
from typing import Final

from shared.analyzers.evidence import measured, seen
from shared.analyzers.pods import live
from shared.analyzers.pressed import PressedNode, pressed_nodes
from shared.domain.cause import CauseCode, Evidence, Finding
from shared.domain.objects import Node
from shared.domain.snapshot import Snapshot

_MIB: Final = 1024.0**2


def node_memory_pressure(snapshot: Snapshot) -> Iterator[Finding]:
    """A node that says MemoryPressure, whether or not it had to evict pods yet.

    Its kubelet does what there is to do. Who runs the machine can give it more, or say what else there takes it.
    """
    return (_finding(pressed, snapshot) for pressed in pressed_nodes(snapshot))


def _finding(pressed: PressedNode, snapshot: Snapshot) -> Finding:
    said, names = pressed.said, ", ".join(str(ref) for ref in pressed.workloads)
    return Finding(
        code=CauseCode.NODE_MEMORY_PRESSURE,
        object=pressed.node.ref,
        evidence=(
            seen(
                pressed.node,
                "/status/conditions/MemoryPressure",
                f"status {said.status}, {said.reason}: {said.message}",
            ),
            *(seen(pod, "/status", f"{pod.status.reason}: {pod.status.message}") for pod in pressed.evicted[:3]),
            *_largest(pressed.node, snapshot),
        ),
        summary=f"{pressed.node.ref} runs short of memory: its kubelet evicted {len(pressed.evicted)} pods for that"
        + (f", and {names} are short of them" if names else "")
        + "; more memory, or fewer pods, is for who runs it to give",
        confidence=0.9,
    )


def _largest(node: Node, snapshot: Snapshot) -> Iterator[Evidence]:
    """Who uses most there, as far as that was measured."""
    used = {pod.ref.key: pod for pod in live(snapshot.pods_on(node))}
    sizes = [(snapshot.usage[key].memory_bytes, pod) for key, pod in used.items() if key in snapshot.usage]
    for size, pod in sorted(sizes, key=lambda each: (-each[0], each[1].ref))[:3]:
        yield measured(f"memory of {pod.ref}", f"{size / _MIB:.0f} MiB")
