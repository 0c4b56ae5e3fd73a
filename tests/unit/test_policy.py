"""Who decides: a table of policy, plan and answer."""

import pytest

from shared.domain.change import Evict
from shared.domain.cluster import Kind
from shared.domain.policy import Mode, Permission, Policy, decide
from shared.domain.runbook import Plan
from shared.testing.builders import a_cause, a_patch, a_plan, a_ref

ACT = Policy(mode=Mode.ACT)
SUGGEST, OBSERVE = Policy(mode=Mode.SUGGEST), Policy(mode=Mode.OBSERVE)
SURE = a_plan()
UNSURE = a_plan(cause=a_cause(confidence=0.49))
DESTRUCTIVE = a_plan(destructive=True)
IN_KUBE_SYSTEM = a_plan(change=a_patch(a_ref(namespace="kube-system")))
IT_LEAVES = Evict(ref=a_ref("dns-1", Kind.POD, "kube-system"), uid="u", controller="ReplicaSet/kube-system/dns")
OUT_OF_KUBE_SYSTEM = SURE.but(changes=(*SURE.changes, IT_LEAVES))
ALLOW, ASK, DENY = Permission.ALLOW, Permission.ASK, Permission.DENY


@pytest.mark.parametrize(
    ("policy", "plan", "expected", "because"),
    [
        (ACT, SURE, ALLOW, "unlocked"),
        (SUGGEST, SURE, ASK, "every act asks"),
        (OBSERVE, SURE, DENY, "observe mode"),
        (Policy(), SURE, DENY, "observe mode"),
        (ACT, DESTRUCTIVE, ASK, "destructive list"),
        (ACT.but(destructive_runbooks=frozenset({"scale-up"})), SURE, ASK, "destructive list"),
        (ACT, UNSURE, ASK, "confidence 0.49"),
        (ACT.but(confidence_threshold=0.4), UNSURE, ALLOW, "unlocked"),
        (ACT.but(act_namespaces=frozenset({"other"})), SURE, ASK, "namespace shop is not unlocked"),
        (ACT.but(act_namespaces=frozenset({"shop"})), SURE, ALLOW, "unlocked"),
        (ACT.but(act_runbooks=frozenset({"other"})), SURE, ASK, "scale-up is not unlocked"),
        (ACT.but(act_runbooks=frozenset({"scale-up"})), SURE, ALLOW, "unlocked"),
        (ACT, IN_KUBE_SYSTEM, DENY, "off limits"),
        (ACT, OUT_OF_KUBE_SYSTEM, ASK, "namespace kube-system is not unlocked"),
        (ACT.but(forbidden_namespaces=frozenset({"shop"})), SURE, DENY, "off limits"),
    ],
)
def test_policy_answers_with_a_reason(policy: Policy, plan: Plan, expected: Permission, because: str) -> None:
    """One row, one answer."""
    answer = decide(policy, plan, approved=False, recent_transactions=0)
    assert answer.permission is expected, answer.reason
    assert because in answer.reason


@pytest.mark.parametrize(
    ("policy", "plan", "expected"),
    [
        (SUGGEST, SURE, ALLOW),
        (ACT, DESTRUCTIVE, ALLOW),
        (ACT, UNSURE, ALLOW),
        (ACT, OUT_OF_KUBE_SYSTEM, ALLOW),
        (ACT.but(act_runbooks=frozenset({"other"})), SURE, ALLOW),
        (OBSERVE, SURE, DENY),
        (ACT, IN_KUBE_SYSTEM, DENY),
    ],
)
def test_an_approval_lifts_every_ask_and_no_deny(policy: Policy, plan: Plan, expected: Permission) -> None:
    """A person can allow what asks; what is off limits stays so."""
    assert decide(policy, plan, approved=True, recent_transactions=0).permission is expected


@pytest.mark.parametrize(("recent", "expected"), [(0, ALLOW), (2, ALLOW), (3, DENY), (4, DENY)])
def test_a_workload_is_touched_at_most_so_often_a_day(recent: int, expected: Permission) -> None:
    """Three by default; then a person looks, approval or not."""
    for approved in (False, True):
        assert decide(ACT, SURE, approved=approved, recent_transactions=recent).permission is expected
