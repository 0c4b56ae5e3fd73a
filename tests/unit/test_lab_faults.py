"""Every fault that scenarios inject shows in the lab's state, metrics and alerts, and its repair clears them."""

from collections.abc import Callable

import pytest

from eval.lab.deployments import is_complete
from eval.lab.kinds import Obj
from eval.lab.query import Value
from eval.lab.rehearsal import Rehearsal


@pytest.fixture
def lab() -> Rehearsal:
    """A shop that stands, with nothing wrong."""
    world = Rehearsal(seed=7)
    world.until(world.settled)
    return world


def waiting(lab: Rehearsal, name: str) -> set[str]:
    """The reasons that this Deployment's containers wait for."""
    states = [pod["status"]["containerStatuses"][0]["state"] for pod in lab.pods(name) if "podIP" in pod["status"]]
    return {state["waiting"]["reason"] for state in states if "waiting" in state}


def reasons(lab: Rehearsal, about: str) -> set[str]:
    """The reasons of the events about objects whose name begins so."""
    events = lab.store.list("Event")
    return {event["reason"] for event in events if event["involvedObject"]["name"].startswith(about)}


def logs(lab: Rehearsal, name: str) -> str:
    """The log lines of all its pods."""
    return "".join(lab.kubelet.read_log(pod, {}) for pod in lab.pods(name))


def total(value: Value) -> float:
    """The sum of a vector."""
    return sum(value.values()) if isinstance(value, dict) else value


def cleared(lab: Rehearsal) -> Callable[[], bool]:
    """A predicate: nothing fires, and every resolved notice has left."""
    return lambda: lab.quiet() and not lab.firing()


def resources(memory: str) -> Obj:
    """Resources with this memory limit."""
    return {"requests": {"cpu": "200m", "memory": "32Mi"}, "limits": {"cpu": "500m", "memory": memory}}


def test_an_idle_shop_fires_nothing(lab: Rehearsal) -> None:
    """Ten minutes of ordinary traffic make no alert, not even a pending one that fires."""
    lab.run(600)
    assert not lab.firing()
    assert not lab.notifications


def test_an_image_that_does_not_exist(lab: Rehearsal) -> None:
    """Its pods back off pulling, the rollout sticks, the mismatch fires; the old image again clears it."""
    name = lab.shop.checkout
    lab.edit_container(name, image=lab.shop.missing_image("checkout"))
    lab.until(lab.fires("DeploymentReplicasMismatch", name), within_s=60)
    assert waiting(lab, name) <= {"ErrImagePull", "ImagePullBackOff", "ContainerCreating"}
    assert {"Failed", "BackOff"} <= reasons(lab, name)
    lab.edit_container(name, image=lab.shop.image("checkout"))
    lab.until(cleared(lab))


def test_a_memory_limit_below_the_need(lab: Rehearsal) -> None:
    """Containers are OOM killed with 137 and crash loop; the old limit ends it."""
    name, before = lab.shop.payment, lab.deployment(lab.shop.payment)
    lab.edit_container(name, resources=resources("64Mi"))
    lab.until(lab.fires("PodCrashLooping", name), within_s=90)
    last = [pod["status"]["containerStatuses"][0]["lastState"] for pod in lab.pods(name)]
    killed = [state["terminated"] for state in last if state]
    assert {(state["reason"], state["exitCode"]) for state in killed} == {("OOMKilled", 137)}
    lab.edit_container(name, resources=before["spec"]["template"]["spec"]["containers"][0]["resources"])
    lab.until(cleared(lab))


def test_a_selector_that_matches_nothing(lab: Rehearsal) -> None:
    """The Service has no endpoints though all pods are ready; callers fail too, and say whom they called."""
    name, where = lab.shop.orders, ("Service", lab.shop.namespace, lab.shop.orders)
    lab.store.patch(*where, {"spec": {"selector": {"app": "nobody"}}})
    lab.until(lab.fires("ServiceNoEndpoints", name), within_s=60)
    lab.until(lab.fires("RequestErrorRatioHigh", lab.shop.edge), within_s=60)
    assert is_complete(lab.deployment(name))
    assert "ERROR upstream" in logs(lab, lab.shop.checkout)
    lab.store.patch(*where, {"spec": {"selector": {"app": name}}})
    lab.until(cleared(lab))


def test_a_wrong_target_port_of_a_leaf_is_a_storm(lab: Rehearsal) -> None:
    """Endpoints stay ready, nothing listens there, and hundreds of alert instances come from the one cause."""
    name, where = lab.shop.store, ("Service", lab.shop.namespace, lab.shop.store)
    lab.store.patch(*where, [{"op": "replace", "path": "/spec/ports/0/targetPort", "value": 9090}])
    lab.until(lambda: lab.firing().total() >= 200, within_s=90)
    assert not lab.fires("ServiceNoEndpoints", name)()
    lab.store.patch(*where, [{"op": "replace", "path": "/spec/ports/0/targetPort", "value": 8080}])
    lab.until(cleared(lab))


def test_too_few_replicas(lab: Rehearsal) -> None:
    """One pod cannot carry the load: errors and latency, though the Deployment is complete; scaling back helps."""
    name = lab.shop.catalog
    lab.scale(name, 1)
    lab.until(lab.fires("RequestErrorRatioHigh", name), within_s=90)
    lab.until(lambda: is_complete(lab.deployment(name)))
    lab.scale(name, lab.shop.replicas["catalog"])
    lab.until(cleared(lab))


def test_a_surge_is_helped_by_replicas_and_not_by_a_rollback(lab: Rehearsal) -> None:
    """A harmless rollout beside a surge: taking it back changes nothing, more pods do."""
    name = lab.shop.shipping
    env = lab.deployment(name)["spec"]["template"]["spec"]["containers"][0]["env"]
    lab.edit_container(name, env=[*env, {"name": "FEATURE", "value": "on"}])
    lab.traffic.surge(name, 2.5)
    lab.until(lab.fires("RequestErrorRatioHigh", name), within_s=90)
    lab.edit_container(name, env=env)
    lab.run(120)
    assert lab.fires("RequestErrorRatioHigh", name)()
    lab.scale(name, lab.shop.replicas["shipping"] * 2)
    lab.until(cleared(lab))


def test_a_broken_node_is_a_gray_failure(lab: Rehearsal) -> None:
    """Its pods are unready while the Node says Ready; a restart there does not help, leaving it does."""
    name = lab.shop.catalog
    node = lab.pods(name)[0]["spec"]["nodeName"]
    lab.break_node(node)
    lab.until(lab.fires("DeploymentReplicasMismatch", name), within_s=90)
    conditions = {item["type"]: item["status"] for item in lab.store.get("Node", "", node)["status"]["conditions"]}
    assert conditions["Ready"] == "True"
    assert "Unhealthy" in reasons(lab, name)
    lab.store.patch("Node", "", node, {"spec": {"unschedulable": True}})
    for pod in lab.store.list("Pod"):
        if pod["spec"].get("nodeName") == node:
            lab.store.delete("Pod", pod["metadata"]["namespace"], pod["metadata"]["name"])
    lab.until(cleared(lab))
    assert {pod["spec"]["nodeName"] for pod in lab.pods(name)}.isdisjoint({node})


def test_killed_pods_come_back_by_themselves(lab: Rehearsal) -> None:
    """A transient: the ReplicaSet replaces them, and the alerts, if any came, resolve without a hand."""
    for pod in lab.pods(lab.shop.cart):
        lab.store.delete("Pod", lab.shop.namespace, pod["metadata"]["name"])
    lab.run(5)
    lab.until(cleared(lab))


def test_an_address_that_leads_nowhere(lab: Rehearsal) -> None:
    """A caller with a wrong dependency address fails its requests and logs the name that it could not resolve."""
    name = lab.shop.orders
    env = lab.deployment(name)["spec"]["template"]["spec"]["containers"][0]["env"]
    broken = [item if item["name"] == "LOG_LEVEL" else {**item, "value": "http://nobody.nowhere:8080"} for item in env]
    lab.edit_container(name, env=broken)
    lab.until(lab.fires("RequestErrorRatioHigh", name), within_s=90)
    assert "no such host" in logs(lab, name)
    lab.edit_container(name, env=env)
    lab.until(cleared(lab))


def test_what_does_not_fit_is_not_scheduled(lab: Rehearsal) -> None:
    """A request larger than any node leaves the pod pending, with the scheduler's reason."""
    name = lab.shop.cart
    lab.edit_container(name, resources={"requests": {"cpu": "64"}, "limits": {"cpu": "64"}})
    lab.until(lambda: "FailedScheduling" in reasons(lab, name), within_s=30)
    messages = {event["message"] for event in lab.store.list("Event") if event["reason"] == "FailedScheduling"}
    assert {message.partition(". ")[0] for message in messages} == {"0/3 nodes are available: 3 Insufficient cpu"}


def test_request_counters_are_whole_and_follow_the_traffic(lab: Rehearsal) -> None:
    """What the mesh counted over half a minute is what was sent, within its noise."""
    query = f'sum by (service) (increase(http_requests_total{{service="{lab.shop.edge}"}}[30s]))'
    lab.run(60)
    assert total(lab.queries.instant(query, lab.wall().timestamp())) / 30 == pytest.approx(400, rel=0.1)
    samples = [value for name, _, value in lab.exporter.samples(lab.now_s) if name == "http_requests_total"]
    assert all(value == int(value) for value in samples)


def test_the_same_seed_is_the_same_run() -> None:
    """Two worlds from one seed agree in every object and counter after a fault."""
    worlds = [Rehearsal(seed=5), Rehearsal(seed=5)]
    for world in worlds:
        world.until(world.settled)
        world.edit_container(world.shop.cart, image=world.shop.missing_image("cart"))
        world.run(60)
    one, other = ([list(world.store.list("Pod")), list(world.exporter.samples(world.now_s))] for world in worlds)
    assert one == other
