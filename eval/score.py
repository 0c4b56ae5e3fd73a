"""What a scenario came to: Primum's own record compared with who was to blame, and whether it ended as it had to."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from statistics import median
from typing import Any, Final

from eval.oracles import Key
from eval.scenarios.scenario import RightEnd

Line = Mapping[str, Any]
_ENDS: Final = ("Kept", "KeptMoreToDo", "Cleared")
_TOLD: Final = (
    "NothingFound",
    "CouldNotLook",
    "Proposed",
    "NoPlanLeft",
    "ApprovalExpired",
    "UndoneForGood",
    "UndoStuck",
)
_TAKEN_BACK: Final = ("Undone", "UndoneForGood")


@dataclass(frozen=True)
class Wanted:
    """A fault, as a right diagnosis names it."""

    code: str
    object: Key


@dataclass(frozen=True)
class Said:
    """What the ledger holds of one incident."""

    opened_at: datetime
    diagnosed_at: datetime | None = None
    mended_at: datetime | None = None
    told_at: datetime | None = None
    """When it was given up to a person."""
    code: str = ""
    """The cause that it stood by: that of what it kept, else the first one of its last diagnosis."""
    object: Key = ("", "", "")
    at_first: str = ""
    """The first cause of its first diagnosis."""
    runbooks: tuple[str, ...] = ()
    """Of every transaction, in order."""
    kept: int = 0
    undos: int = 0
    steps: int = 0
    """Changes that it meant to write."""

    @property
    def idle(self) -> bool:
        """Opened and over again, with nothing said and nothing done: noise that was left alone."""
        return not self.code and not self.runbooks and self.told_at is None


@dataclass
class Row:
    """One scenario, played once. What was not judged, as nothing could show it, is None."""

    scenario: str
    variant: int
    title: str = ""
    role: str = ""
    noise: str = ""
    right_end: str = ""
    ok: bool = False
    detected: bool | None = None
    localized: bool | None = None
    named: bool | None = None
    named_at_once: bool | None = None
    """Already by the first diagnosis."""
    mitigated: bool | None = None
    """It ended as it had to: mended, or told, or untouched."""
    residue: int = 0
    incidents: int = 0
    actions: int = 0
    undos: int = 0
    steps: int = 0
    tokens: int = 0
    cost_usd: float = 0.0
    t_alert_s: float | None = None
    t_detect_s: float | None = None
    t_diagnose_s: float | None = None
    t_mitigate_s: float | None = None
    t_told_s: float | None = None
    elapsed_s: float = 0.0
    truth: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    runbooks: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    skipped: str = ""
    """Why it cannot be played on this ground."""
    error: str = ""
    """What it broke off with."""


def incidents_since(ledger: Sequence[Line], before: Collection[str]) -> Mapping[str, Sequence[Line]]:
    """The events of each incident that was not there before, oldest first."""
    found: dict[str, list[Line]] = defaultdict(list)
    for line in ledger:
        if line["subject"].startswith("primum.ledger."):
            name = line["subject"].split(".")[2]
            if name not in before:
                found[name].append(line)
    return {name: events for name, events in found.items() if not any(one["type"] == "Merged" for one in events)}


def said(events: Sequence[Line]) -> Said:
    """Read one incident's events, the first of which opens it."""
    diagnoses = [line["causes"] for line in events if line["type"] == "Diagnosed"]
    plans = {line["transaction"]: line["plan"] for line in events if line["type"] == "TransactionOpened"}
    kept = [plans[line["transaction"]] for line in events if line["type"] in ("Kept", "KeptMoreToDo")]
    stands_by = kept[-1]["cause"] if kept else diagnoses[-1][0] if diagnoses else None
    opened_at = _first(events, ("Opened",))
    if opened_at is None:
        raise ValueError("an incident begins with Opened")
    return Said(
        opened_at=opened_at,
        diagnosed_at=_first(events, ("Diagnosed",)),
        mended_at=_first(list(reversed(events)), _ENDS),
        told_at=_first(events, _TOLD),
        code=stands_by["code"] if stands_by else "",
        object=_key(stands_by["object"]) if stands_by else ("", "", ""),
        at_first=diagnoses[0][0]["code"] if diagnoses else "",
        runbooks=tuple(plan["runbook"]["name"] for plan in plans.values()),
        kept=len(kept),
        undos=sum(line["type"] in _TAKEN_BACK for line in events),
        steps=sum(line["type"] == "Intended" for line in events),
    )


def _first(events: Sequence[Line], types: Sequence[str]) -> datetime | None:
    at = next((line["headers"]["ce-time"] for line in events if line["type"] in types), None)
    return None if at is None else datetime.fromisoformat(at)


def _key(ref: Mapping[str, str]) -> Key:
    return ref["kind"], ref["namespace"], ref["name"]


def judge(row: Row, truth: Sequence[Wanted], incidents: Sequence[Said], told_at: datetime | None) -> None:
    """Fill in what the record says, compared with the truth. `row` has its `right_end`, `residue` and `problems`.

    `told_at` is when the webhook took the fault's first alert: Primum's time begins there.
    """
    row.truth = [_in_words(one.code, one.object) for one in truth]
    row.said = [_in_words(one.code, one.object) if one.code else "nothing" for one in incidents if not one.idle]
    row.incidents, incidents = len(incidents), [one for one in incidents if not one.idle]
    row.runbooks = [name for one in incidents for name in one.runbooks]
    row.actions, row.undos = len(row.runbooks), sum(one.undos for one in incidents)
    row.steps = sum(one.steps for one in incidents)
    if truth:
        row.detected = len(incidents) >= len(truth)
        row.localized = {one.object for one in truth} == {one.object for one in incidents}
        row.named = {(one.code, one.object) for one in truth} == {(one.code, one.object) for one in incidents}
        row.named_at_once = {one.code for one in truth} == {one.at_first for one in incidents}
    row.mitigated = not row.problems and not row.residue and _ended(RightEnd(row.right_end), incidents)
    row.ok = row.mitigated and all(found is not False for found in (row.detected, row.localized, row.named))
    row.t_detect_s = _since(told_at, (one.opened_at for one in incidents))
    row.t_diagnose_s = _since(told_at, (one.diagnosed_at for one in incidents))
    if row.mitigated and row.right_end == RightEnd.MENDED:
        row.t_mitigate_s = _since(told_at, (one.mended_at for one in incidents), last=True)
    row.t_told_s = _since(told_at, (one.told_at for one in incidents))


def _ended(right_end: RightEnd, incidents: Sequence[Said]) -> bool:
    match right_end:
        case RightEnd.MENDED:
            return bool(incidents)
        case RightEnd.TOLD:
            return bool(incidents) and all(one.told_at is not None and not one.kept for one in incidents)
        case RightEnd.UNTOUCHED:
            return not any(one.runbooks for one in incidents)


def _in_words(code: str, thing: Key) -> str:
    return f"{code} at {'/'.join(part for part in thing if part)}"


def _since(told_at: datetime | None, moments: Iterable[datetime | None], *, last: bool = False) -> float | None:
    known = [moment for moment in moments if moment is not None]
    if told_at is None or not known:
        return None
    moment = max(known) if last else min(known)
    return round(max(0.0, (moment - told_at).total_seconds()), 3)  # the record may be quicker than its own 2xx


RATES: Final = ("detected", "localized", "named", "named_at_once", "mitigated")
TIMES: Final = ("t_alert_s", "t_detect_s", "t_diagnose_s", "t_mitigate_s")
WORDS: Final[Mapping[str, str]] = {
    "detected": "an incident was opened for every fault",
    "localized": "exactly the objects at fault were named",
    "named": "with exactly their causes: by the plan that was kept, else by the last diagnosis",
    "named_at_once": "the right causes were first in the first diagnosis already",
    "mitigated": "it ended as it must. Mended: users' requests succeed, no alert is left, and every object is as "
    "before (or as the truth says). Told: a person was told, and nothing was changed. Untouched: nothing was done, as "
    "nothing was wrong",
    "residue": "values of objects that are not as they must be",
    "actions": "transactions that were begun, also those that were then taken back",
    "undos": "transactions that were taken back",
    "t_alert_s": "seconds from the fault to the first alert that Primum took, in the cluster's own time: the lab lives "
    "20 times faster than the wall, a real cluster as fast",
    "t_detect_s": "seconds of the wall from that alert until an incident was opened",
    "t_diagnose_s": "the same until the first diagnosis",
    "t_mitigate_s": "the same until all was mended",
    "t_told_s": "the same until a person was told",
    "beside": "what went on at the same time and is harmless. Release: somebody had just released another service. "
    "Evictions: another service's pods were evicted one after the other",
    "not played": "this ground cannot make the fault; it counts nowhere",
    "broke off": "the play itself failed, so nothing was judged; it is red, and --resume plays it again",
}
"""What the columns of a table, and the words of a report, stand for."""


def summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """All rows in a few numbers; a share is of those rows that could show it."""
    played = [row for row in rows if not row["skipped"]]
    return {
        "ok": bool(played) and all(row["ok"] for row in played),
        "rows": len(rows),
        "played": len(played),
        "passed": sum(row["ok"] for row in played),
        "errors": sum(bool(row["error"]) for row in played),
        **{f"{name}_ratio": _share([row[name] for row in played]) for name in RATES},
        "residue": sum(row["residue"] for row in played),
        "actions": sum(row["actions"] for row in played),
        "undos": sum(row["undos"] for row in played),
        **{f"{name.removesuffix('_s')}_p50_s": _median([row[name] for row in played]) for name in TIMES},
        "tokens": sum(row["tokens"] for row in played),
        "cost_usd": sum(row["cost_usd"] for row in played),
    }


def _share(found: Sequence[bool | None]) -> float | None:
    judged = [one for one in found if one is not None]
    return round(sum(judged) / len(judged), 3) if judged else None


def _median(found: Sequence[float | None]) -> float | None:
    known = [one for one in found if one is not None]
    return round(median(known), 3) if known else None
