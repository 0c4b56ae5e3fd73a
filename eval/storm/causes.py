"""Causes that have nothing to do with one another, and how each shows: first in errors, then in the objects."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from eval.lab.store import Store
from eval.storm.cluster import Cluster, Where, Workload, break_pods, break_selector
from shared.domain.errors import PrimumError

_POOL: Final = "pool-1"


class Fault(StrEnum):
    """What is wrong with the roots of a cause."""

    IMAGE = "image cannot be pulled"
    CRASH = "pods crash"
    PARTIAL = "one pod crashes"
    SELECTOR = "selector matches nothing"
    ERRORS = "answers with errors"
    NODE = "node drops packets"


_OWN_ERRORS: Final[Mapping[Fault, float]] = {
    Fault.IMAGE: 1.0,
    Fault.CRASH: 1.0,
    Fault.PARTIAL: 0.4,
    Fault.SELECTOR: 1.0,
    Fault.ERRORS: 0.6,
    Fault.NODE: 0.3,
}


@dataclass(frozen=True)
class Cause:
    """One true root: a workload, or a node with what runs on it."""

    number: int
    fault: Fault
    roots: frozenset[Where]
    node: str = ""

    @property
    def own_errors(self) -> Mapping[Where, float]:
        return dict.fromkeys(self.roots, _OWN_ERRORS[self.fault])

    def show(self, cluster: Cluster, store: Store) -> None:
        """Let the cluster's objects show it."""
        for where in sorted(self.roots):
            workload = cluster.workloads[where]
            match self.fault:
                case Fault.IMAGE:
                    break_pods(store, workload, workload.pods, "ImagePullBackOff")
                case Fault.CRASH:
                    break_pods(store, workload, workload.pods, "CrashLoopBackOff")
                case Fault.PARTIAL:
                    break_pods(store, workload, workload.pods[:1], "CrashLoopBackOff")
                case Fault.SELECTOR:
                    break_selector(store, workload)
                case Fault.NODE:
                    break_pods(store, workload, self._pods_on_the_node(workload), "")
                case Fault.ERRORS:
                    pass  # only the metrics ever tell

    def _pods_on_the_node(self, workload: Workload) -> Sequence[str]:
        return [pod for pod, node in zip(workload.pods, workload.nodes, strict=True) if node == self.node]


def choose(rng: random.Random, cluster: Cluster, count: int) -> tuple[Cluster, Sequence[Cause]]:
    """Draw causes, none of which is downstream of another, and return the cluster as they need it.

    Raises PrimumError if this cluster has no room for so many.
    """
    candidates = list(cluster.workloads)
    rng.shuffle(candidates)
    with_node = rng.random() < 0.2
    roots: list[frozenset[Where]] = []
    for where in candidates:
        if len(roots) == count:
            break
        if _apart(cluster, frozenset({where}), roots):
            roots.append(frozenset({where}))
    if len(roots) < count:
        raise PrimumError(f"this cluster has no {count} unrelated workloads", advice="ask for fewer causes")
    faults = [rng.choice([fault for fault in Fault if fault is not Fault.NODE]) for _ in roots]
    causes = [Cause(number, fault, root) for number, (fault, root) in enumerate(zip(faults, roots, strict=True))]
    if with_node:
        cluster, causes[0] = _on_a_node(rng, cluster, causes)
    return cluster, causes


def _apart(cluster: Cluster, one: frozenset[Where], others: Sequence[frozenset[Where]]) -> bool:
    return all(
        not (one & (other | cluster.dependents(other))) and not (other & cluster.dependents(one)) for other in others
    )


def _on_a_node(rng: random.Random, cluster: Cluster, causes: Sequence[Cause]) -> tuple[Cluster, Cause]:
    """Turn the first cause into a node's: one pod of its root and of two more workloads run there, and nothing else."""
    first, *rest = causes
    roots = set(first.roots)
    free = [where for where in cluster.workloads if _apart(cluster, frozenset({where}), [each.roots for each in rest])]
    roots |= set(rng.sample(free, min(2, len(free))))
    moved = {
        where: replace(workload, nodes=(_POOL, *workload.nodes[1:])) if where in roots else workload
        for where, workload in cluster.workloads.items()
    }
    if len(roots) < 2:  # a node with one workload alone cannot be told from that workload
        return cluster, first
    return Cluster(moved), Cause(first.number, Fault.NODE, frozenset(roots), _POOL)
