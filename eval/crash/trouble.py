"""What is done to a running Primum from outside, as data: at which edge of which service, to whom, once."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Final

BLOWS: Final = "PRIMUM_CRASH_BLOWS"
SERVICE: Final = "PRIMUM_CRASH_SERVICE"
FOLDER: Final = "PRIMUM_CRASH_FOLDER"
SABOTAGE: Final = "PRIMUM_CRASH_SABOTAGE"
"""How a service's process is told, in its environment, what is in store for it."""
NATS: Final = "nats"


class Act(StrEnum):
    """What happens to the victims."""

    KILL = "kill"
    """SIGKILL: nothing after it happens."""
    FREEZE = "freeze"
    """SIGSTOP, and SIGCONT long after everybody took it for dead."""


@dataclass(frozen=True)
class Blow:
    """When `host` passes `edge` for the `passing`-th time, this happens to the victims, and never again."""

    host: str
    edge: str
    victims: tuple[str, ...]
    act: Act = Act.KILL
    passing: int = 1

    @property
    def mark(self) -> str:
        """The file that says that it fell; a restarted process is spared by it."""
        return f"{self.host}-{self.edge}-{self.passing}".replace(" ", "-")


def to_environment(blows: Sequence[Blow], host: str) -> Mapping[str, str]:
    """What the process of `host` is told."""
    return {BLOWS: json.dumps([asdict(blow) for blow in blows if blow.host == host]), SERVICE: host}


def from_environment(environment: Mapping[str, str]) -> list[Blow]:
    """What this process is told."""
    return [
        Blow(**{**told, "victims": tuple(told["victims"]), "act": Act(told["act"])})
        for told in json.loads(environment.get(BLOWS, "[]"))
    ]
