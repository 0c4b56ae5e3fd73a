"""The oracles read the cluster, and see what must not be there."""

import pytest

from eval.demo import SCENARIOS, cast
from eval.lab.rehearsal import Rehearsal
from eval.lab_ground import inside
from eval.logbook import Logbook
from eval.oracles import AT_LEAST, Objects, failing_ratio, remove_others, residue, restore, written_objects
from eval.scenarios.scenario import with_change


def a_shop() -> Rehearsal:
    lab = Rehearsal(seed=4)
    lab.run(60)
    return lab


async def written(lab: Rehearsal) -> Objects:
    return await written_objects(inside(lab))


async def test_an_untouched_shop_has_no_residue() -> None:
    """Status, versions and times are the server's, and set aside."""
    lab = a_shop()
    before = await written(lab)
    lab.run(120)
    assert residue(before, await written(lab)) == []


async def test_a_changed_value_is_residue() -> None:
    """Wherever it stands in the object."""
    lab = a_shop()
    before = await written(lab)
    lab.store.patch("Service", lab.shop.namespace, lab.shop.cart, {"spec": {"selector": {"app": "other"}}})
    (line,) = residue(before, await written(lab))
    assert line.endswith(f"/spec/selector/app: other, should be {lab.shop.cart}")


async def test_an_object_too_many_and_one_too_few_are_residue() -> None:
    """Created and deleted things count like changed ones."""
    lab = a_shop()
    before = await written(lab)
    lab.store.delete("Service", lab.shop.namespace, lab.shop.cart)
    lab.store.create(
        "ConfigMap", {"metadata": {"name": "left-behind", "namespace": lab.shop.namespace}, "data": {"a": "b"}}
    )
    found = residue(before, await written(lab))
    assert [line.split()[0] for line in found] == [
        f"ConfigMap/{lab.shop.namespace}/left-behind",
        f"Service/{lab.shop.namespace}/{lab.shop.cart}",
    ]


async def test_primums_marks_and_restart_stamps_are_set_aside() -> None:
    """They say who wrote, not what."""
    lab = a_shop()
    before = await written(lab)
    marks = {"metadata": {"labels": {"primum.dev/transaction": "txn-1.7"}}}
    stamp = {"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}}}}
    lab.store.patch("Deployment", lab.shop.namespace, lab.shop.cart, {**marks, **stamp})
    assert residue(before, await written(lab)) == []


async def test_a_label_of_the_template_is_not_set_aside() -> None:
    """Only what is ours or a stamp is."""
    lab = a_shop()
    before = await written(lab)
    change = {"spec": {"template": {"metadata": {"annotations": {"owner": "somebody"}}}}}
    lab.store.patch("Deployment", lab.shop.namespace, lab.shop.cart, change)
    assert len(residue(before, await written(lab))) == 1


async def test_a_truth_may_ask_for_at_least_so_many() -> None:
    """More replicas are right, as many as before are not."""
    lab = a_shop()
    namespace, name = lab.shop.namespace, lab.shop.cart
    before = await written(lab)
    wanted = {"spec": {"replicas": {AT_LEAST: lab.shop.replicas["cart"] + 1}}}
    truth = with_change(before, "Deployment", namespace, name, wanted)
    assert len(residue(truth, before)) == 1
    lab.store.patch("Deployment", namespace, name, {"spec": {"replicas": 9}})
    assert residue(truth, await written(lab)) == []


async def test_restoring_leaves_the_shop_as_it_was() -> None:
    """For the next scenario: changed, deleted and added objects alike."""
    lab = a_shop()
    before = await written(lab)
    lab.store.patch("Deployment", lab.shop.namespace, lab.shop.cart, {"spec": {"replicas": 7}})
    lab.store.patch("Node", "", "node-a", {"spec": {"unschedulable": True}})
    lab.store.delete("Service", lab.shop.namespace, lab.shop.edge)
    lab.store.create("ConfigMap", {"metadata": {"name": "left-behind", "namespace": lab.shop.namespace}})
    await remove_others(inside(lab), before)
    await restore(inside(lab), before)
    lab.run(60)
    assert residue(before, await written(lab)) == []


def test_what_users_did_not_get_in_time_counts_as_failed() -> None:
    """Only a 2xx that came in time is what they asked for; no requests at all are no proof."""
    before = {"200": 100.0, "slow": 5.0}
    assert failing_ratio(before, {"200": 190.0, "slow": 10.0, "error": 3.0, "401": 2.0}) == pytest.approx(0.1)
    assert failing_ratio(before, before) == 1.0


def test_the_seed_draws_order_and_targets() -> None:
    """All scenarios every time, in many orders, on many services."""
    casts = [cast(seed) for seed in range(20)]
    assert all({one.name for one in drawn} == {kind.name for kind in SCENARIOS} for drawn in casts)
    assert len({tuple(one.name for one in drawn) for drawn in casts}) > 15
    assert len({one.role for drawn in casts for one in drawn if one.name == "wrong-image"}) > 3


def test_the_same_seed_draws_the_same() -> None:
    """A run can be repeated."""
    assert [(one.name, one.role, one.rng.random()) for one in cast(7)] == [
        (one.name, one.role, one.rng.random()) for one in cast(7)
    ]


def alert(mark: str) -> dict[str, str]:
    return {"fingerprint": mark, "status": "firing", "starts_at": "2026-01-01T10:00:00.120000Z", "subject": "a"}


def event(kind: str, transaction: str) -> dict[str, str]:
    return {"type": kind, "transaction": transaction, "subject": f"primum.ledger.inc.{kind}"}


def test_an_acknowledged_alert_that_is_not_in_the_stream_is_lost() -> None:
    """The sender's list is compared with the stream, however each prints the time."""
    told = {("one", "firing", "2026-01-01T10:00:00.120Z"), ("two", "firing", "2026-01-01T10:00:00.120Z")}
    assert Logbook((alert("one"),), ()).lost(told) == [("two", "firing", "2026-01-01T10:00:00.120Z")]


@pytest.mark.parametrize(
    "printed", ["2026-01-01T10:00:00Z", "2026-01-01T10:00:00.000Z", "2026-01-01T11:00:00.0004+01:00"]
)
def test_a_whole_second_is_the_same_moment_however_it_is_printed(printed: str) -> None:
    """Some leave the fraction out when it is zero."""
    stored = {**alert("one"), "starts_at": "2026-01-01T10:00:00Z"}
    assert Logbook((stored,), ()).lost({("one", "firing", printed)}) == []


def test_a_transaction_without_an_end_is_orphaned() -> None:
    """So is one that was to be undone and never was, and a lock that nobody let go."""
    ended = [event("TransactionOpened", "txn-a"), event("Kept", "txn-a")]
    assert Logbook((), tuple(ended)).orphaned() == []
    assert Logbook((), (*ended, event("UndoRequested", "txn-a"))).orphaned() == ["txn-a"]
    lock = {"subject": "primum.lock.x", "transaction": "txn-b", "held": True}
    assert Logbook((), (*ended, lock)).orphaned() == ["txn-b"]
    assert Logbook((), (*ended, lock, {**lock, "held": False})).orphaned() == []
