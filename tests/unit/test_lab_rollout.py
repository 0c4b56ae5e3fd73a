"""The lab's Deployment controller keeps revisions, sizes and conditions as the real one does."""

import pytest

from eval.lab.deployments import REVISION, is_complete, revision_of
from eval.lab.kinds import Obj
from eval.lab.rehearsal import Rehearsal


@pytest.fixture
def lab() -> Rehearsal:
    """A shop that stands."""
    world = Rehearsal(seed=3)
    world.until(world.settled)
    return world


def sets(lab: Rehearsal, name: str) -> dict[int, Obj]:
    """A Deployment's ReplicaSets by revision."""
    found = lab.store.list("ReplicaSet", lab.shop.namespace)
    return {revision_of(item): item for item in found if item["metadata"]["ownerReferences"][0]["name"] == name}


def complete(lab: Rehearsal, name: str) -> bool:
    """Whether its rollout is done."""
    return is_complete(lab.deployment(name))


def condition(lab: Rehearsal, name: str, which: str) -> Obj:
    """One condition of its status."""
    conditions: list[Obj] = lab.deployment(name)["status"]["conditions"]
    return next(item for item in conditions if item["type"] == which)


def test_the_shop_has_a_past_to_go_back_to(lab: Rehearsal) -> None:
    """Three revisions, the two older ones empty and older than the one that runs."""
    found = sets(lab, lab.shop.cart)
    assert sorted(found) == [1, 2, 3]
    assert [found[number]["spec"]["replicas"] for number in (1, 2)] == [0, 0]
    assert found[1]["metadata"]["creationTimestamp"] < found[3]["metadata"]["creationTimestamp"]


def test_going_back_to_a_template_reuses_its_replica_set(lab: Rehearsal) -> None:
    """The same hash, the same ReplicaSet, with the next revision number."""
    name = lab.shop.cart
    before = sets(lab, name)[3]["metadata"]["uid"]
    lab.edit_container(name, image=lab.shop.next_image("cart"))
    lab.until(lambda: complete(lab, name))
    assert lab.deployment(name)["metadata"]["annotations"][REVISION] == "4"
    lab.edit_container(name, image=lab.shop.image("cart"))
    lab.until(lambda: complete(lab, name))
    assert sets(lab, name)[5]["metadata"]["uid"] == before


def test_annotations_are_copied_to_replica_sets_and_labels_are_not(lab: Rehearsal) -> None:
    """Why Primum's mark is a label."""
    name = lab.shop.cart
    marks = {"annotations": {"note": "a"}, "labels": {"mark": "b"}}
    lab.store.patch("Deployment", lab.shop.namespace, name, {"metadata": marks})
    lab.run(3)
    meta = sets(lab, name)[3]["metadata"]
    assert meta["annotations"]["note"] == "a"
    assert "mark" not in meta["labels"]


def test_a_stuck_rollout_keeps_what_availability_needs(lab: Rehearsal) -> None:
    """At most one old pod goes for a new one that never becomes ready."""
    name, replicas = lab.shop.edge, lab.shop.replicas["edge"]
    lab.edit_container(name, image=lab.shop.missing_image("edge"))
    lab.run(120)
    assert lab.deployment(name)["status"]["availableReplicas"] == replicas - 1
    assert lab.deployment(name)["status"]["updatedReplicas"] == 2


def test_a_rollout_without_progress_exceeds_its_deadline(lab: Rehearsal) -> None:
    """Progressing turns False with the reason, once, after the Deployment's own deadline."""
    name = lab.shop.edge
    lab.store.patch("Deployment", lab.shop.namespace, name, {"spec": {"progressDeadlineSeconds": 60}})
    lab.edit_container(name, image=lab.shop.missing_image("edge"))
    lab.until(lambda: condition(lab, name, "Progressing")["reason"] == "ProgressDeadlineExceeded", within_s=120)
    assert condition(lab, name, "Progressing")["status"] == "False"


def test_a_paused_deployment_ignores_its_template_and_still_scales(lab: Rehearsal) -> None:
    """No new ReplicaSet until it is resumed; replicas follow at once."""
    name = lab.shop.cart
    lab.store.patch("Deployment", lab.shop.namespace, name, {"spec": {"paused": True}})
    lab.edit_container(name, image=lab.shop.next_image("cart"))
    lab.scale(name, 5)
    lab.until(lambda: len(lab.pods(name)) == 5, within_s=30)
    assert max(sets(lab, name)) == 3
    lab.store.patch("Deployment", lab.shop.namespace, name, {"spec": {"paused": None}})
    lab.until(lambda: complete(lab, name))
    assert max(sets(lab, name)) == 4


@pytest.mark.parametrize("replicas", [0, 1, 7])
def test_scaling_to_any_size(lab: Rehearsal, replicas: int) -> None:
    """Up and down, to nothing and back."""
    name, before = lab.shop.catalog, lab.shop.replicas["catalog"]
    for wanted in (replicas, before):
        lab.scale(name, wanted)
        lab.until(lambda: complete(lab, name) and len(lab.pods(name)) == lab.deployment(name)["spec"]["replicas"])


def test_a_scaling_in_the_middle_of_a_stuck_rollout_reaches_its_size(lab: Rehearsal) -> None:
    """Old and new share the change by their sizes, as the real controller's proportional scaling does."""
    name = lab.shop.edge
    lab.edit_container(name, image=lab.shop.missing_image("edge"))
    lab.run(30)
    lab.scale(name, 6)
    lab.run(60)
    status = lab.deployment(name)["status"]
    assert 6 <= status["replicas"] <= 7
    assert status["availableReplicas"] == 2
    lab.edit_container(name, image=lab.shop.image("edge"))
    lab.until(lambda: complete(lab, name))


def test_scaling_up_and_down_again_in_a_stuck_rollout_costs_no_ready_pod(lab: Rehearsal) -> None:
    """Rounding takes from the largest set first: the real controller does not drop the last pod that serves."""
    name = lab.shop.cart
    lab.scale(name, 2)
    lab.until(lambda: complete(lab, name))
    lab.edit_container(name, image=lab.shop.missing_image("cart"))
    lab.run(30)
    assert lab.deployment(name)["status"]["availableReplicas"] == 1
    for wanted in (4, 2):
        lab.scale(name, wanted)
        lab.run(30)
    assert lab.deployment(name)["status"]["availableReplicas"] == 1


def test_a_quota_refuses_pods_and_says_so(lab: Rehearsal) -> None:
    """The ReplicaSet records FailedCreate with the quota's name; without the quota it recovers."""
    namespace, name = lab.shop.namespace, lab.shop.cart
    lab.store.create(
        "ResourceQuota", {"metadata": {"name": "q", "namespace": namespace}, "spec": {"hard": {"pods": 1}}}
    )
    lab.scale(name, 5)
    lab.run(5)
    events = [event["message"] for event in lab.store.list("Event") if event["reason"] == "FailedCreate"]
    assert "exceeded quota: q" in events[0]
    lab.store.delete("ResourceQuota", namespace, "q")
    lab.until(lambda: complete(lab, name))
