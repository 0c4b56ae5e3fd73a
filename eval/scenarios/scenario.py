"""What a scenario is: a fault made the way operators make them, and the truth about how it must end."""

import random
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from eval.ground import Ground, GroundName
from eval.lab.kinds import Obj
from eval.oracles import Objects


@dataclass(frozen=True)
class Expected:
    """How many incidents it makes, and what is done about them, in order."""

    incidents: int = 1
    kept: tuple[str, ...] = ()
    """The runbooks that stay done."""
    undone: int = 0
    """How many actions are tried and taken back."""
    approvals: int = 0
    distinct_alerts: int = 1
    """At least so many distinct alerts must have been delivered, or the scenario has not shown what it claims."""


class CannotBePlayedError(Exception):
    """This ground has no way to make the fault."""


@dataclass
class Scenario(ABC):
    """One fault. `role` says which service of the shop is hit; names are the ground's."""

    name: ClassVar[str]
    title: ClassVar[str]
    expected: ClassVar[Expected]
    roles: ClassVar[Sequence[str]]
    """Which services it can hit."""
    others: ClassVar[Sequence[str]] = ()
    """Which ones it can hit besides, if it has a second fault."""
    not_on: ClassVar[Mapping[GroundName, str]] = {}
    """Where it cannot be played, and why."""

    role: str
    rng: random.Random = field(repr=False)
    other: str = ""

    @abstractmethod
    async def inject(self, ground: Ground) -> None:
        """Break it. Returns when the fault is made, not when it shows."""

    def afterwards(self, before: Objects) -> Objects:
        """The objects as they must stand in the end: as before the fault, unless the scenario says otherwise."""
        return before

    async def recover(self, ground: Ground) -> None:  # noqa: B027 - most faults live in objects, which the runner restores
        """Mend what is no object: load, nodes."""


def patch_container(container: Mapping[str, object]) -> Obj:
    """A strategic merge of one container of a pod template."""
    return {"spec": {"template": {"spec": {"containers": [{"name": "app", **container}]}}}}


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
