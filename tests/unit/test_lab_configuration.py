"""What pods cannot be made, placed, started or get ready without: the lab says it in the real components' words."""

import re
from typing import Any

import pytest

from eval.lab.kinds import Obj
from eval.lab.rehearsal import Rehearsal


@pytest.fixture(scope="module")
def stood() -> Rehearsal:
    """A shop that stands; the tests of this module spoil a workload each."""
    world = Rehearsal(seed=7)
    world.until(world.settled)
    return world


def edit(lab: Rehearsal, name: str, **spec: Any) -> None:
    """Change fields of a Deployment's pod spec."""
    patch = {"spec": {"template": {"spec": spec}}}
    lab.store.patch_strategic("Deployment", lab.shop.namespace, name, patch)


def messages(lab: Rehearsal, about: str, reason: str) -> set[str]:
    """What the events of a reason say about objects whose name begins so."""
    return {
        event["message"]
        for event in lab.store.list("Event")
        if event["reason"] == reason and event["involvedObject"]["name"].startswith(about)
    }


def waits(lab: Rehearsal, name: str) -> list[Obj]:
    """What the containers of a Deployment wait for."""
    statuses = [status for pod in lab.pods(name) for status in pod["status"].get("containerStatuses") or []]
    return [status["state"]["waiting"] for status in statuses if "waiting" in status["state"]]


def test_a_config_map_that_is_not_there_holds_a_container_back_until_it_is(stood: Rehearsal) -> None:
    """CreateContainerConfigError, with the kubelet's words; then the values are in the environment."""
    lab, name = stood, stood.shop.cart
    source = {"configMapKeyRef": {"name": "settings", "key": "LATENCY_MS"}}
    edit(lab, name, containers=[{"name": "app", "env": [{"name": "LATENCY_MS", "valueFrom": source}]}])
    lab.run(15)
    expected = {"reason": "CreateContainerConfigError", "message": 'configmap "settings" not found'}
    assert waits(lab, name)
    assert all(waiting == expected for waiting in waits(lab, name))
    assert messages(lab, name, "Failed") == {'Error: configmap "settings" not found'}
    place = {"name": "settings", "namespace": lab.shop.namespace}
    lab.store.create("ConfigMap", {"metadata": place, "data": {"LATENCY": "1"}})
    lab.run(15)
    said = f"couldn't find key LATENCY_MS in ConfigMap {lab.shop.namespace}/settings"
    assert {waiting["message"] for waiting in waits(lab, name)} == {said}
    lab.store.patch("ConfigMap", lab.shop.namespace, "settings", {"data": {"LATENCY_MS": "40"}})
    lab.until(lab.complete, within_s=60)
    mine = [run for run in lab.kubelet.runs.values() if run.pod["metadata"]["name"].startswith(name)]
    assert {run.containers[0].env["LATENCY_MS"] for run in mine} == {"40"}


def test_a_volume_of_a_config_map_that_is_not_there_is_not_mounted(stood: Rehearsal) -> None:
    """The container stays ContainerCreating, and only the event says why; nobody misses one that is not mounted."""
    lab, name = stood, stood.shop.catalog
    mount = {"name": "config", "mountPath": "/etc/app"}
    volumes = [{"name": each, "configMap": {"name": each}} for each in ("config", "unused")]
    edit(lab, name, containers=[{"name": "app", "volumeMounts": [mount]}], volumes=volumes)
    lab.run(10)
    assert {waiting["reason"] for waiting in waits(lab, name)} == {"ContainerCreating"}
    said = 'MountVolume.SetUp failed for volume "config" : configmap "config" not found'
    assert messages(lab, name, "FailedMount") == {said}
    lab.store.create("ConfigMap", {"metadata": {"name": "config", "namespace": lab.shop.namespace}, "data": {}})
    lab.until(lab.complete, within_s=60)


def test_a_secret_is_read_decoded(stood: Rehearsal) -> None:
    """`stringData` is stored as base64, and a container has it plain."""
    lab, name = stood, stood.shop.edge
    place = {"name": "store", "namespace": lab.shop.namespace}
    stored = lab.store.create("Secret", {"metadata": place, "stringData": {"GREETING": "hello"}})
    assert stored["data"] == {"GREETING": "aGVsbG8="}
    edit(lab, name, containers=[{"name": "app", "envFrom": [{"secretRef": {"name": "store"}}]}])
    lab.until(lab.complete, within_s=60)
    mine = [run for run in lab.kubelet.runs.values() if run.pod["metadata"]["name"].startswith(name)]
    assert {run.containers[0].env["GREETING"] for run in mine} == {"hello"}


def test_a_node_that_nobody_has_is_waited_for(stood: Rehearsal) -> None:
    """The scheduler counts its objections, and says that evicting others would not help."""
    lab, name = stood, stood.shop.payment
    edit(lab, name, nodeSelector={"disk": "ssd"})
    lab.run(5)
    said = (
        "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector. no new claims to deallocate, "
        "preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."
    )
    assert messages(lab, name, "FailedScheduling") == {said}
    pending = [pod for pod in lab.pods(name) if not pod["spec"].get("nodeName")]
    (condition,) = pending[0]["status"]["conditions"]
    assert (condition["type"], condition["reason"], condition["message"]) == ("PodScheduled", "Unschedulable", said)


def test_a_probe_at_a_port_where_nobody_listens_is_refused(stood: Rehearsal) -> None:
    """The pod runs, is never ready, and the kubelet says that the connection was refused."""
    lab, name = stood, stood.shop.shipping
    edit(lab, name, containers=[{"name": "app", "readinessProbe": {"httpGet": {"path": "/ready", "port": 9}}}])
    lab.run(30)
    refused = re.compile(
        r'Readiness probe failed: Get "http://([\d.]+):9/ready": dial tcp \1:9: connect: connection refused'
    )
    assert messages(lab, name, "Unhealthy")
    assert all(map(refused.fullmatch, messages(lab, name, "Unhealthy")))


def test_a_full_quota_refuses_a_pod_in_the_words_of_admission(stood: Rehearsal) -> None:
    """With what was asked for, what is used and what is allowed; the ReplicaSet and its Deployment say so."""
    lab, name = stood, stood.shop.quiet
    place = {"name": "team", "namespace": lab.shop.quiet_namespace}
    lab.store.create("ResourceQuota", {"metadata": place, "spec": {"hard": {"requests.cpu": "0.5", "pods": "2"}}})
    deployment = ("Deployment", lab.shop.quiet_namespace, name)
    lab.store.patch(*deployment, {"spec": {"replicas": 3}})
    lab.run(5)
    said = re.compile(
        rf'pods "{name}-[^"]+" is forbidden: exceeded quota: team, requested: pods=1,requests.cpu=200m, '
        r"used: pods=2,requests.cpu=400m, limited: pods=2,requests.cpu=500m"
    )
    (failure,) = [
        item for item in lab.store.get(*deployment)["status"]["conditions"] if item["type"] == "ReplicaFailure"
    ]
    assert failure["reason"] == "FailedCreate"
    assert said.fullmatch(failure["message"])
    assert lab.store.get("ResourceQuota", lab.shop.quiet_namespace, "team")["status"] == {
        "hard": {"requests.cpu": "500m", "pods": "2"},
        "used": {"requests.cpu": "400m", "pods": "2"},
    }


def test_a_refused_replica_set_tries_ever_more_seldom_and_at_once_when_it_is_touched(stood: Rehearsal) -> None:
    """The work queue's backoff: a quota that was raised helps minutes later; an annotation helps at once."""
    lab, namespace = stood, stood.shop.quiet_namespace
    lab.run(90)
    lab.store.patch("ResourceQuota", namespace, "team", {"spec": {"hard": {"requests.cpu": "2", "pods": "9"}}})
    lab.run(20)
    deployment = ("Deployment", namespace, lab.shop.quiet)
    assert lab.store.get(*deployment)["status"]["replicas"] == 2
    lab.store.patch(*deployment, {"metadata": {"annotations": {"nudged": "yes"}}})
    lab.run(20)
    status = lab.store.get(*deployment)["status"]
    assert status["readyReplicas"] == 3
    assert "ReplicaFailure" not in {item["type"] for item in status["conditions"]}
