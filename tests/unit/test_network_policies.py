"""NetworkPolicies as they are enforced where no network plugin does it: an honest subset, and no guessing."""

from typing import Any, Final

import pytest

from eval.kubernetes.network_policies import (
    Allowed,
    Direction,
    Isolation,
    NotUnderstoodError,
    as_chain,
    as_rules,
    isolations,
)


def a_pod(name: str, address: str, phase: str = "Running", **labels: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": labels}, "status": {"podIP": address, "phase": phase}}


PODS: Final = [
    a_pod("shop-1", "10.0.0.1", app="shop"),
    a_pod("shop-2", "10.0.1.1", app="shop"),
    a_pod("edge-1", "10.0.0.2", app="edge"),
    a_pod("gone", "10.0.0.3", "Succeeded", app="edge"),
]
SHOP: Final = frozenset({"10.0.0.1", "10.0.1.1"})
EDGE: Final = frozenset({"10.0.0.2"})


def of_shop(**spec: object) -> dict[str, Any]:
    return {"spec": {"podSelector": {"matchLabels": {"app": "shop"}}, **spec}}


def from_app(name: str) -> dict[str, Any]:
    return {"podSelector": {"matchLabels": {"app": name}}}


def test_who_is_let_in_is_named_by_labels_and_ports() -> None:
    """Of the pods that live: addresses of those that ended may be another's."""
    policy = of_shop(ingress=[{"from": [from_app("edge")], "ports": [{"port": 8080}]}])
    allowed = Allowed(EDGE, [("tcp", 8080)])
    assert isolations([policy], PODS) == [Isolation(Direction.INGRESS, SHOP, [allowed])]


def test_a_policy_without_rules_lets_nobody_in() -> None:
    """While a rule without peers lets in everybody."""
    closed, opened = of_shop(), of_shop(ingress=[{}])
    assert isolations([closed], PODS) == [Isolation(Direction.INGRESS, SHOP, [])]
    assert isolations([opened], PODS) == [Isolation(Direction.INGRESS, SHOP, [Allowed(None, None)])]


def test_what_goes_out_is_held_only_by_a_policy_that_speaks_of_it() -> None:
    """By its types, or by its rules where it has no types."""
    rules = [{"to": [{"ipBlock": {"cidr": "10.9.0.0/16"}}], "ports": [{"port": 53, "protocol": "UDP"}]}]
    both, out = of_shop(egress=rules), of_shop(policyTypes=["Egress"], egress=rules)
    held = Isolation(Direction.EGRESS, SHOP, [Allowed(frozenset({"10.9.0.0/16"}), [("udp", 53)])])
    assert isolations([both], PODS) == [Isolation(Direction.INGRESS, SHOP, []), held]
    assert isolations([out], PODS) == [held]


@pytest.mark.parametrize(
    "spec",
    [
        {"ingress": [{"from": [{"namespaceSelector": {}}]}]},
        {"ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}]}]},
        {"ingress": [{"ports": [{"port": "http"}]}]},
        {"ingress": [{"ports": [{"port": 1, "endPort": 9}]}]},
        {"ingress": [{"ports": [{"port": 1, "protocol": "SCTP"}]}]},
        {"ingress": [{"from": [{"podSelector": {"matchExpressions": []}}]}]},
        {"podSelector": {"matchExpressions": []}},
    ],
    ids=str,
)
def test_what_is_not_understood_is_refused(spec: dict[str, Any]) -> None:
    """Half a policy would be another one."""
    with pytest.raises(NotUnderstoodError):
        isolations([of_shop(**spec)], PODS)


def test_a_pod_may_take_what_any_of_its_policies_lets_in() -> None:
    """Each rule returns what it lets through, and only what none let through is dropped."""
    strict = Isolation(Direction.INGRESS, SHOP, [Allowed(frozenset(), None)])
    wide = Isolation(Direction.INGRESS, SHOP, [Allowed(EDGE, [("tcp", 8080)])])
    assert as_chain([strict, wide], Direction.INGRESS) == [
        "ip daddr { 10.0.0.1, 10.0.1.1 } ip saddr { 10.0.0.2 } tcp dport 8080 return",
        "drop",
    ]
    assert as_rules([strict, wide]) == [
        "ct state established,related accept",
        "ip daddr { 10.0.0.1, 10.0.1.1 } jump ingress",
    ]


def test_no_policy_is_no_rule() -> None:
    """And one that selects nobody stops nobody."""
    assert as_rules([]) == []
    assert as_rules(isolations([of_shop()], [])) == ["ct state established,related accept"]
