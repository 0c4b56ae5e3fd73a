"""The rows there are: who is struck, at which moment, while which faults are being dealt with."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from eval.crash.outside import AtRandom, ClockJumps, FullDisk, Outside
from eval.crash.trouble import NATS, Act, Blow
from eval.scenarios.alert_storm import AlertStorm
from eval.scenarios.gray_node import GrayNode
from eval.scenarios.misleading_rollout import MisleadingRollout
from eval.scenarios.scenario import Scenario
from eval.scenarios.wrong_image import WrongImage
from eval.scenarios.wrong_selector import WrongSelector
from services.cli.supervisor import SERVICES

HEARTBEAT_TTL_S: Final = 3.0
"""Shorter than a team's 10 s, so that a row ends sooner; the beat stays at 1 s."""
HOLDER_CHECK_EVERY_S: Final = 0.5
ACK_WAIT_S: Final = 6.0
"""Shorter than a team's 30 s: what a dead process held is handed out again after it."""
HOLD_S: Final = HEARTBEAT_TTL_S + 3.0
"""How long what is frozen stays so: its heartbeat is gone, and undo has taken over."""

Kinds = tuple[type[Scenario], ...]
QUICK: Final[Kinds] = (WrongImage, WrongSelector)
"""Two incidents at once: mitigated, kept, watched, closed."""
UNDONE: Final[Kinds] = (MisleadingRollout,)
"""Tried, judged, taken back, then the right thing done."""
ASKED: Final[Kinds] = (GrayNode,)
"""A person is told, and approves."""
STORM: Final[Kinds] = (AlertStorm,)

LEAVES: Final = frozenset({"payment", "shipping", "store"})
"""Services that need nobody."""

_QUICK_LIFE_S: Final = 5.0
_UNDONE_LIFE_S: Final = 14.0


@dataclass(frozen=True)
class Case:
    """One row to be."""

    victim: str
    moment: str
    scenarios: Kinds
    blows: tuple[Blow, ...] = ()
    outside: Outside | None = None

    @property
    def name(self) -> str:
        return f"{self.victim}:{self.moment}"

    def cast(self, rng: random.Random) -> list[Scenario]:
        """Draw whom each fault hits; of several, none explains another: each must be an incident of its own."""
        apart = LEAVES if len(self.scenarios) > 1 else None
        free = {role for kind in self.scenarios for role in (*kind.roles, *kind.others) if not apart or role in apart}
        drawn = []
        for kind in sorted(self.scenarios, key=lambda kind: len(kind.roles)):
            role = _draw(rng, kind.roles, free)
            other = _draw(rng, kind.others, free) if kind.others else ""
            drawn.append(kind(role, random.Random(rng.getrandbits(64)), other))
        return drawn


def _draw(rng: random.Random, roles: Sequence[str], free: set[str]) -> str:
    role = rng.choice([role for role in roles if role in free])
    free.discard(role)
    return role


def cases(rounds: int) -> list[Case]:
    """All rows, `rounds` of them at random for each victim."""
    return [*_at_random(rounds), *_at_edges(), *_frozen(), *_together(), *_clocks(), *_disks()]


BEFORE: Final = ("before",)
AFTER: Final = ("after",)
BOTH: Final = ("before", "after")
"""In one row, one after the other: whoever came back after the first blow goes the same way again, and gets the second.

Not where a plan would be cut short twice by it, after which a person is asked.
"""

# Which appends of a service are walked through, by which faults, and how its edges are shared among rows.
_APPENDS: Final[Sequence[tuple[str, Kinds, Sequence[str], Sequence[tuple[str, ...]]]]] = (
    ("gateway", QUICK, ("put",), (BOTH,)),
    # Whoever dies while it tells a person leaves a claim; until that lapses, the person has long approved.
    ("gateway", ASKED, ("notify", "Noted"), (BEFORE, AFTER)),
    ("gateway", ASKED, ("Approved",), (BOTH,)),
    ("detector", QUICK, ("Opened",), (BEFORE, AFTER)),
    ("detector", QUICK, ("AlertJoined", "Quiet"), (BOTH,)),
    ("diagnoser", QUICK, ("DiagnosisStarted", "Diagnosed"), (BOTH,)),
    ("mitigator", QUICK, ("TransactionOpened", "Kept"), (BOTH,)),
    ("mitigator", QUICK, ("Intended", "write", "StepApplied", "Applied"), (BEFORE, AFTER)),
    ("mitigator", UNDONE, ("UndoRequested",), (BOTH,)),
    ("undo", UNDONE, ("TransactionSeized", "mark", "UndoIntended", "write", "UndoStepApplied", "Undone"), (BOTH,)),
)


def _at_random(rounds: int) -> Iterator[Case]:
    for victim in (*SERVICES, NATS):
        kinds, life_s = (UNDONE, _UNDONE_LIFE_S) if victim == "undo" else (QUICK, _QUICK_LIFE_S)
        for number in range(rounds):
            if number % 2 == 0 and victim in ("gateway", "detector", NATS):
                kinds = STORM
            yield Case(victim, "at random", kinds, outside=AtRandom((victim,), life_s))


def _at_edges() -> Iterator[Case]:
    for victim, kinds, names, shared in _APPENDS:
        for name in names:
            for sides in shared:
                blows = tuple(Blow(victim, f"{side} {name}", (victim,)) for side in sides)
                yield Case(victim, f"{' and '.join(sides)} {name}", kinds, blows)
    for victim in ("detector", "diagnoser", "mitigator", "undo"):
        kinds = UNDONE if victim == "undo" else QUICK
        yield Case(victim, "before ack", kinds, (Blow(victim, "before ack", (victim,)),))
    yield Case("detector", "before ack of a storm", STORM, (Blow("detector", "before ack", ("detector",), passing=30),))
    for host, kinds, sides, name in (
        ("gateway", QUICK, BOTH, "put"),
        ("detector", QUICK, BOTH, "Opened"),
        ("mitigator", QUICK, BEFORE, "TransactionOpened"),
        ("mitigator", QUICK, AFTER, "Intended"),
        ("mitigator", QUICK, BEFORE, "StepApplied"),
        ("mitigator", QUICK, BEFORE, "Kept"),
        ("mitigator", UNDONE, BOTH, "UndoRequested"),
        ("undo", UNDONE, BOTH, "UndoIntended"),
        ("undo", UNDONE, BEFORE, "Undone"),
    ):
        blows = tuple(Blow(host, f"{side} {name}", (NATS,)) for side in sides)
        yield Case(NATS, f"{' and '.join(sides)} {name} of {host}", kinds, blows)


def _frozen() -> Iterator[Case]:
    """Longer than a heartbeat is believed: who held a transaction has lost it when it wakes up."""
    for victim, kinds, rows in (
        ("gateway", QUICK, (("put",),)),
        ("detector", QUICK, (("Opened", "Quiet"),)),
        ("diagnoser", QUICK, (("Diagnosed",),)),
        ("mitigator", QUICK, (("Intended",), ("write",), ("StepApplied",), ("Kept",))),
        ("undo", UNDONE, (("UndoIntended", "write", "Undone"),)),
        (NATS, QUICK, ()),
    ):
        life_s = _UNDONE_LIFE_S if kinds is UNDONE else _QUICK_LIFE_S
        at_random = AtRandom((victim,), life_s, Act.FREEZE, HOLD_S)
        yield Case(victim, f"frozen {HOLD_S:g} s at random", kinds, outside=at_random)
        for names in rows:
            blows = tuple(Blow(victim, f"before {name}", (victim,), Act.FREEZE) for name in names)
            said = " and ".join(f"before {name}" for name in names)
            yield Case(victim, f"frozen {HOLD_S:g} s {said}", kinds, blows)
    for edge in ("after Intended", "after Applied"):
        blow = Blow("mitigator", edge, (NATS,), Act.FREEZE)
        yield Case(NATS, f"frozen {HOLD_S:g} s {edge} of mitigator", QUICK, (blow,))


def _together() -> Iterator[Case]:
    """Two at once, one after the other, and the power cut."""
    for pair, kinds in (
        (("mitigator", "undo"), UNDONE),
        ((NATS, "mitigator"), QUICK),
        (("detector", "gateway"), STORM),
        (("diagnoser", "mitigator"), QUICK),
        ((*SERVICES, NATS), QUICK),
    ):
        victim = "+".join(pair) if len(pair) == 2 else "everything"
        life_s = _UNDONE_LIFE_S if kinds is UNDONE else _QUICK_LIFE_S
        yield Case(victim, "at random", kinds, outside=AtRandom(pair, life_s))
    yield Case(
        "mitigator+undo",
        "after write, then before UndoIntended",
        QUICK,
        (Blow("mitigator", "after write", ("mitigator",)), Blow("undo", "before UndoIntended", ("undo",))),
    )
    yield Case(
        "mitigator+undo",
        "after StepApplied, then after write",
        QUICK,
        (Blow("mitigator", "after StepApplied", ("mitigator",)), Blow("undo", "after write", ("undo",))),
    )
    yield Case(
        "mitigator+nats", "both after Intended", QUICK, (Blow("mitigator", "after Intended", (NATS, "mitigator")),)
    )
    yield Case("nats+undo", "both after UndoIntended", UNDONE, (Blow("undo", "after UndoIntended", (NATS, "undo")),))


def _clocks() -> Iterator[Case]:
    """An hour ahead, an hour behind, minutes to and fro: NTP that fails, a clock set by hand, a machine that slept."""
    for service in SERVICES:
        kinds = UNDONE if service == "undo" else QUICK
        jumps = ClockJumps(service, (3600.0, -3600.0, 300.0, -300.0), every_s=2.0)
        yield Case(service, "clock jumps by 1 h and by 5 min, to and fro", kinds, outside=jumps)


def _disks() -> Iterator[Case]:
    yield Case(NATS, "disk full", QUICK, outside=FullDisk(_QUICK_LIFE_S, for_s=4.0))
