"""From causes to plans: what would be written, whom it touches, and why the others are not chosen."""

import pytest

from shared.analyzers.registry import findings
from shared.domain.cause import Cause, CauseCode, Finding
from shared.domain.change import Evict, Patch
from shared.domain.cluster import Kind, Object
from shared.domain.health import Traffic
from shared.domain.path import Present, write
from shared.domain.runbook import Plan, Risk, Runbook
from shared.domain.snapshot import Snapshot
from shared.runbooks.catalog import Catalog, load, parse
from shared.runbooks.planning import MOST_CHANGES, NotChosen, plan, plans, unmet_postconditions
from shared.testing.builders import (
    a_deployment,
    a_kubernetes_event,
    a_node,
    a_pod,
    a_ref,
    a_replica_set,
    a_rollout,
    a_service,
    a_snapshot,
    a_template,
    an_endpoint_slice,
)

CATALOG = load()


def causes_of(snapshot: Snapshot) -> list[Cause]:
    """What the analyzers find, as causes."""
    return [Cause(**{name: getattr(finding, name) for name in Finding.model_fields}) for finding in findings(snapshot)]


def cause(code: CauseCode, snapshot: Snapshot) -> Cause:
    """The one of this code."""
    return next(each for each in causes_of(snapshot) if each.code is code)


def runbook(name: str) -> Runbook:
    """One of the built-in runbooks."""
    found = CATALOG.find(name)
    assert found is not None
    return found


def chosen(name: str, code: CauseCode, snapshot: Snapshot) -> Plan:
    """The plan of a runbook that fits."""
    made = plan(runbook(name), cause(code, snapshot), snapshot)
    assert isinstance(made, Plan), made
    return made


def refused(name: str, made: Cause, snapshot: Snapshot) -> str:
    """Why a runbook does not fit."""
    answer = plan(runbook(name), made, snapshot)
    assert isinstance(answer, NotChosen), answer
    return str(answer)


def scope_of(made: Plan) -> set[str]:
    """The scope in words."""
    return {str(ref) for ref in made.scope}


def a_wrong_image() -> Snapshot:
    """A rollout whose image cannot be pulled, behind a Service."""
    rollout = a_rollout(ready=1)
    old, new = rollout.pods(1, of_earlier=True), rollout.pods(2, ready=False, waiting="ErrImagePull")
    return a_snapshot(rollout.objects, old, new, a_service(), an_endpoint_slice(ready=1))


def a_gray_node(workloads: int = 2, pods: int = 1) -> Snapshot:
    """A node where everything fails, and one where it does not."""
    objects: list[Object] = [a_node("bad"), a_node("good")]
    for index in range(workloads):
        deployment = a_deployment(f"w{index}", replicas=pods + 1, ready=1)
        owner = a_replica_set(deployment)
        failing = [a_pod(f"w{index}-bad-{pod}", owner=owner, node="bad", ready=False) for pod in range(pods)]
        objects += [deployment, owner, *failing, a_pod(f"w{index}-good", owner=owner, node="good")]
    return a_snapshot(objects)


# --- each built-in runbook on the fault that it treats


def test_a_wrong_image_is_rolled_back() -> None:
    """One edit; the scope is the workload and the Service in front of it."""
    made = chosen("roll-back-deployment", CauseCode.IMAGE_PULL_FAILED, a_wrong_image())
    (change,) = made.changes
    assert isinstance(change, Patch)
    assert [str(edit.after) for edit in change.edits] == ["registry.example/cart:1"]
    assert scope_of(made) == {"Deployment/shop/cart", "Service/shop/cart"}
    assert (made.risk, made.destructive) == (Risk.MEDIUM, False)


def test_a_lowered_memory_limit_is_restored() -> None:
    """The resources and nothing else."""
    rollout = a_rollout(before=a_template(memory_limit="128Mi"), after=a_template(memory_limit="32Mi"), ready=0)
    pods = rollout.pods(3, ready=False, restarts=3, waiting="CrashLoopBackOff", last_terminated="OOMKilled")
    snapshot = a_snapshot(rollout.objects, pods)
    (change,) = chosen("restore-resources", CauseCode.MEMORY_LIMIT_TOO_LOW, snapshot).changes
    assert isinstance(change, Patch)
    assert [str(edit.after) for edit in change.edits] == ["128Mi"]


def test_a_selector_is_pointed_at_the_workload_that_it_is_judged_with() -> None:
    """Nobody was behind the Service before: the scope is what will be."""
    deployment = a_deployment()
    snapshot = a_snapshot(deployment, a_replica_set(deployment), a_service(selector={"app": "typo"}))
    made = chosen("fix-service-selector", CauseCode.SERVICE_SELECTOR_MISMATCH, snapshot)
    assert scope_of(made) == {"Deployment/shop/cart", "Service/shop/cart"}


def test_a_target_port_is_set() -> None:
    """To the one that is served."""
    snapshot = a_snapshot(a_deployment(), a_service(target_port=9))
    (change,) = chosen("fix-service-port", CauseCode.SERVICE_TARGET_PORT_MISMATCH, snapshot).changes
    assert isinstance(change, Patch)
    assert [str(edit.after) for edit in change.edits] == ["8080"]


def test_a_workload_scaled_to_nothing_is_scaled_back() -> None:
    """To what it had."""
    deployment = a_deployment(replicas=0)
    event = a_kubernetes_event(deployment.ref, "ScalingReplicaSet", "Scaled down replica set cart-1 from 4 to 0")
    snapshot = a_snapshot(deployment, a_replica_set(deployment), a_service(), event).but(
        recent={"shop/cart": Traffic(requests=9, errors=9)}
    )
    (change,) = chosen("scale-deployment", CauseCode.SCALED_TOO_LOW, snapshot).changes
    assert isinstance(change, Patch)
    assert [str(edit.after) for edit in change.edits] == ["4"]


def test_a_process_that_does_not_answer_is_restarted() -> None:
    """By the stamp alone."""
    rollout = a_rollout(at=a_snapshot().taken_at.replace(year=2025))
    pods = rollout.pods(2, ready=False)
    told = a_kubernetes_event(pods[0].ref, "Unhealthy", "Readiness probe failed")
    made = chosen("restart-deployment", CauseCode.UNHEALTHY_PROCESS, a_snapshot(rollout.objects, pods, told))
    assert scope_of(made) == {"Deployment/shop/cart"}


def test_a_gray_node_is_cordoned_and_emptied() -> None:
    """On the destructive list; the scope is the workloads whose pods go."""
    made = chosen("drain-node", CauseCode.NODE_GRAY_FAILURE, a_gray_node())
    assert [type(change) for change in made.changes] == [Patch, Evict, Evict]
    assert scope_of(made) == {"Deployment/shop/w0", "Deployment/shop/w1"}
    assert (made.risk, made.destructive) == (Risk.HIGH, True)


def test_a_node_that_is_cordoned_already_is_only_emptied() -> None:
    """The check in the runbook branches."""
    snapshot = a_gray_node()
    cordoned = snapshot.but(objects=(a_node("bad", unschedulable=True), *snapshot.objects[1:]))
    made = chosen("drain-node", CauseCode.NODE_GRAY_FAILURE, cordoned)
    assert [type(change) for change in made.changes] == [Evict, Evict]


# --- what is not chosen, and why


def test_the_last_node_is_not_emptied() -> None:
    """The precondition says why: there is no other to take the pods."""
    snapshot = a_gray_node()
    good = a_node("good", unschedulable=True)
    alone = snapshot.but(objects=(snapshot.objects[0], good, *snapshot.objects[2:]))
    reason = refused("drain-node", cause(CauseCode.NODE_GRAY_FAILURE, alone), alone)
    assert reason.startswith("drain-node for node-gray-failure: precondition: ")


def test_a_transaction_has_a_most_of_changes() -> None:
    """More than that nobody can watch."""
    snapshot = a_gray_node(workloads=2, pods=MOST_CHANGES)
    reason = refused("drain-node", cause(CauseCode.NODE_GRAY_FAILURE, snapshot), snapshot)
    assert "101 changes, more than 50" in reason


def test_a_cause_without_its_remedy_is_told_and_not_treated() -> None:
    """The analyzer did not say which revision."""
    snapshot = a_wrong_image()
    without = cause(CauseCode.IMAGE_PULL_FAILED, snapshot).but(remedy={})
    assert "does not say which revision" in refused("roll-back-deployment", without, snapshot)


def test_a_paused_deployment_is_not_rolled_back() -> None:
    """By the runbook's precondition."""
    snapshot = a_wrong_image()
    made = cause(CauseCode.IMAGE_PULL_FAILED, snapshot)
    deployment = snapshot.objects[0]
    paused = deployment.but(body=write(deployment.body, "/spec/paused", Present(value=True)))
    later = snapshot.but(objects=(paused, *snapshot.objects[1:]))
    assert "precondition: !(has(deployment.spec.paused)" in refused("roll-back-deployment", made, later)


def test_an_object_that_is_gone_is_not_written() -> None:
    """The cluster moved on since the diagnosis."""
    made = cause(CauseCode.IMAGE_PULL_FAILED, a_wrong_image())
    assert "Deployment/shop/cart is not in the cluster" in refused("roll-back-deployment", made, a_snapshot())


def test_what_is_mended_already_needs_no_plan() -> None:
    """The action has nothing to do."""
    made = cause(CauseCode.SERVICE_TARGET_PORT_MISMATCH, a_snapshot(a_deployment(), a_service(target_port=9)))
    mended = a_snapshot(a_deployment(), a_service(target_port=8080))
    assert "targets 8080 already" in refused("fix-service-port", made, mended)


@pytest.mark.parametrize("replicas", [2, 3, 13])
def test_a_scaling_goes_up_and_not_through_the_roof(replicas: int) -> None:
    """More than there are, at most four times as many."""
    snapshot = a_snapshot(a_deployment())
    asked = Cause(
        code=CauseCode.CPU_SATURATED,
        object=a_ref(),
        evidence=cause(CauseCode.IMAGE_PULL_FAILED, a_wrong_image()).evidence,
        summary="busy",
        confidence=0.6,
        remedy={"replicas": replicas},
    )
    assert "precondition" in refused("scale-deployment", asked, snapshot)


# --- the graph of steps


def test_steps_see_what_the_steps_before_them_would_write() -> None:
    """A check after an action branches on its result."""
    twice = parse(
        """
name: twice
version: 1
summary: Scale, and restart only if the scaling is seen.
treats: [cpu-saturated]
params: {deployment: cause.object, replicas: cause.remedy.replicas}
steps:
  - {id: scale, action: deployment.scale, with: {deployment: deployment, replicas: replicas}, next: look}
  - {id: look, check: deployment.spec.replicas == replicas, then: restart}
  - {id: restart, action: deployment.restart, with: {deployment: deployment}}
settle_s: 1
shows_within_s: 1
risk: low
""",
        "twice.yaml",
    )
    busy = cause(CauseCode.IMAGE_PULL_FAILED, a_wrong_image()).but(remedy={"replicas": 5})
    made = plan(twice, busy, a_wrong_image())
    assert isinstance(made, Plan)
    written = a_wrong_image().objects[0]
    for change in made.changes:
        assert isinstance(change, Patch)
        written = change.apply(written)
    assert (len(made.changes), written.at("/spec/replicas")) == (2, 5)


def test_a_runbook_whose_checks_lead_nowhere_changes_nothing() -> None:
    """And is not chosen."""
    never = parse(
        """
name: never
version: 1
summary: Only looks.
treats: [cpu-saturated]
params: {deployment: cause.object}
steps: [{id: look, check: "deployment.spec.replicas > 1000"}]
settle_s: 1
shows_within_s: 1
risk: low
""",
        "never.yaml",
    )
    answer = plan(never, cause(CauseCode.IMAGE_PULL_FAILED, a_wrong_image()), a_wrong_image())
    assert isinstance(answer, NotChosen)
    assert "would change nothing" in answer.reason


# --- all plans


def test_plans_come_by_the_causes_rank_then_the_lower_risk_then_the_name() -> None:
    """Best first; what is not chosen is told beside them."""
    snapshot = a_wrong_image()
    base = CATALOG.find("roll-back-deployment")
    assert base is not None
    others = [base.but(name=name, risk=risk) for name, risk in (("a-risky", Risk.HIGH), ("b-safe", Risk.LOW))]
    catalog = Catalog(runbooks=(*CATALOG.runbooks, *others))
    known = cause(CauseCode.IMAGE_PULL_FAILED, snapshot)
    recent = cause(CauseCode.RECENT_ROLLOUT, snapshot)
    made, rejected = plans(catalog, [recent.but(remedy={}), known], snapshot)
    assert [each.runbook.name for each in made] == ["b-safe", "roll-back-deployment", "a-risky"]
    assert [each.runbook for each in rejected] == ["b-safe", "roll-back-deployment", "a-risky"]
    assert all(each.cause is CauseCode.RECENT_ROLLOUT for each in rejected)


def test_the_same_cluster_makes_the_same_plan() -> None:
    """An approval is bound to its hash: it must not change by being made again."""
    made = [chosen("roll-back-deployment", CauseCode.IMAGE_PULL_FAILED, a_wrong_image()).hash for _ in range(2)]
    assert made[0] == made[1]


# --- postconditions


def test_postconditions_hold_or_are_named() -> None:
    """Measured on the cluster as it is now."""
    snapshot = a_wrong_image()
    made = chosen("roll-back-deployment", CauseCode.IMAGE_PULL_FAILED, snapshot)
    (unmet,) = unmet_postconditions(CATALOG, made, snapshot)
    assert "availableReplicas >= deployment.spec.replicas is false" in unmet
    assert unmet_postconditions(CATALOG, made, a_snapshot(a_rollout(ready=3).objects)) == ()


def test_a_runbook_that_changed_since_cannot_be_measured() -> None:
    """Its conditions would be others than those that the plan was made with."""
    snapshot = a_wrong_image()
    made = chosen("roll-back-deployment", CauseCode.IMAGE_PULL_FAILED, snapshot)
    (unmet,) = unmet_postconditions(Catalog(runbooks=()), made, snapshot)
    assert "not the runbook any more" in unmet


def test_an_object_that_is_gone_meets_no_postcondition() -> None:
    """The reason says which."""
    made = chosen("roll-back-deployment", CauseCode.IMAGE_PULL_FAILED, a_wrong_image())
    assert unmet_postconditions(CATALOG, made, a_snapshot()) == ("Deployment/shop/cart is not in the cluster",)


def test_a_service_is_named_by_its_kind_too() -> None:
    """The selector's plan is locked on the Service as well as judged with its workload."""
    snapshot = a_snapshot(a_deployment(), a_service(selector={"app": "typo"}))
    made = chosen("fix-service-selector", CauseCode.SERVICE_SELECTOR_MISMATCH, snapshot)
    assert a_ref("cart", Kind.SERVICE) in made.locked
