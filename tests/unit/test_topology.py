"""Who depends on whom, and where a failure starts."""

import time

import pytest

from shared.analyzers.topology import Topology
from shared.domain.cluster import Kind, Object, Ref
from shared.domain.health import Traffic
from shared.domain.snapshot import Usage
from shared.testing.builders import (
    a_deployment,
    a_node,
    a_pod,
    a_ref,
    a_replica_set,
    a_service,
    a_snapshot,
    a_template,
    an_endpoint_slice,
)


def calls(name: str, *addresses: str, ready: int = 2, replicas: int = 2, endpoints: int | None = None) -> list[Object]:
    """A workload of two pods with its Service, whose environment holds these addresses."""
    env = {f"DEPENDENCY_{index}": address for index, address in enumerate(addresses)}
    deployment = a_deployment(name, replicas=replicas, ready=ready, template=a_template(name, env=env))
    current = a_replica_set(deployment)
    pods = [a_pod(f"{name}-1-{index}", owner=current, ready=index < ready) for index in range(replicas)]
    slices = an_endpoint_slice(name, ready=ready if endpoints is None else endpoints)
    return [deployment, current, *pods, a_service(name), slices]


def service(name: str) -> Ref:
    """Name a Service."""
    return a_ref(name, Kind.SERVICE)


def erring(topology_of: Topology, **errors: float) -> Topology:
    """The same cluster, where so many of a hundred recent requests failed."""
    recent = {f"shop/{name}": Traffic(requests=100, errors=count) for name, count in errors.items()}
    return Topology.of(topology_of.snapshot.but(recent=recent))


@pytest.mark.parametrize(
    "address",
    [
        "http://back",
        "http://back:80/path?x=1",
        "http://back.shop",
        "http://back.shop.svc",
        "http://back.shop.svc.cluster.local:80",
        "back:80",
        "back.shop.svc.cluster.local:80",
        "postgres://user:pa55@back:5432/db",
        "other:1,back:9092",
    ],
)
def test_an_address_in_the_environment_is_a_call(address: str) -> None:
    """Whatever the scheme, and with or without the namespace."""
    topology = Topology.of(a_snapshot(calls("front", address), calls("back")))
    assert topology.way(a_ref("front"), a_ref("back")) == (a_ref("front"), service("back"), a_ref("back"))


@pytest.mark.parametrize("word", ["back", "back-end:80", "http://back.other", "", "http://[", "a back:80x", "80:back"])
def test_a_word_is_no_address(word: str) -> None:
    """Names occur in many values; a call needs a host that is a Service."""
    topology = Topology.of(a_snapshot(calls("front", word), calls("back")))
    assert topology.needs(a_ref("front")) == frozenset()


def test_dependents_are_all_that_would_suffer() -> None:
    """Near and far, and nobody else."""
    topology = Topology.of(a_snapshot(calls("edge", "mid:80"), calls("mid", "deep:80"), calls("deep"), calls("alone")))
    assert topology.dependents(a_ref("deep")) == {
        service("deep"),
        a_ref("mid"),
        service("mid"),
        a_ref("edge"),
        service("edge"),
    }
    assert topology.callers(service("deep")) == (a_ref("mid"),)


# --- the root


def test_the_root_of_what_is_well_is_itself() -> None:
    """Nothing downstream is unhealthy; a Service stands for its workload."""
    topology = Topology.of(a_snapshot(calls("edge", "deep:80"), calls("deep")))
    assert topology.root_of(a_ref("edge")).ref == a_ref("edge")
    assert topology.root_of(service("edge")).ref == a_ref("edge")


def test_the_root_is_the_deepest_unhealthy_thing_downstream() -> None:
    """And the sentence says which way."""
    topology = Topology.of(
        a_snapshot(calls("edge", "mid:80", ready=1), calls("mid", "deep:80", ready=0), calls("deep", ready=0))
    )
    root = topology.root_of(a_ref("edge"))
    assert root.ref == a_ref("deep")
    assert "Deployment/shop/mid -> Service/shop/deep -> Deployment/shop/deep" in root.because
    assert "0 of 2 replicas are available" in root.because


def test_errors_come_through_workloads_that_look_well() -> None:
    """Without metrics too: what is visibly broken further downstream explains what is visibly well above it."""
    topology = Topology.of(a_snapshot(calls("edge", "mid:80"), calls("mid", "deep:80"), calls("deep", ready=0)))
    assert topology.root_of(a_ref("edge")).ref == a_ref("deep")


def test_failing_requests_lead_to_the_workload_that_nothing_below_explains() -> None:
    """All pods are ready; whoever errs and calls nobody that errs is the root, by the graph and not by the distance."""
    quiet = Topology.of(
        a_snapshot(
            calls("edge", "left:80", "long:80"),
            calls("left", "deep:80"),
            calls("long", "and-on:80"),
            calls("and-on", "deep:80"),
            calls("deep"),
        )
    )
    names = ("edge", "left", "long", "and-on", "deep")
    topology = erring(quiet, **dict.fromkeys(names, 20.0))
    assert {topology.root_of(a_ref(name)).ref for name in names} == {a_ref("deep")}


def starving(name: str, **errors: float) -> Topology:
    """A front that calls two others, in one of which nearly every period of CPU is waited for."""
    fine = a_snapshot(calls("front", "left:80", "right:80"), calls("left", "deep:80"), calls("right"), calls("deep"))
    limited = {"spec": {"containers": [{"name": "main", "resources": {"limits": {"cpu": "10m"}}}]}}
    pods = [seen.but(body={**seen.body, **limited}) for seen in fine.objects if seen.ref.kind is Kind.POD]
    others = [seen for seen in fine.objects if seen.ref.kind is not Kind.POD]
    waits = Usage(cpu_cores=0.004, memory_bytes=1, throttled=0.9)
    counted = Traffic(requests=100, errors=30)
    return Topology.of(
        fine.but(
            objects=(*others, *pods),
            usage={f"shop/{name}-1-{index}": waits for index in range(2)},
            recent={f"shop/{each}": counted.but(errors=count) for each, count in errors.items()},
            doubtful={"shop/deep": counted} if name == "left" else {},
        )
    )


def test_who_has_no_cpu_left_is_no_witness_against_those_it_calls() -> None:
    """To it whatever it calls seems not to answer: the root is where it is seen by others to fail."""
    topology = starving("left", front=30, left=30, deep=30)
    roots = {name: topology.root_of(a_ref(name)) for name in ("front", "left", "deep")}
    assert {root.ref for root in roots.values()} == {a_ref("left")}
    assert roots["deep"].because == f"only {a_ref('left')} may see it unhealthy, which has no CPU left to see it well"


def test_what_others_see_fail_too_is_unhealthy_all_the_same() -> None:
    """A starved witness takes nothing away from what is known otherwise; and one that is well is no root."""
    seen_by_others = starving("right", front=30, left=30, deep=30)
    assert seen_by_others.root_of(a_ref("left")).ref == a_ref("deep")
    assert starving("left").root_of(a_ref("deep")).ref == a_ref("deep")


def test_a_few_failing_requests_of_few_say_nothing() -> None:
    """Ratios need numbers."""
    quiet = Topology.of(a_snapshot(calls("edge", "deep:80"), calls("deep")))
    busy = quiet.snapshot.but(recent={"shop/deep": Traffic(requests=10, errors=5)})
    assert Topology.of(busy).root_of(a_ref("edge")).ref == a_ref("edge")


def test_what_shows_in_the_objects_goes_before_what_only_errs() -> None:
    """A workload without pods is the root, though its dependency errs a little as well."""
    topology = erring(Topology.of(a_snapshot(calls("edge", "deep:80", ready=0), calls("deep"))), edge=50, deep=5)
    assert topology.root_of(a_ref("edge")).ref == a_ref("edge")


def test_a_service_that_selects_nothing_is_itself_the_root() -> None:
    """For its callers, and for the workload behind it, which is well."""
    back = calls("back", endpoints=0)
    back[-2] = a_service("back", selector={"app": "typo"})
    topology = Topology.of(a_snapshot(calls("edge", "back:80"), back))
    assert topology.root_of(a_ref("edge")).ref == service("back")
    root = topology.root_of(a_ref("back"))
    assert root.ref == service("back")
    assert "Deployment/shop/back is well, but Service/shop/back in front of it is not" in root.because


def test_a_service_without_endpoints_shows_its_workloads_fault() -> None:
    """Scaled to nothing: the workload is the root, whichever of them the alert names."""
    topology = Topology.of(a_snapshot(calls("edge", "back:80"), calls("back", replicas=0, ready=0)))
    for start in (a_ref("edge"), a_ref("back"), service("back")):
        assert topology.root_of(start).ref == a_ref("back")


def test_a_gray_node_is_the_root_of_all_that_fails_on_it() -> None:
    """So that one node is one incident, whatever fails on it and whoever calls that."""
    objects: list[Object] = [a_node("bad"), a_node("good")]
    for name, address in (("edge", "deep:80"), ("deep", "x:1"), ("side", "x:1")):
        deployment = a_deployment(name, replicas=2, ready=1, template=a_template(name, env={"A": address}))
        current = a_replica_set(deployment)
        pods = [a_pod(f"{name}-{node}", owner=current, node=node, ready=node == "good") for node in ("bad", "good")]
        objects += [deployment, current, *pods, a_service(name), an_endpoint_slice(name, ready=1)]
    topology = Topology.of(a_snapshot(objects))
    assert {topology.root_of(a_ref(name)).ref for name in ("edge", "deep", "side")} == {a_ref("bad", Kind.NODE)}


def test_workloads_that_call_each_other_have_a_root() -> None:
    """A circle has no deepest point; one of it is named, always the same."""
    topology = Topology.of(a_snapshot(calls("one", "two:80", ready=0), calls("two", "one:80", ready=0)))
    assert topology.root_of(a_ref("one")) == topology.root_of(a_ref("one"))
    assert topology.root_of(a_ref("one")).ref in {a_ref("one"), a_ref("two")}


def test_what_is_not_in_the_cluster_is_its_own_root() -> None:
    """The sentence says so."""
    root = Topology.of(a_snapshot()).root_of(a_ref("ghost"))
    assert (root.ref, "not in the topology" in root.because) == (a_ref("ghost"), True)


# --- what an alert is about


@pytest.mark.parametrize(
    ("labels", "about"),
    [
        ({"namespace": "shop", "deployment": "cart"}, "Deployment/shop/cart"),
        ({"namespace": "shop", "service": "cart"}, "Service/shop/cart"),
        ({"namespace": "shop", "pod": "cart-1-0"}, "Deployment/shop/cart"),
        ({"node": "node-1"}, "Node/node-1"),
        ({"namespace": "shop", "pod": "cart-1-0", "node": "node-1"}, "Deployment/shop/cart"),
        ({"namespace": "shop", "deployment": "cart", "service": "kube-state-metrics"}, "Deployment/shop/cart"),
        ({"deployment": "cart"}, "Deployment/shop/cart"),
        ({"namespace": "other", "deployment": "cart"}, None),
        ({"namespace": "shop", "deployment": "ghost"}, None),
        ({"namespace": "shop", "service": "kube-state-metrics"}, None),
        ({"namespace": "shop"}, None),
        ({}, None),
    ],
)
def test_an_alerts_labels_name_an_object(labels: dict[str, str], about: str | None) -> None:
    """The most telling label first; only what is there, and only if no other has the name."""
    found = Topology.of(a_snapshot(calls("cart"), a_node())).workload_of(labels)
    assert (str(found) if found else None) == about


def test_a_name_without_a_namespace_must_be_the_only_one() -> None:
    """Two of them are none."""
    both = a_snapshot(a_deployment("cart"), a_deployment("cart", namespace="other"))
    assert Topology.of(both).workload_of({"deployment": "cart"}) is None


# --- a big cluster


def test_five_thousand_pods_take_seconds_not_minutes() -> None:
    """The graph and every root of it take about 2 s of a slow core; quadratic it was ten and more."""
    objects: list[Object] = []
    for index in range(500):
        ready = 0 if index % 50 == 49 else 10
        objects += calls(f"w{index}", f"w{index + 1}:80", replicas=10, ready=ready)
    snapshot = a_snapshot(objects)
    began = time.process_time()
    topology = Topology.of(snapshot)
    roots = {topology.root_of(deployment.ref).ref for deployment in snapshot.deployments}
    assert len(roots) == 10
    assert time.process_time() - began < 6  # a busy machine is given room


def test_an_alert_about_a_pod_that_is_gone_is_about_its_workload() -> None:
    """A crash loop's alert outlives its pod; the pod's name begins with its ReplicaSet's."""
    topology = Topology.of(a_snapshot(calls("front")))
    labels = {"namespace": "shop", "pod": "front-1-gone"}
    assert topology.workload_of(labels) == a_ref("front")


def test_a_pod_of_nobody_known_is_about_nothing() -> None:
    """A name that begins with no ReplicaSet's says nothing."""
    topology = Topology.of(a_snapshot(calls("front")))
    assert topology.workload_of({"namespace": "shop", "pod": "other-1-gone"}) is None
