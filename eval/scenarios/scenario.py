"""What a scenario is: a fault made the way operators make them, and the truth about how it must end."""

import random
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar, Final, TypeVar

from eval.ground import Ground, GroundName
from eval.lab.kinds import Obj
from eval.lab.shop import Shop
from eval.oracles import Key, Objects

SERVED: Final = ("edge", "cart", "catalog", "checkout", "payment", "shipping", "orders", "store")
"""All of the shop's services."""


class RightEnd(StrEnum):
    """How it must end."""

    MENDED = "mended"
    """Users are served as before, and the cluster stands as `afterwards` says."""
    TOLD = "told"
    """A person is told, with the right cause, and the cluster stands as the fault left it."""
    UNTOUCHED = "untouched"
    """Nothing is wrong, or nothing any more: nobody acts, and the cluster stands as before."""


@dataclass(frozen=True)
class Blame:
    """What a diagnosis must name to be right: the cause, and the object at fault."""

    code: str
    """As `CauseCode` has it, or would have it: what nobody can find yet is a red row."""
    kind: str
    of: str = "role"
    """Whose: the scenario's `role`, its `other`, or that very name."""


@dataclass(frozen=True)
class Expected:
    """How many incidents it makes, and what is done about them, in order."""

    incidents: int = 1
    kept: tuple[str, ...] = ()
    """The runbooks that stay done."""
    undone: int = 0
    """How many actions are tried and taken back."""
    approvals: int = 0


class CannotBePlayedError(Exception):
    """This ground has no way to make the fault."""


_Faults = TypeVar("_Faults")


def made_by(faults: _Faults | None) -> _Faults:
    """Return what makes a fault, if this ground has it. Raises CannotBePlayedError."""
    if faults is None:
        raise CannotBePlayedError("this ground cannot make such a fault")
    return faults


@dataclass
class Scenario(ABC):
    """One fault. `role` says which service of the shop is hit; names are the ground's."""

    name: ClassVar[str]
    title: ClassVar[str]
    truth: ClassVar[Sequence[Blame]]
    """Who is to blame, the deepest first; nobody where nothing is wrong."""
    right_end: ClassVar[RightEnd] = RightEnd.MENDED
    expected: ClassVar[Expected]
    """The way there; who only asks how it ends lets any way be right."""
    roles: ClassVar[Sequence[str]]
    """Which services it can hit."""
    others: ClassVar[Sequence[str]] = ()
    """Which ones it can hit besides, if it has a second fault."""
    not_on: ClassVar[Mapping[GroundName, str]] = {}
    """Where it cannot be played, and why."""
    breaks_one_of: ClassVar[int] = 0
    """How many nodes it takes, if it breaks one of them."""

    role: str
    rng: random.Random = field(repr=False)
    other: str = ""

    @classmethod
    def lacking(cls, ground: Ground) -> str:
        """Say what this very ground lacks to play it; empty if it lacks nothing."""
        there = len(ground.nodes.names) if ground.nodes is not None else 0
        return (
            "" if there >= cls.breaks_one_of else f"it takes {cls.breaks_one_of} nodes that are ours, here are {there}"
        )

    def distinct_alerts(self, on: GroundName) -> int:
        """So many must have been delivered at least, or the scenario has not shown what it claims."""
        del on
        return 1 if self.truth else 0

    async def prepare(self, ground: Ground) -> None:  # noqa: B027 - most faults need nothing
        """Make what must stand there before anything is wrong; it is no part of the fault, and stays beside it."""

    @abstractmethod
    async def inject(self, ground: Ground) -> None:
        """Break it. Returns when the fault is made, not when it shows."""

    def afterwards(self, before: Objects) -> Objects:
        """The objects as they must stand in the end: as before the fault, unless the scenario says otherwise."""
        return before

    def at_fault(self, blame: Blame, shop: Shop) -> Key:
        """Return the object that a blame is about."""
        role = {"role": self.role, "other": self.other}.get(blame.of, blame.of)
        if blame.kind == "Node":
            return blame.kind, "", shop.nodes[role]
        named = {**shop.services, "worker": shop.worker}
        return blame.kind, shop.namespace, named.get(role, role)

    async def recover(self, ground: Ground) -> None:  # noqa: B027 - most faults live in objects, which the runner restores
        """Mend what is no object: load, nodes."""


def patch_container(container: Mapping[str, object]) -> Obj:
    """A strategic merge of the container of a pod template."""
    return patch_pod({"containers": [{"name": "app", **container}]})


def patch_pod(pod: Mapping[str, object]) -> Obj:
    """A strategic merge of the pods that a Deployment makes."""
    return {"spec": {"template": {"spec": {**pod}}}}


def with_change(objects: Objects, kind: str, namespace: str, name: str, change: Obj) -> Objects:
    """The same objects, with one merged over."""
    key = (kind, namespace, name)
    return {**objects, key: _merged(objects[key], change)}


def _merged(old: Obj, change: Obj) -> Obj:
    merged = dict(old)
    for key, value in change.items():
        below = merged.get(key)
        merged[key] = _merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged
