"""What a seed draws before anything runs: how many of each service, which mode, and every fault with its moment."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from shared.domain.events import Owner
from shared.domain.policy import Mode

Value = str | float | int
STARTS_S: Final = 30.0
"""The shop stands and Primum runs by then."""
CALM_S: Final = 200.0
"""From here on nothing more goes wrong: now everything must come to an end."""
BREAKS: Final = (
    "wrong-image",
    "memory-limit",
    "wrong-selector",
    "wrong-port",
    "misleading-rollout",
    "gray-node",
    "healed-before",
    "alert-storm",
    "innocent-rollout",
)
TO_THE_CLUSTER: Final = frozenset(BREAKS)
"""Kinds that happen to the cluster, whether Primum runs or not."""
MOMENTS: Final[Mapping[Owner, Sequence[str]]] = {
    Owner.GATEWAY: ("store an alert", "notify", "note", "append Approved", "append UndoRequested", "append PlanPicked"),
    Owner.DETECTOR: ("append Opened", "note", "append Cleared", "append Relapsed", "append Quiet", "append Merged"),
    Owner.DIAGNOSER: ("append DiagnosisStarted", "append Diagnosed", "append NothingFound"),
    Owner.MITIGATOR: (
        "append TransactionOpened",
        "append Intended",
        "patch",
        "patch",
        "patch",
        "evict",
        "append StepApplied",
        "append Applied",
        "append Kept",
        "append UndoRequested",
        "append ApprovalRequested",
        "note",
    ),
    Owner.UNDO: (
        "append TransactionSeized",
        "append UndoIntended",
        "patch",
        "patch",
        "append UndoStepApplied",
        "append Undone",
        "append UndoRequested",
    ),
}
"""Calls that a blow is aimed at by name: where a crash has most to break."""


class Fault(NamedTuple):
    """One thing that goes wrong."""

    at_s: float
    kind: str
    lasts_s: float
    how: Mapping[str, Value]

    def __str__(self) -> str:
        more = " ".join(f"{name}={value}" for name, value in self.how.items())
        return f"{self.kind} for {self.lasts_s:.0f} s {more}".rstrip()


@dataclass(frozen=True)
class Plan:
    """One seed's draw."""

    seed: int
    mode: Mode
    replicas: Mapping[Owner, int]
    faults: Sequence[Fault]
    dropped: frozenset[int] = field(default_factory=frozenset)
    """Which of the faults are left out: how a failing seed is made small."""

    @property
    def played(self) -> Sequence[Fault]:
        return [fault for number, fault in enumerate(self.faults) if number not in self.dropped]


def draw(seed: int) -> Plan:
    """Draw a plan. The same seed draws the same."""
    rng = random.Random(f"plan {seed}")
    breaks = [_break(rng, at_s) for at_s in _moments(rng, rng.choice((1, 1, 1, 2, 2, 3)), 2.0, 0.35)]
    troubles = [_trouble(rng, at_s) for at_s in _moments(rng, rng.choice((0, 1, 2, 3, 4, 6)), 0.0, 0.95)]
    blows = [_blow(rng, at_s) for at_s in _moments(rng, rng.choice((0, 1, 2, 3, 5, 8)), 5.0, 0.6)]
    intruders = [_intrusion(rng, at_s) for at_s in _moments(rng, rng.choice((0, 0, 1, 2, 3)), 45.0, 0.95)]
    people = [_person(rng, at_s) for at_s in _moments(rng, rng.choice((0, 0, 1, 2, 3, 5)), 40.0, 0.95)]
    return Plan(
        seed=seed,
        mode=rng.choices((Mode.ACT, Mode.SUGGEST, Mode.OBSERVE), (7, 3, 1))[0],
        replicas={
            Owner.GATEWAY: rng.choice((1, 2)),
            Owner.DETECTOR: rng.choice((1, 1, 2)),
            Owner.DIAGNOSER: rng.choice((1, 2)),
            Owner.MITIGATOR: rng.choice((1, 1, 2, 3)),
            Owner.UNDO: rng.choice((1, 1, 2)),
        },
        faults=tuple(sorted([*breaks, *troubles, *blows, *intruders, *people], key=lambda fault: fault.at_s)),
    )


def _moments(rng: random.Random, count: int, after_s: float, until: float) -> list[float]:
    first_s = STARTS_S + after_s
    return sorted(round(rng.uniform(first_s, CALM_S * until), 3) for _ in range(count))


def _break(rng: random.Random, at_s: float) -> Fault:
    kind = rng.choice(BREAKS)
    mended_s = rng.uniform(5, 150) if rng.random() < 0.35 else 0.0
    return Fault(at_s, kind, round(mended_s, 1), {"target": rng.randrange(1000)})


def _blow(rng: random.Random, at_s: float) -> Fault:
    owner = rng.choices(list(Owner), (1, 1, 1, 3, 2))[0]
    on = rng.choice(MOMENTS[owner]) if rng.random() < 0.8 else ""
    if rng.random() < 0.1:
        return Fault(at_s, "late-hand", round(rng.uniform(12, 60), 1), {})
    if rng.random() < 0.3:
        return Fault(at_s, "freeze", round(rng.uniform(3, 60), 1), {"service": str(owner), "on": on})
    return Fault(at_s, "kill", round(rng.uniform(0.5, 40), 1), {"service": str(owner), "on": on})


def _whom(rng: random.Random) -> str:
    return "" if rng.random() < 0.5 else str(rng.choice(list(Owner)))


def _ratio(rng: random.Random) -> float:
    return round(rng.uniform(0.05, 0.6), 2)


_TROUBLES: Final[Mapping[str, Callable[[random.Random], Mapping[str, Value]]]] = {
    "ledger-down": lambda rng: {"whom": _whom(rng)},
    "ledger-lossy": lambda rng: {"whom": _whom(rng), "requests": _ratio(rng) / 2, "answers": _ratio(rng)},
    "ledger-slow": lambda rng: {"whom": _whom(rng), "slow_s": round(rng.uniform(0.2, 4), 1)},
    "bus-flaky": lambda rng: {
        "late_s": round(rng.uniform(0, 20), 1),
        "doubled": _ratio(rng),
        "lost": _ratio(rng) if rng.random() < 0.7 else 1.0,
    },
    "api-down": lambda rng: {"whom": _whom(rng)},
    "api-lossy": lambda rng: {"whom": _whom(rng), "requests": _ratio(rng) / 2, "answers": _ratio(rng)},
    "api-slow": lambda rng: {"whom": _whom(rng), "slow_s": round(rng.uniform(0.2, 8), 1)},
    "api-busy": lambda rng: {"busy": _ratio(rng)},
    "api-foreign": lambda rng: {"foreign": _ratio(rng)},
    "api-forbidden": lambda rng: {
        "whom": str(rng.choice((Owner.DIAGNOSER, Owner.MITIGATOR, Owner.UNDO))),
        "verb": rng.choice(("list", "get", "patch", "dry-run", "evict")),
    },
    "prometheus-down": lambda rng: {"whom": _whom(rng)},
    "prometheus-stuck": lambda _: {},
    "people-deaf": lambda _: {},
    "clock-jump": lambda rng: {"service": str(rng.choice(list(Owner))), "seconds": round(rng.uniform(-90, 90), 1)},
}


def _trouble(rng: random.Random, at_s: float) -> Fault:
    kind = rng.choice(list(_TROUBLES))
    lasts_s = min(rng.choice((rng.uniform(2, 25), rng.uniform(20, 90), rng.uniform(60, CALM_S))), CALM_S - at_s)
    return Fault(at_s, kind, round(lasts_s, 1), _TROUBLES[kind](rng))


def _intrusion(rng: random.Random, at_s: float) -> Fault:
    return Fault(at_s, rng.choice(("forged", "stolen", "replayed")), 0.0, {"target": rng.randrange(1000)})


def _person(rng: random.Random, at_s: float) -> Fault:
    kind = rng.choice(("pause", "edit", "edit", "hold", "order", "order", "order"))
    return Fault(at_s, kind, round(min(rng.uniform(5, 60), CALM_S - at_s), 1), {"target": rng.randrange(1000)})
