"""The undo service's decisions, pure: what stands where we wrote, how to get back, and whether it worked."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import assert_never

from shared.domain.change import Edit, Patch
from shared.domain.cluster import Object
from shared.domain.events import UNJUDGED, Intended, Undone, UndoneForGood, UndoneUntried, UndoStuck, UndoWhy
from shared.domain.frozen import Frozen
from shared.domain.health import Health, Verdict, VerdictWord
from shared.domain.incident import Incident
from shared.domain.path import Absent, Present, Slot, read
from shared.domain.transaction import Transaction
from shared.judge.keep_or_undo import NotYet
from shared.judge.verdict import compare


class PutBack(Frozen):
    """Our values stand there: write the old ones."""

    patch: Patch


class NothingToDo(Frozen):
    """The old values stand there: the write never arrived, or is back already."""

    found: str


class TheirEdit(Frozen):
    """Somebody wrote after us: it is theirs, and a person must say what is right."""

    values: tuple[str, ...]


def way_back(
    intended: Intended, seen: Object, *, put_back: bool = False, replaced: bool = False
) -> PutBack | NothingToDo | TheirEdit:
    """Compare what stands there with what the server stored for us and with what stood there before.

    Values alone cannot tell ours from the same ones that somebody set since. What an undo that died has `put_back`
    is done: whatever stands there now is later. An object that was `replaced`, so that it lost the fence, is theirs.

    Values are compared as stored (the dry run's post-image), never as sent: the server normalises.
    """
    if not isinstance(intended.change, Patch):
        return NothingToDo(found="self-healing")
    if put_back:
        return NothingToDo(found="already-back")
    stored = [_as_stored(edit, intended) for edit in intended.change.edits]
    foreign = tuple(line for edit in stored if (line := _foreign(edit, seen)))
    if foreign:
        return TheirEdit(values=foreign)
    ours = [edit.inverse() for edit in reversed(stored) if read(seen.body, edit.path) == edit.after != edit.before]
    if not ours:
        return NothingToDo(found="untouched")
    if replaced:
        return TheirEdit(values=tuple(f"{_differs(edit, seen)}; somebody replaced the object since" for edit in stored))
    return PutBack(patch=Patch(ref=intended.change.ref, edits=tuple(ours)))


def fence(transaction: Transaction, seen: Object) -> str | TheirEdit:
    """Say which label fences an object as it stands before: with the steps on it that need not be put back.

    Once the label is there nobody can tell our value from the same one that somebody set later. So the label says what
    was so already; and where ours was missing, our values are somebody else's. A later transaction may have set its own
    label over it, but not over a step that is not known to have been done: such a transaction never let its locks go.
    """
    back = None
    for intended in sorted(transaction.intents, key=lambda intent: intent.step, reverse=True):
        if intended.change.ref != seen.ref:
            continue
        put_back, done = transaction.put_back(intended.step, seen.mark), intended.step in transaction.steps_applied
        replaced = seen.mark is None or not (done or transaction.marked(seen.mark))
        match way_back(intended, seen, put_back=put_back, replaced=replaced):
            case NothingToDo():
                back = intended.step
            case TheirEdit() as theirs if replaced:
                return theirs
            case _:
                break
    return transaction.mark if back is None else transaction.mark_back(back)


def _as_stored(edit: Edit, intended: Intended) -> Edit:
    return Edit(path=edit.path, before=read(intended.pre_image, edit.path), after=read(intended.post_image, edit.path))


def _foreign(edit: Edit, seen: Object) -> str | None:
    found = read(seen.body, edit.path)
    if found in (edit.before, edit.after):
        return None
    return _differs(edit, seen)


def _differs(edit: Edit, seen: Object) -> str:
    found = read(seen.body, edit.path)
    return f"{seen.ref} {edit.path}: found {_said(found)}, ours was {_said(edit.after)}, before it {_said(edit.before)}"


def _said(slot: Slot) -> str:
    match slot:
        case Present(value=value):
            return str(value)
        case Absent():
            return "absent"
        case _:
            assert_never(slot)


def verified(  # noqa: PLR0913 - each is one independent piece of the evidence
    incident: Incident,
    transaction: Transaction,
    now: Health,
    *,
    deadline: datetime,
    look_again_s: float,
    max_transactions: int,
) -> Undone | UndoneUntried | UndoneForGood | UndoStuck | NotYet:
    """Say whether the scope is back: by the same measurement that judged the action, until the deadline."""
    back = compare(transaction.before.but(recent={}), [now])
    unseen = "; ".join(map(str, now.unmeasured))
    if not (unseen or _still_rolling(transaction, now) or back.word is VerdictWord.WORSE):
        said = Verdict(word=VerdictWord.SAME, reasons=("back to what was", *back.reasons))
        return _ended(incident, transaction, said, now, max_transactions)
    if now.at < deadline:
        look = now.at + timedelta(seconds=look_again_s)
        return NotYet(until=min(look, deadline), reason=back.reason)
    if unseen:
        reason = f"restored, and whether that helped is not known: {unseen}"
        return UndoStuck(transaction=transaction.id, reason=reason)
    steady = compare(_steady(transaction.before), [now])
    if _still_rolling(transaction, now) or steady.word is VerdictWord.WORSE:
        return UndoStuck(transaction=transaction.id, reason=f"restored, and still worse than before: {back.reason}")
    in_motion = "every value is back; how it was before is no measure, a rollout was under way then"
    said = Verdict(word=VerdictWord.INCONCLUSIVE, reasons=(in_motion, *back.reasons))
    return _ended(incident, transaction, said, now, max_transactions)


def _steady(before: Health) -> Health:
    """What of the health before an action was a level, and not a moment of a rollout that went on without us.

    Which Services a workload stands behind is not on record, so theirs counts only if nothing was in motion.
    """
    steady = tuple(workload for workload in before.workloads if workload.rolled_out)
    endpoints = before.endpoints if len(steady) == len(before.workloads) else {}
    return before.but(workloads=steady, endpoints=endpoints, recent={})


def _still_rolling(transaction: Transaction, now: Health) -> bool:
    """Whether a workload that was rolled out before is not so again. One that never was proves nothing."""
    return any(
        not workload.rolled_out and (was := transaction.before.of(workload.ref)) is not None and was.rolled_out
        for workload in now.workloads
    )


def _ended(
    incident: Incident, transaction: Transaction, back: Verdict, now: Health, max_transactions: int
) -> Undone | UndoneUntried | UndoneForGood:
    if transaction.undo_why in UNJUDGED:
        return UndoneUntried(transaction=transaction.id, verified=back, after=now)
    if reason := _for_good(incident, transaction, max_transactions):
        return UndoneForGood(transaction=transaction.id, verified=back, after=now, reason=reason)
    return Undone(transaction=transaction.id, verified=back, after=now)


def _for_good(incident: Incident, transaction: Transaction, max_transactions: int) -> str | None:
    if transaction.undo_why is UndoWhy.PERSON:
        return "a person asked for it"
    judged = [known for known in incident.transactions if not known.untried]
    if len(judged) >= max_transactions:
        return f"{len(judged)} transactions did not end this incident"
    return None


def stuck(transaction: Transaction, conflicts: Sequence[str]) -> UndoStuck:
    """Stop, with both values on record: undo never overwrites somebody's edit."""
    more = f", and {len(conflicts) - 1} more" if len(conflicts) > 1 else ""
    return UndoStuck(
        transaction=transaction.id,
        reason=f"not put back: {conflicts[0]}{more}",
        values=tuple(conflicts),
    )
