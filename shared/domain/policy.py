"""Who decides: Primum, a person, or nobody. Every answer has its reason."""

from enum import StrEnum

from shared.domain.frozen import Frozen
from shared.domain.runbook import Plan


class Mode(StrEnum):
    """How far Primum may go."""

    OBSERVE = "observe"
    SUGGEST = "suggest"
    ACT = "act"


class Permission(StrEnum):
    """Policy's word."""

    ALLOW = "allow"
    ASK = "ask"
    DENY = "deny"


class Policy(Frozen):
    """What an installation allows. Empty `act_namespaces` and `act_runbooks` mean all, once the mode is `act`."""

    mode: Mode = Mode.OBSERVE
    act_namespaces: frozenset[str] = frozenset()
    act_runbooks: frozenset[str] = frozenset()
    forbidden_namespaces: frozenset[str] = frozenset({"kube-system"})
    """Where nothing is ever written. What evicts pods there, a person must allow."""
    destructive_runbooks: frozenset[str] = frozenset()
    """Runbooks that always ask, beside those whose contract says so."""
    confidence_threshold: float = 0.5
    max_transactions_per_workload: int = 3
    """Within a day."""


class Answer(Frozen):
    """A permission and why."""

    permission: Permission
    reason: str


def decide(policy: Policy, plan: Plan, *, approved: bool, recent_transactions: int) -> Answer:
    """Say whether a plan may run. An approval lifts every `ask`, never a `deny`."""
    if reason := _denied(policy, plan, recent_transactions):
        return Answer(permission=Permission.DENY, reason=reason)
    if policy.mode is Mode.OBSERVE:
        return Answer(permission=Permission.DENY, reason="observe mode: recorded, not done")
    if approved:
        return Answer(permission=Permission.ALLOW, reason="a person approved this very plan")
    if reason := _must_ask(policy, plan):
        return Answer(permission=Permission.ASK, reason=reason)
    return Answer(permission=Permission.ALLOW, reason=f"{plan.runbook.name} is unlocked, risk {plan.risk}")


def _denied(policy: Policy, plan: Plan, recent_transactions: int) -> str | None:
    if forbidden := sorted({ref.namespace for ref in plan.written} & policy.forbidden_namespaces):
        return f"namespace {forbidden[0]} is off limits"
    if recent_transactions >= policy.max_transactions_per_workload:
        return f"{recent_transactions} transactions touched this workload within a day already"
    return None


def _must_ask(policy: Policy, plan: Plan) -> str | None:
    if plan.destructive or plan.runbook.name in policy.destructive_runbooks:
        return f"{plan.runbook.name} is on the destructive list"
    if policy.mode is Mode.SUGGEST:
        return "suggest mode: every act asks"
    namespaces = {change.ref.namespace for change in plan.changes if change.ref.namespace}
    locked = namespaces - policy.act_namespaces if policy.act_namespaces else namespaces & policy.forbidden_namespaces
    if locked:
        return f"namespace {min(locked)} is not unlocked"
    if policy.act_runbooks and plan.runbook.name not in policy.act_runbooks:
        return f"{plan.runbook.name} is not unlocked"
    if plan.cause.confidence < policy.confidence_threshold:
        return f"confidence {plan.cause.confidence:.2f} is below {policy.confidence_threshold:.2f}"
    return None
