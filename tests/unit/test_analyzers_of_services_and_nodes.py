"""What is wrong with a Service or a Node: each analyzer sees its fault, and does not see it where it nearly is."""

from collections.abc import Iterable, Mapping

import pytest

from shared.analyzers.node_gray_failure import node_gray_failure
from shared.analyzers.registry import ANALYZERS, findings
from shared.analyzers.service_selector_mismatch import service_selector_mismatch
from shared.analyzers.service_target_port_mismatch import service_target_port_mismatch
from shared.domain.cause import CauseCode, Finding
from shared.domain.cluster import Object
from shared.domain.path import Present, write
from shared.domain.snapshot import Snapshot
from shared.testing.builders import (
    a_deployment,
    a_node,
    a_pod,
    a_replica_set,
    a_rollout,
    a_service,
    a_snapshot,
    a_template,
    a_workload,
    an_endpoint_slice,
)


def only(found: Iterable[Finding]) -> Finding:
    """The one finding."""
    (finding,) = found
    return finding


def running(name: str = "cart", labels: Mapping[str, str] | None = None, replicas: int = 2) -> tuple[Object, ...]:
    """A workload with its pods, without a Service."""
    deployment = a_deployment(name, template=a_template(name, labels=labels), replicas=replicas)
    current = a_replica_set(deployment)
    return (deployment, current, *(a_pod(f"{name}-1-{letter}", owner=current) for letter in "abcdef"[:replicas]))


# --- service-selector-mismatch


def test_a_selector_that_matches_nothing_while_a_workload_is_near() -> None:
    """Evidence is the selector and the labels; the remedy is the workload that was meant."""
    snapshot = a_snapshot(running(), a_service(selector={"app": "cart-v2"}), an_endpoint_slice(ready=0))
    found = only(service_selector_mismatch(snapshot))
    assert (found.code, str(found.object)) == (CauseCode.SERVICE_SELECTOR_MISMATCH, "Service/shop/cart")
    assert found.remedy["workload"] == snapshot.deployments[0].ref.model_dump(mode="json")
    assert [each.value for each in found.evidence] == ['{"app": "cart-v2"}', '{"app": "cart"}', "0 ready endpoints"]


def test_the_workload_with_the_most_equal_labels_is_meant() -> None:
    """Of a release that shares a label, the one that shares two."""
    release = "app.kubernetes.io/instance"
    meant = running("cart-main", {"app": "cart", "tier": "web", release: "shop"})
    other = running("orders-main", {"app": "orders", "tier": "db", release: "shop"})
    service = a_service("cart", selector={"app": "cart", "tier": "front", release: "shop"})
    found = only(service_selector_mismatch(a_snapshot(meant, other, service)))
    assert found.remedy["workload"] == meant[0].ref.model_dump(mode="json")


def test_two_workloads_as_near_are_none() -> None:
    """A guess is not a cause."""
    pair = (running("one", {"app": "x", "team": "a"}), running("two", {"app": "y", "team": "a"}))
    service = a_service("front", selector={"app": "z", "team": "a"})
    assert not list(service_selector_mismatch(a_snapshot(*pair, service)))


def test_a_workload_scaled_to_nothing_is_still_selected() -> None:
    """The selector is right: there is nothing to select now."""
    assert not list(service_selector_mismatch(a_snapshot(running(replicas=0), a_service())))


def test_pods_of_another_kind_of_owner_are_selected_too() -> None:
    """A StatefulSet's, or nobody's."""
    alone = a_pod("cart-0", labels={"app": "store"})
    assert not list(service_selector_mismatch(a_snapshot(running(), alone, a_service(selector={"app": "store"}))))


def test_a_service_without_a_selector_selects_nothing_on_purpose() -> None:
    """Its endpoints are somebody else's business."""
    assert not list(service_selector_mismatch(a_snapshot(running(), a_service(selector={}))))


def test_a_workload_that_another_service_serves_was_not_meant() -> None:
    """Unless it carries the very name: one shared label is no proof."""
    shared = running("cart", {"app": "cart", "team": "a"})
    stale = a_service("legacy", selector={"app": "legacy", "team": "a"})
    assert not list(service_selector_mismatch(a_snapshot(shared, a_service("cart"), stale)))


def test_a_namesake_in_another_namespace_is_not_near() -> None:
    """Services select in their own namespace."""
    service = a_service(namespace="other", selector={"app": "cart-v2"})
    assert not list(service_selector_mismatch(a_snapshot(running(), service)))


# --- service-target-port-mismatch


@pytest.mark.parametrize(("target", "meant"), [(9, 8080), ("web", "http")])
def test_a_target_port_that_no_container_serves(target: int | str, meant: int | str) -> None:
    """By number or by name, as the Service does it."""
    found = only(service_target_port_mismatch(a_snapshot(running(), a_service(target_port=target))))
    assert found.code is CauseCode.SERVICE_TARGET_PORT_MISMATCH
    assert (found.remedy["port"], found.remedy["target_port"]) == ("http", meant)
    assert found.evidence[0].pointer == "Service/shop/cart#/spec/ports/http/targetPort"


@pytest.mark.parametrize("target", [8080, "http"])
def test_a_port_that_is_served_is_right(target: int | str) -> None:
    """By number or by name."""
    assert not list(service_target_port_mismatch(a_snapshot(running(), a_service(target_port=target))))


def test_a_workload_that_declares_no_port_says_nothing() -> None:
    """A port need not be declared to be served."""
    template = write(a_template(), "/spec/containers/main/ports", Present(value=[]))
    deployment = a_deployment(template=template)
    assert not list(service_target_port_mismatch(a_snapshot(deployment, a_service(target_port=9))))


def test_of_several_ports_none_is_guessed() -> None:
    """It is found, and a person must say which is meant."""
    ports = [{"name": "grpc", "containerPort": 9000}, {"name": "admin", "containerPort": 9001}]
    template = write(a_template(), "/spec/containers/main/ports", Present(value=ports))
    found = only(service_target_port_mismatch(a_snapshot(a_deployment(template=template), a_service(target_port=9))))
    assert found.remedy == {}


# --- node-gray-failure


def on_nodes(name: str, *nodes: tuple[str, bool]) -> tuple[Object, ...]:
    """A workload with a pod on each of these nodes, ready there or not."""
    deployment = a_deployment(name, replicas=len(nodes), ready=sum(ready for _, ready in nodes))
    current = a_replica_set(deployment)
    pods = (
        a_pod(f"{name}-1-{index}", owner=current, node=node, ready=ready) for index, (node, ready) in enumerate(nodes)
    )
    return (deployment, current, *pods)


def three_nodes(*, bad_says_ready: bool = True) -> tuple[Object, ...]:
    """The Nodes, of which one may admit that it is ill."""
    return (a_node("a", ready=bad_says_ready), a_node("b"), a_node("c"))


def failing_on_a(count: int) -> list[tuple[Object, ...]]:
    """So many workloads whose pod on node `a` fails, and whose pod on `b` is well."""
    return [on_nodes(f"w{index}", ("a", False), ("b", True)) for index in range(count)]


def gray(*workloads: tuple[Object, ...], bad_says_ready: bool = True) -> list[Finding]:
    """What is found on three nodes."""
    return list(node_gray_failure(a_snapshot(three_nodes(bad_says_ready=bad_says_ready), *workloads)))


def test_a_node_that_harms_what_runs_on_it() -> None:
    """Two workloads fail there, are well elsewhere, and the node says Ready."""
    (found,) = gray(*failing_on_a(2))
    assert (found.code, str(found.object)) == (CauseCode.NODE_GRAY_FAILURE, "Node/a")
    assert "2 of 2 pods" in found.summary


def test_one_workload_is_no_proof_against_a_node() -> None:
    """It may be the workload."""
    assert not gray(*failing_on_a(1))


def test_a_node_that_admits_it_is_not_gray() -> None:
    """Kubernetes moves those pods itself."""
    assert not gray(*failing_on_a(3), bad_says_ready=False)


def test_workloads_that_fail_everywhere_do_not_blame_the_node() -> None:
    """Their siblings on other nodes fail too."""
    assert not gray(*(on_nodes(f"w{index}", ("a", False), ("b", False)) for index in range(3)))


def test_a_node_where_others_are_well_is_well() -> None:
    """Nearly all of its pods must fail."""
    assert not gray(*failing_on_a(2), on_nodes("fine", ("a", True), ("b", True)))


def test_one_survivor_of_many_does_not_clear_the_node() -> None:
    """Four of five is nearly all."""
    (found,) = gray(*failing_on_a(4), on_nodes("fine", ("a", True), ("b", True)))
    assert "4 of 5 pods" in found.summary


# --- all of them


def test_a_healthy_cluster_has_no_findings() -> None:
    """A workload with its Service on a Node that is well."""
    assert not findings(a_snapshot(a_workload("cart"), a_workload("orders"), a_node()))


def test_findings_come_surest_first() -> None:
    """One for each code and object."""
    rollout = a_rollout()
    found = findings(a_snapshot(rollout.objects, rollout.pods(2, ready=False, waiting="ErrImagePull")))
    assert [each.code for each in found] == [CauseCode.IMAGE_PULL_FAILED, CauseCode.RECENT_ROLLOUT]


def test_every_analyzer_is_called_by_its_code() -> None:
    """A cause that nobody looks for would be a promise, and an analyzer that is not in the registry a loss."""
    assert {analyzer.__name__.replace("_", "-") for analyzer in ANALYZERS} == set(CauseCode)


def test_a_snapshot_of_nothing_has_no_findings() -> None:
    """And nothing breaks over it."""
    assert findings(Snapshot.model_validate(a_snapshot().model_dump())) == ()
