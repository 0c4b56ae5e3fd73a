"""The arithmetic of a Deployment's rollout, pure: from the ReplicaSets as they are to the sizes they should have."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Final

from eval.lab.kinds import Obj

_ALPHABET: Final = "bcdfghjklmnpqrstvwxz2456789"
HASH_LABEL: Final = "pod-template-hash"


def template_hash(template: Obj) -> str:
    """Ten letters for a pod template: the same template, the same hash, so that going back finds its ReplicaSet."""
    digest = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).digest()
    return "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in digest[:10])


@dataclass(frozen=True)
class Size:
    """One ReplicaSet: how many pods it wants, has and has available."""

    name: str
    wanted: int
    available: int


@dataclass(frozen=True)
class Bounds:
    """What a rolling update may do at most, in pods."""

    surge: int
    unavailable: int


def _count(value: Any, replicas: int, *, up: bool) -> int:
    if isinstance(value, str) and value.endswith("%"):
        share = int(value[:-1]) * replicas
        return -(-share // 100) if up else share // 100
    return int(value)


def bounds(spec: Obj) -> Bounds:
    """Surge rounds up, unavailable down; both zero would never move, so then one may be unavailable."""
    rolling = spec["strategy"].get("rollingUpdate") or {}
    surge = _count(rolling.get("maxSurge", "25%"), spec["replicas"], up=True)
    unavailable = _count(rolling.get("maxUnavailable", "25%"), spec["replicas"], up=False)
    return Bounds(surge, unavailable if surge or unavailable else 1)


def grow(replicas: int, new: Size, old: list[Size], limit: Bounds) -> int:
    """The new ReplicaSet's size for this step."""
    if new.wanted >= replicas:
        return replicas
    room = replicas + limit.surge - new.wanted - sum(size.wanted for size in old)
    return min(replicas, new.wanted + max(0, room))


def shrink(replicas: int, new: Size, old: list[Size], limit: Bounds) -> dict[str, int]:
    """The old ReplicaSets' sizes for this step: their unavailable pods go first, then what availability allows."""
    least = replicas - limit.unavailable
    total = new.wanted + sum(size.wanted for size in old)
    budget = total - least - max(0, new.wanted - new.available)
    sizes = {size.name: size.wanted for size in old}
    for size in old:
        broken = max(0, min(size.wanted - size.available, budget))
        sizes[size.name] -= broken
        budget -= broken
    spare = new.available + sum(size.available for size in old) - least
    for size in old:
        going = max(0, min(sizes[size.name], spare, budget))
        sizes[size.name] -= going
        spare -= going
        budget -= going
    return sizes


def proportional(most: int, was_most: int, sizes: list[Size]) -> dict[str, int]:
    """A scaling in the middle of a rollout: from `was_most` pods, surge included, to `most`; the newest set first.

    Each set moves by its own share, rounded half up, the largest one first and no further than is still to move; what
    rounding leaves is the largest one's. So one ready pod of an old revision survives a scaling up and down again.
    """
    scaled = {size.name: size.wanted for size in sizes}
    missing = left = most - sum(scaled.values())
    if not missing or was_most <= 0:
        return scaled
    largest_first = sorted(sizes if missing > 0 else reversed(sizes), key=lambda size: -size.wanted)
    for size in largest_first:
        share = int(size.wanted * most / was_most + 0.5) - size.wanted
        step = min(share, left) if missing > 0 else max(share, left)
        scaled[size.name] += step
        left -= step
    scaled[largest_first[0].name] = max(0, scaled[largest_first[0].name] + left)
    return scaled
