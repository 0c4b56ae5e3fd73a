"""The undo service's decisions: what stands where we wrote, how to get back, and whether it worked."""

from datetime import timedelta

import pytest

from services.undo import decide
from shared.domain.change import Edit, Evict, Patch
from shared.domain.cluster import Object
from shared.domain.events import UNJUDGED, Intended, Undone, UndoneForGood, UndoneUntried, UndoStuck, UndoWhy
from shared.domain.frozen import Json, JsonObject
from shared.domain.health import Health, WorkloadHealth
from shared.domain.incident import Incident, State
from shared.domain.path import ABSENT, Present
from shared.domain.transaction import Transaction
from shared.judge.keep_or_undo import NotYet
from shared.testing.builders import T0, TRANSACTION, a_health, a_ref, an_incident, an_object

CPU = "/spec/template/spec/containers/main/resources/limits/cpu"


def a_deployment_with(cpu: Json, replicas: int = 3) -> Object:
    container: JsonObject = {"name": "main", "resources": {"limits": {} if cpu is None else {"cpu": cpu}}}
    return an_object(a_ref(), {"spec": {"replicas": replicas, "template": {"spec": {"containers": [container]}}}})


def intended(*edits: Edit, pre: Object, post: Object) -> Intended:
    change = Patch(ref=a_ref(), edits=edits)
    return Intended(transaction=TRANSACTION, step=0, change=change, pre_image=pre.body, post_image=post.body)


RAISED = intended(
    Edit(path=CPU, before=Present(value="250m"), after=Present(value="0.5")),
    pre=a_deployment_with("250m"),
    post=a_deployment_with("500m"),
)
"""We sent 0.5, the server stored 500m."""


def test_what_stands_as_the_server_stored_it_is_ours_and_goes_back() -> None:
    """Compared with the dry run's post-image, not with what was sent."""
    back = decide.way_back(RAISED, a_deployment_with("500m"))
    assert isinstance(back, decide.PutBack)
    assert back.patch.edits == (Edit(path=CPU, before=Present(value="500m"), after=Present(value="250m")),)


def test_the_old_value_needs_nothing() -> None:
    """The write never arrived, or is back already."""
    assert decide.way_back(RAISED, a_deployment_with("250m")) == decide.NothingToDo(found="untouched")


def test_any_other_value_is_theirs_and_all_three_are_named() -> None:
    """Found, ours, and the one before it: what a person needs to decide."""
    theirs = decide.way_back(RAISED, a_deployment_with("2"))
    assert isinstance(theirs, decide.TheirEdit)
    assert theirs.values == (f"Deployment/shop/cart {CPU}: found 2, ours was 500m, before it 250m",)


def test_a_value_that_somebody_removed_is_theirs() -> None:
    """Absence is a value."""
    theirs = decide.way_back(RAISED, a_deployment_with(None))
    assert isinstance(theirs, decide.TheirEdit)
    assert "found absent" in theirs.values[0]


def test_what_was_absent_before_is_absent_again() -> None:
    """Undo leaves nothing behind."""
    added = intended(
        Edit(path=CPU, before=ABSENT, after=Present(value="500m")),
        pre=a_deployment_with(None),
        post=a_deployment_with("500m"),
    )
    back = decide.way_back(added, a_deployment_with("500m"))
    assert isinstance(back, decide.PutBack)
    assert back.patch.edits == (Edit(path=CPU, before=Present(value="500m"), after=ABSENT),)


TWO = intended(
    Edit(path=CPU, before=Present(value="250m"), after=Present(value="500m")),
    Edit(path="/spec/replicas", before=Present(value=3), after=Present(value=6)),
    pre=a_deployment_with("250m", 3),
    post=a_deployment_with("500m", 6),
)


def test_several_edits_go_back_in_the_other_order() -> None:
    """The last one first, as it must be when one stands on the other."""
    back = decide.way_back(TWO, a_deployment_with("500m", 6))
    assert isinstance(back, decide.PutBack)
    assert [edit.path for edit in back.patch.edits] == ["/spec/replicas", CPU]


def test_only_what_is_ours_goes_back() -> None:
    """What somebody put back by hand needs nothing more."""
    back = decide.way_back(TWO, a_deployment_with("250m", 6))
    assert isinstance(back, decide.PutBack)
    assert [edit.path for edit in back.patch.edits] == ["/spec/replicas"]


def test_one_foreign_value_stops_all_of_it() -> None:
    """Half a step back is a state that nobody has ever seen."""
    assert isinstance(decide.way_back(TWO, a_deployment_with("2", 6)), decide.TheirEdit)


def test_an_edit_that_the_server_took_for_no_change_needs_nothing() -> None:
    """What it stored is what was there."""
    same = intended(
        Edit(path=CPU, before=Present(value="500m"), after=Present(value="0.5")),
        pre=a_deployment_with("500m"),
        post=a_deployment_with("500m"),
    )
    assert isinstance(decide.way_back(same, a_deployment_with("500m")), decide.NothingToDo)


def test_an_eviction_heals_itself() -> None:
    """There is nothing to put back."""
    evicted = Intended(
        transaction=TRANSACTION,
        step=0,
        change=Evict(ref=a_ref(), uid="u", controller="ReplicaSet/cart-1"),
        pre_image={},
        post_image={},
    )
    assert decide.way_back(evicted, a_deployment_with("1")) == decide.NothingToDo(found="self-healing")


# --- whether it worked


def undoing(
    why: UndoWhy = UndoWhy.DID_NOT_HELP, *, earlier: int = 0, before: Health | None = None
) -> tuple[Incident, Transaction]:
    incident = an_incident(State.UNDOING)
    transaction = incident.transactions[-1].but(undo_why=why, before=before or a_health(ready=3))
    others = tuple(transaction.but(id=f"txn-{number}") for number in range(earlier))
    return incident.but(transactions=(*others, transaction)), transaction


def verified(
    why: UndoWhy = UndoWhy.DID_NOT_HELP, *, ready: int = 3, earlier: int = 0, late: bool = False, was: int = 3
) -> object:
    incident, transaction = undoing(why, earlier=earlier, before=a_health(ready=was))
    now = a_health(ready=ready, at=T0)
    deadline = T0 + timedelta(seconds=0 if late else 60)
    return decide.verified(incident, transaction, now, deadline=deadline, look_again_s=5, max_transactions=3)


def test_back_to_what_was_is_undone() -> None:
    """By the same measurement that judged the action."""
    assert isinstance(verified(), Undone)


def test_back_to_an_outage_that_was_there_before_is_undone_too() -> None:
    """The incident goes on; it is not worse for us."""
    assert isinstance(verified(ready=1, was=1), Undone)


def test_a_scope_that_is_not_back_yet_is_looked_at_again() -> None:
    """At the next look, never after the deadline."""
    waits = verified(ready=2)
    assert isinstance(waits, NotYet)
    assert waits.until == T0 + timedelta(seconds=5)


def test_a_scope_that_is_worse_at_the_deadline_is_stuck() -> None:
    """Restored, and still worse: failing to undo is a state."""
    stuck = verified(ready=2, late=True)
    assert isinstance(stuck, UndoStuck)
    assert "still worse" in stuck.reason


def test_a_rollout_is_awaited_though_enough_pods_are_ready() -> None:
    """Old pods of the undone template may still be serving."""
    incident, transaction = undoing()
    now = a_health()
    rolling = now.but(workloads=(now.workloads[0].but(rolled_out=False),))
    said = decide.verified(
        incident, transaction, rolling, deadline=T0 + timedelta(seconds=60), look_again_s=5, max_transactions=3
    )
    assert isinstance(said, NotYet)


def _rolling(ready: int, *others: WorkloadHealth) -> Health:
    health = a_health(ready=ready)
    return health.but(workloads=(health.workloads[0].but(rolled_out=False), *others))


def _at_the_deadline(before: Health, now: Health) -> object:
    incident, transaction = undoing(UndoWhy.HOLDER_DIED, before=before)
    return decide.verified(incident, transaction, now, deadline=now.at, look_again_s=5, max_transactions=3)


def test_a_rollout_that_failed_meanwhile_is_not_blamed_on_what_was_put_back() -> None:
    """Its first seconds looked better than what came of it, and nothing of ours is left."""
    ended = _at_the_deadline(_rolling(3), _rolling(1))
    assert isinstance(ended, UndoneUntried)
    assert "a rollout was under way" in ended.verified.reason


def test_what_stood_still_beside_a_rollout_must_be_back() -> None:
    """Only what was in motion has no level to be held against."""
    beside = a_health(a_ref(name="till"), ready=3).workloads[0]
    before, now = _rolling(3, beside), _rolling(3, beside.but(ready=1))
    assert isinstance(_at_the_deadline(before, now), UndoStuck)


@pytest.mark.parametrize("why", sorted(UNJUDGED))
@pytest.mark.parametrize("earlier", [0, 2])
def test_what_was_never_judged_is_untried(why: UndoWhy, earlier: int) -> None:
    """It excludes nothing and counts for nothing, also when it would have been the last attempt."""
    assert isinstance(verified(why, earlier=earlier), UndoneUntried)


def test_what_a_person_asked_for_is_for_good() -> None:
    """Primum does not argue."""
    assert isinstance(verified(UndoWhy.PERSON), UndoneForGood)


@pytest.mark.parametrize(("earlier", "outcome"), [(1, Undone), (2, UndoneForGood)])
def test_after_the_third_attempt_a_person_is_called(earlier: int, outcome: type) -> None:
    """Two more are not tried."""
    assert isinstance(verified(earlier=earlier), outcome)


def test_stuck_says_what_and_how_much() -> None:
    """The first in the sentence, all of them on record."""
    _, transaction = undoing()
    stuck = decide.stuck(transaction, ["cpu: found 2", "replicas: found 9"])
    assert (stuck.reason, stuck.values) == (
        "not put back: cpu: found 2, and 1 more",
        ("cpu: found 2", "replicas: found 9"),
    )
