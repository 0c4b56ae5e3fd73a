"""What NetworkPolicies say, for a network without a plugin that would enforce them: who may speak with whose pods.

An honest subset of networking.k8s.io/v1: pods by their labels, addresses by CIDR, ports by number. What it does not
understand it refuses, as half a policy is another one.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Final, NamedTuple

from eval.lab.kinds import Obj

Addresses = frozenset[str]
"""Of pods, or networks in CIDR notation."""
_ENDED: Final = ("Succeeded", "Failed")


class NotUnderstoodError(Exception):
    """A policy says what is not translated here."""


class Direction(StrEnum):
    """As `policyTypes` has it."""

    INGRESS = "Ingress"
    EGRESS = "Egress"


class Allowed(NamedTuple):
    """Who may speak with the pods, on which ports; None is everybody, or every port."""

    peers: Addresses | None
    ports: Sequence[tuple[str, int]] | None
    """As (`tcp`, 8080)."""


class Isolation(NamedTuple):
    """Pods that a policy selects, and what it lets them take (Ingress) or begin (Egress); nothing else."""

    direction: Direction
    pods: Addresses
    allowed: Sequence[Allowed]


def isolations(policies: Sequence[Obj], pods: Sequence[Obj]) -> list[Isolation]:
    """Translate the policies of one namespace, whose pods these are. Raises NotUnderstoodError."""
    return [each for policy in policies for each in _of(policy, pods)]


def _of(policy: Obj, pods: Sequence[Obj]) -> list[Isolation]:
    spec: Obj = policy["spec"]
    selected = _selected(spec.get("podSelector") or {}, pods)
    return [
        Isolation(direction, selected, [_allowed(rule, rules, peers, pods) for rule in spec.get(rules) or ()])
        for direction, rules, peers in (
            (Direction.INGRESS, "ingress", "from"),
            (Direction.EGRESS, "egress", "to"),
        )
        if direction in _types(spec)
    ]


def _types(spec: Obj) -> Sequence[str]:
    """The API server fills them in: Ingress always, Egress if there are rules for it."""
    return spec.get("policyTypes") or ["Ingress", *(["Egress"] if spec.get("egress") else [])]


def _allowed(rule: Obj, kind: str, peers: str, pods: Sequence[Obj]) -> Allowed:
    _only(rule, f"a rule of {kind}", peers, "ports")
    among = [_peer(peer, pods) for peer in rule.get(peers) or ()]
    ports = [_port(port) for port in rule.get("ports") or ()]
    return Allowed(frozenset().union(*among) if among else None, ports or None)


def _peer(peer: Obj, pods: Sequence[Obj]) -> Addresses:
    _only(peer, "a peer", "podSelector", "ipBlock")
    if "ipBlock" in peer:
        _only(peer["ipBlock"], "an ipBlock", "cidr")
        return frozenset({peer["ipBlock"]["cidr"]})
    return _selected(peer["podSelector"], pods)


def _port(port: Obj) -> tuple[str, int]:
    _only(port, "a port", "port", "protocol")
    protocol, number = port.get("protocol", "TCP"), port.get("port")
    if protocol not in ("TCP", "UDP") or not isinstance(number, int):
        raise NotUnderstoodError(f"a port {number!r} of {protocol} is not translated: TCP and UDP are, by number")
    return protocol.lower(), number


def _selected(selector: Obj, pods: Sequence[Obj]) -> Addresses:
    _only(selector, "a selector", "matchLabels")
    wanted: Mapping[str, Any] = selector.get("matchLabels") or {}
    return frozenset(
        pod["status"]["podIP"]
        for pod in pods
        if pod["status"].get("podIP")
        and pod["status"].get("phase") not in _ENDED
        and wanted.items() <= (pod["metadata"].get("labels") or {}).items()
    )


def _only(found: Obj, what: str, *known: str) -> None:
    if more := sorted(found.keys() - {*known}):
        raise NotUnderstoodError(f"{', '.join(more)} of {what} is not translated")


def as_rules(found: Sequence[Isolation]) -> list[str]:
    """Say it to nftables, for a chain that packets between pods pass: what is not let through is dropped.

    What belongs to a connection that was let through passes, and so do answers. What comes from a node itself never
    comes here: Kubernetes lets nodes speak with their own pods, whatever policies say.
    """
    if not found:
        return []
    jumps = [
        f"ip {_own(each.direction)} {_set(each.pods)} jump {each.direction.lower()}" for each in found if each.pods
    ]
    return ["ct state established,related accept", *dict.fromkeys(jumps)]


def as_chain(found: Sequence[Isolation], direction: Direction) -> list[str]:
    """What the pods of that direction are allowed, each as a rule that returns; the last one drops."""
    mine = [each for each in found if each.direction is direction]
    return [line for each in mine if each.pods for allowed in each.allowed for line in _returns(each, allowed)] + [
        "drop"
    ]


def _returns(isolation: Isolation, allowed: Allowed) -> list[str]:
    if allowed.peers is not None and not allowed.peers:
        return []  # nobody is of that kind now
    own = f"ip {_own(isolation.direction)} {_set(isolation.pods)}"
    other = "" if allowed.peers is None else f"ip {_other(isolation.direction)} {_set(allowed.peers)}"
    ports = [""] if allowed.ports is None else [f"{protocol} dport {number}" for protocol, number in allowed.ports]
    return [" ".join(part for part in (own, other, port, "return") if part) for port in ports]


def _own(direction: Direction) -> str:
    return "daddr" if direction is Direction.INGRESS else "saddr"


def _other(direction: Direction) -> str:
    return "saddr" if direction is Direction.INGRESS else "daddr"


def _set(addresses: Addresses) -> str:
    return "{ " + ", ".join(sorted(addresses)) + " }"
