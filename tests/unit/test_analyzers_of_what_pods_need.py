"""What pods cannot start, be placed, be made or get ready without: each fault is seen, and not where it nearly is."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest

from shared.analyzers.anti_affinity_unsatisfiable import anti_affinity_unsatisfiable
from shared.analyzers.command_not_found import command_not_found
from shared.analyzers.config_map_missing import config_map_missing
from shared.analyzers.init_container_hanging import init_container_hanging
from shared.analyzers.limit_range_exceeded import limit_range_exceeded
from shared.analyzers.liveness_probe_misconfigured import liveness_probe_misconfigured
from shared.analyzers.node_cordoned import node_cordoned
from shared.analyzers.quota_exceeded import quota_exceeded
from shared.analyzers.readiness_probe_misconfigured import readiness_probe_misconfigured
from shared.analyzers.registry import findings
from shared.analyzers.requests_too_large import requests_too_large
from shared.analyzers.secret_missing import secret_missing
from shared.analyzers.service_account_missing import service_account_missing
from shared.analyzers.taint_not_tolerated import taint_not_tolerated
from shared.analyzers.topology import Topology
from shared.analyzers.unhealthy_process import unhealthy_process
from shared.analyzers.unschedulable import unschedulable
from shared.analyzers.volume_claim_missing import volume_claim_missing
from shared.analyzers.volume_claim_unbound import volume_claim_unbound
from shared.analyzers.webhook_failing import webhook_failing
from shared.domain.cause import CauseCode, Finding
from shared.domain.cluster import Kind, Object
from shared.domain.frozen import Json, JsonObject
from shared.domain.path import Present, write
from shared.domain.snapshot import Snapshot
from shared.testing.builders import (
    T0,
    Rollout,
    a_kubernetes_event,
    a_node,
    a_pod,
    a_ref,
    a_rollout,
    a_snapshot,
    a_template,
    an_object,
)

NOT_FOUND = 'configmap "settings" not found'
NO_SUCH_KEY = "couldn't find key LOG_LEVEL in ConfigMap shop/settings"


def only(found: Iterable[Finding]) -> Finding:
    """The one finding."""
    (finding,) = found
    return finding


def with_field(seen: Object, path: str, value: Json) -> Object:
    """The same object, with one value set."""
    return seen.but(body=write(seen.body, path, Present(value=value)))


BESIDE = CauseCode.ANTI_AFFINITY_UNSATISFIABLE
SSD: JsonObject = {"key": "disk", "operator": "In", "values": ["ssd"]}


def requiring(demand: JsonObject) -> JsonObject:
    """A node affinity that demands this."""
    terms: Json = [{"matchExpressions": [demand]}]
    return {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}


def a_template_with(path: str, value: Json) -> JsonObject:
    """A template with one more value in it."""
    return write(a_template(), path, Present(value=value))


# --- config-map-missing, secret-missing


def from_config_map(name: str = "settings", key: str = "LOG_LEVEL", **more: Json) -> JsonObject:
    """A template whose environment takes one key of a ConfigMap."""
    ref: JsonObject = {"name": name, "key": key, **more}
    env: Json = [{"name": "LOG_LEVEL", "valueFrom": {"configMapKeyRef": ref}}]
    return a_template_with("/spec/containers/main/env", env)


def a_pod_that_waits(rollout: Rollout, message: str, reason: str = "CreateContainerConfigError") -> tuple[Object, ...]:
    """One new pod whose container cannot be made."""
    return rollout.pods(1, ready=False, waiting=reason, waiting_message=message)


@pytest.mark.parametrize("message", [NOT_FOUND, NO_SUCH_KEY])
def test_a_config_map_that_is_not_there_and_a_revision_that_does_without(message: str) -> None:
    """Evidence is the kubelet's own word and the place that asks for it; the way back is the revision before."""
    rollout = a_rollout(after=from_config_map())
    found = only(config_map_missing(a_snapshot(rollout.objects, a_pod_that_waits(rollout, message))))
    assert (found.code, found.object, found.remedy) == (
        CauseCode.CONFIG_MAP_MISSING,
        rollout.deployment.ref,
        {"revision": 1},
    )
    assert [each.pointer for each in found.evidence] == [
        "Pod/shop/cart-2-a#/status/containerStatuses/main/state/waiting",
        "Deployment/shop/cart#/spec/template/spec/containers/main/env/LOG_LEVEL",
    ]


def test_what_was_taken_away_under_a_workload_has_no_way_back() -> None:
    """Every revision needs it: to roll back would mend nothing, so a person is told what is missing."""
    rollout = a_rollout(before=from_config_map(), after=from_config_map(key="LOG_LEVEL", optional=False))
    found = only(config_map_missing(a_snapshot(rollout.objects, a_pod_that_waits(rollout, NOT_FOUND))))
    assert found.remedy == {}


def test_an_earlier_revision_that_asks_for_another_key_does_without_this_one() -> None:
    """The key is what is missing, not the ConfigMap."""
    rollout = a_rollout(before=from_config_map(key="LEVEL"), after=from_config_map())
    found = only(config_map_missing(a_snapshot(rollout.objects, a_pod_that_waits(rollout, NO_SUCH_KEY))))
    assert found.remedy == {"revision": 1}


@pytest.mark.parametrize(
    "volume",
    [
        {"name": "config", "configMap": {"name": "settings"}},
        {"name": "config", "projected": {"sources": [{"configMap": {"name": "settings"}}]}},
    ],
)
def test_a_volume_that_cannot_be_mounted(volume: JsonObject) -> None:
    """Its container waits to be created for ever; only the event says why."""
    rollout = a_rollout(after=a_template_with("/spec/volumes", [volume]))
    (pod,) = a_pod_that_waits(rollout, "", "ContainerCreating")
    told = a_kubernetes_event(pod.ref, "FailedMount", f'MountVolume.SetUp failed for volume "config" : {NOT_FOUND}')
    found = only(config_map_missing(a_snapshot(rollout.objects, pod, told)))
    assert found.remedy == {"revision": 1}
    assert [each.source for each in found.evidence] == ["event", "object"]


def test_a_mount_that_failed_before_the_pod_started_is_past() -> None:
    """The ConfigMap came a moment later than the pod, as it does in every deployment."""
    rollout = a_rollout(after=a_template_with("/spec/volumes", [{"name": "config", "configMap": {"name": "settings"}}]))
    (pod,) = rollout.pods(1)
    told = a_kubernetes_event(pod.ref, "FailedMount", f'MountVolume.SetUp failed for volume "config" : {NOT_FOUND}')
    assert not list(config_map_missing(a_snapshot(rollout.objects, pod, told)))


def test_a_pod_of_an_earlier_revision_that_wants_a_config_map_is_past() -> None:
    """The template has moved on."""
    rollout = a_rollout(before=from_config_map())
    pods = rollout.pods(
        1, of_earlier=True, ready=False, waiting="CreateContainerConfigError", waiting_message=NOT_FOUND
    )
    assert not list(config_map_missing(a_snapshot(rollout.objects, pods)))


def test_a_secret_that_is_not_there_is_another_cause_than_a_config_map() -> None:
    """Nobody has to read a Secret to know that it is not there."""
    env: Json = [{"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "store", "key": "password"}}}]
    rollout = a_rollout(after=a_template_with("/spec/containers/main/env", env))
    snapshot = a_snapshot(rollout.objects, a_pod_that_waits(rollout, 'secret "store" not found'))
    assert not list(config_map_missing(snapshot))
    found = only(secret_missing(snapshot))
    assert (found.code, found.remedy) == (CauseCode.SECRET_MISSING, {"revision": 1})


def test_other_trouble_with_a_containers_configuration_is_neither() -> None:
    """Such as an image that must not run as root."""
    rollout = a_rollout()
    said = "container has runAsNonRoot and image will run as root"
    snapshot = a_snapshot(rollout.objects, a_pod_that_waits(rollout, said))
    assert not [*config_map_missing(snapshot), *secret_missing(snapshot)]


# --- readiness-probe-misconfigured


def probing(port: int | str = "http", path: str = "/ready", **more: Any) -> JsonObject:
    """A template with a readiness probe."""
    template = a_template(**more)
    return write(
        template,
        "/spec/containers/main/readinessProbe",
        Present(value={"httpGet": {"path": path, "port": port}, "periodSeconds": 5}),
    )


def refused(
    pod: Object, said: str = 'Get "http://10.244.0.9:9/ready": dial tcp 10.244.0.9:9: connect: connection refused'
) -> Object:
    """The kubelet's event on a failed readiness probe."""
    return a_kubernetes_event(pod.ref, "Unhealthy", f"Readiness probe failed: {said}", at=T0 - timedelta(seconds=20))


@pytest.mark.parametrize("port", [9, "web"])
def test_a_probe_that_knocks_where_nobody_listens(port: int | str) -> None:
    """At a port, or a name, that the container does not declare; the way back is the revision that probed otherwise."""
    rollout = a_rollout(before=probing(), after=probing(port, image="registry.example/cart:2"))
    (pod,) = rollout.pods(1, ready=False)
    found = only(readiness_probe_misconfigured(a_snapshot(rollout.objects, pod, refused(pod))))
    assert (found.code, found.remedy) == (CauseCode.READINESS_PROBE_MISCONFIGURED, {"revision": 1})
    assert "8080" in found.summary
    assert "Readiness probe failed" in " ".join(each.value for each in found.evidence)


def test_a_probe_that_is_all_that_is_new_is_to_blame_whatever_it_says() -> None:
    """A path that answers 404, for one."""
    rollout = a_rollout(before=probing(), after=probing(path="/redy"))
    (pod,) = rollout.pods(1, ready=False)
    told = refused(pod, "HTTP probe failed with statuscode: 404")
    assert only(readiness_probe_misconfigured(a_snapshot(rollout.objects, pod, told))).remedy == {"revision": 1}


def test_a_probe_that_changed_together_with_the_image_is_not_known_to_be_wrong() -> None:
    """The application may be what does not answer: the rollout is suspected, the probe is not."""
    rollout = a_rollout(before=probing(), after=probing(path="/health", image="registry.example/cart:2"))
    (pod,) = rollout.pods(1, ready=False)
    told = refused(pod, "HTTP probe failed with statuscode: 404")
    assert not list(readiness_probe_misconfigured(a_snapshot(rollout.objects, pod, told)))


def test_where_one_new_pod_got_ready_the_probe_is_right() -> None:
    """What fails elsewhere is the node's or the process's trouble."""
    rollout = a_rollout(before=probing(), after=probing(9))
    hanging, *others = rollout.pods(3, ready=False)
    ready = with_field(others[0], "/status/conditions", [{"type": "Ready", "status": "True"}])
    assert not list(readiness_probe_misconfigured(a_snapshot(rollout.objects, hanging, ready, refused(hanging))))


@pytest.mark.parametrize("reason", ["CrashLoopBackOff", "ImagePullBackOff"])
def test_a_container_that_does_not_run_cannot_be_probed(reason: str) -> None:
    """Old events about its probe are what a crash left behind."""
    rollout = a_rollout(before=probing(), after=probing(9))
    (pod,) = rollout.pods(1, ready=False, waiting=reason)
    assert not list(readiness_probe_misconfigured(a_snapshot(rollout.objects, pod, refused(pod))))


def test_a_kubelet_that_repeats_itself_every_five_minutes_only_is_still_believed() -> None:
    """That is what it does after 25 times; a probe failed all the time in between."""
    rollout = a_rollout(at=T0 - timedelta(days=1))
    (pod,) = rollout.pods(1, ready=False)
    told = a_kubernetes_event(pod.ref, "Unhealthy", "Readiness probe failed: timeout", at=T0 - timedelta(minutes=6))
    assert only(unhealthy_process(a_snapshot(rollout.objects, pod, told))).object == rollout.deployment.ref


# --- unschedulable

_PREEMPTION = (
    "no new claims to deallocate, preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."
)


def selecting(**labels: str) -> JsonObject:
    """A template with a nodeSelector."""
    return a_template_with("/spec/nodeSelector", dict(labels))


def unplaced(rollout: Rollout, why: str = "3 node(s) didn't match Pod's node affinity/selector") -> Object:
    """A new pod that the scheduler finds no node for."""
    (pod,) = rollout.pods(1, ready=False, node="")
    message = f"0/3 nodes are available: {why}. {_PREEMPTION}"
    condition: Json = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    pod = with_field(pod, "/status/conditions", [condition])
    return with_field(pod, "/status/phase", "Pending")


def nodes(**labels: str) -> list[Object]:
    """Three nodes with these labels."""
    return [with_field(a_node(f"node-{number}"), "/metadata/labels", dict(labels)) for number in range(3)]


def test_a_pod_that_asks_for_a_node_that_is_not_there() -> None:
    """Evidence is the scheduler's word, what was asked for, and what each node has of it."""
    rollout = a_rollout(after=selecting(disk="ssd"))
    found = only(unschedulable(a_snapshot(rollout.objects, unplaced(rollout), nodes(disk="hdd"))))
    assert (found.code, found.remedy) == (CauseCode.UNSCHEDULABLE, {"revision": 1})
    assert [(each.pointer, each.value) for each in found.evidence[1:3]] == [
        ("Deployment/shop/cart#/spec/template/spec/nodeSelector", '{"disk": "ssd"}'),
        ("Node/node-0#/metadata/labels", "disk=hdd"),
    ]


def test_an_earlier_revision_that_no_node_takes_either_is_no_way_back() -> None:
    """The label went from the nodes: that is for a person."""
    rollout = a_rollout(before=selecting(disk="nvme"), after=selecting(disk="ssd"))
    found = only(unschedulable(a_snapshot(rollout.objects, unplaced(rollout), nodes(disk="hdd"))))
    assert found.remedy == {}


@pytest.mark.parametrize("why", ["3 Insufficient cpu", "3 node(s) had untolerated taint {gpu: }"])
def test_a_pod_that_waits_for_room_asks_for_no_wrong_node(why: str) -> None:
    """That is another cause, and another way out."""
    rollout = a_rollout(after=selecting(disk="ssd"))
    assert not list(unschedulable(a_snapshot(rollout.objects, unplaced(rollout, why), nodes(disk="ssd"))))


def test_a_pod_that_asks_for_no_node_in_particular_waits_for_something_else() -> None:
    """Room, most often."""
    rollout = a_rollout()
    assert not list(unschedulable(a_snapshot(rollout.objects, unplaced(rollout, "3 Insufficient cpu"), nodes())))


def test_where_a_node_has_the_labels_the_selector_is_right() -> None:
    """The one that fits is full; the others never fitted."""
    rollout = a_rollout(after=selecting(disk="ssd"))
    why = "1 Insufficient memory, 2 node(s) didn't match Pod's node affinity/selector"
    fitting, *others = nodes(disk="hdd")
    fitting = with_field(fitting, "/metadata/labels", {"disk": "ssd"})
    assert not list(unschedulable(a_snapshot(rollout.objects, unplaced(rollout, why), fitting, others)))


# --- quota-exceeded

EXCEEDED = (
    'pods "cart-2-x" is forbidden: exceeded quota: team, requested: limits.memory=256Mi,pods=1, '
    "used: limits.memory=512Mi,pods=2, limited: limits.memory=512Mi,pods=2"
)


def refusing(rollout: Rollout, message: str = EXCEEDED) -> tuple[Object, ...]:
    """The rollout whose current ReplicaSet may not make its pods."""
    failure: Json = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message}
    current = with_field(rollout.current, "/status", {"conditions": [failure]})
    told = a_kubernetes_event(current.ref, "FailedCreate", f"Error creating: {message}")
    return (rollout.deployment, rollout.earlier, current, told)


def a_quota(hard: JsonObject, used: JsonObject) -> Object:
    """A ResourceQuota of the shop."""
    ref = a_ref("team", Kind.RESOURCE_QUOTA)
    return an_object(ref, {"apiVersion": "v1", "spec": {"hard": hard}, "status": {"hard": hard, "used": used}})


def test_a_quota_that_has_no_room_is_named_with_what_is_short() -> None:
    """Nothing says how large it should be: no runbook is offered what to write."""
    rollout = a_rollout()
    found = only(quota_exceeded(a_snapshot(refusing(rollout))))
    assert (found.code, found.object, found.remedy) == (CauseCode.QUOTA_EXCEEDED, rollout.deployment.ref, {})
    assert "quota team" in found.summary
    assert "256Mi more limits.memory than the 512Mi used of 512Mi" in found.summary
    assert [each.pointer for each in found.evidence] == [
        "ReplicaSet/shop/cart-2#/status/conditions/ReplicaFailure",
        "Event/shop/cart-2.failedcreate",
    ]


def test_a_rollout_that_asks_for_more_than_the_quota_has_is_taken_back() -> None:
    """The revision before asked for less of what is short."""
    rollout = a_rollout(before=a_template(memory_limit="128Mi"), after=a_template(memory_limit="256Mi"))
    assert only(quota_exceeded(a_snapshot(refusing(rollout)))).remedy == {"revision": 1}


def test_a_revision_that_asks_for_less_of_one_and_more_of_another_is_no_way_back() -> None:
    """It would be refused, too."""
    message = EXCEEDED.replace("pods=1", "limits.cpu=1").replace("pods=2", "limits.cpu=1")
    before, after = a_template(memory_limit="128Mi", cpu_limit="2"), a_template(memory_limit="256Mi", cpu_limit="1")
    rollout = a_rollout(before=before, after=after)
    assert only(quota_exceeded(a_snapshot(refusing(rollout, message)))).remedy == {}


def test_a_quota_that_was_raised_since_is_said_to_have_room() -> None:
    """A controller that was refused often waits up to a quarter of an hour."""
    rollout = a_rollout()
    used: JsonObject = {"limits.memory": "512Mi", "pods": "2"}
    tight = a_quota({"limits.memory": "512Mi", "pods": "2"}, used)
    roomy = a_quota({"limits.memory": "1Gi", "pods": "9"}, used)
    assert "has room by now" not in only(quota_exceeded(a_snapshot(refusing(rollout), tight))).summary
    assert "has room by now" in only(quota_exceeded(a_snapshot(refusing(rollout), roomy))).summary


def test_other_refusals_are_no_matter_of_a_quota() -> None:
    """A LimitRange, an admission webhook, a ServiceAccount that is not there."""
    rollout = a_rollout()
    said = 'pods "cart-2-x" is forbidden: maximum memory usage per Container is 128Mi, but limit is 256Mi'
    assert not list(quota_exceeded(a_snapshot(refusing(rollout, said))))


def test_an_old_event_alone_is_no_refusal() -> None:
    """Events outlast what they tell of by an hour; the ReplicaSet's condition goes with its trouble."""
    rollout = a_rollout()
    told = a_kubernetes_event(rollout.current.ref, "FailedCreate", f"Error creating: {EXCEEDED}")
    assert not list(quota_exceeded(a_snapshot(rollout.objects, told)))


# --- service-account-missing, limit-range-exceeded


def test_a_service_account_that_is_not_there() -> None:
    """The revision before ran as somebody else."""
    rollout = a_rollout(after=a_template_with("/spec/serviceAccountName", "nobody"))
    said = (
        'pods "cart-2-" is forbidden: error looking up service account shop/nobody: serviceaccount "nobody" not found'
    )
    found = only(service_account_missing(a_snapshot(refusing(rollout, said))))
    assert (found.code, found.remedy) == (CauseCode.SERVICE_ACCOUNT_MISSING, {"revision": 1})
    assert not list(service_account_missing(a_snapshot(refusing(rollout))))


def test_a_service_account_that_was_taken_away_has_no_way_back() -> None:
    """All revisions run as it."""
    account = a_template_with("/spec/serviceAccountName", "nobody")
    rollout = a_rollout(before=account, after=write(account, "/spec/nodeName", Present(value="x")))
    said = 'error looking up service account shop/nobody: serviceaccount "nobody" not found'
    assert only(service_account_missing(a_snapshot(refusing(rollout, said)))).remedy == {}


@pytest.mark.parametrize(
    "said",
    [
        "maximum memory usage per Container is 100Mi, but limit is 200Mi",
        "minimum cpu usage per Pod is 100m, but request is 10m",
        "memory max limit to request ratio per Container is 2, but provided ratio is 8.000000",
    ],
)
def test_resources_that_a_limit_range_does_not_allow(said: str) -> None:
    """The revision before asked for others."""
    rollout = a_rollout(before=a_template(memory_limit="64Mi"), after=a_template(memory_limit="200Mi"))
    found = only(limit_range_exceeded(a_snapshot(refusing(rollout, f'pods "cart-2-x" is forbidden: {said}'))))
    assert (found.code, found.remedy) == (CauseCode.LIMIT_RANGE_EXCEEDED, {"revision": 1})
    assert said in found.summary
    assert not list(limit_range_exceeded(a_snapshot(refusing(rollout))))


# --- volume-claim-missing, volume-claim-unbound


def mounting(claim: str) -> JsonObject:
    """A template with a claim."""
    return a_template_with("/spec/volumes", [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}])


@pytest.mark.parametrize(
    ("why", "code"),
    [
        ('persistentvolumeclaim "data" not found. not found', CauseCode.VOLUME_CLAIM_MISSING),
        ("pod has unbound immediate PersistentVolumeClaims. not found", CauseCode.VOLUME_CLAIM_UNBOUND),
    ],
)
def test_a_claim_that_gives_no_volume(why: str, code: CauseCode) -> None:
    """Not there, or bound by nobody: two causes, each in the scheduler's words, one way back."""
    rollout = a_rollout(after=mounting("data"))
    snapshot = a_snapshot(rollout.objects, unplaced(rollout, why), nodes())
    found = only([*volume_claim_missing(snapshot), *volume_claim_unbound(snapshot)])
    assert (found.code, found.remedy) == (code, {"revision": 1})
    same = a_rollout(before=mounting("data"), after=write(mounting("data"), "/spec/nodeName", Present(value="x")))
    snapshot = a_snapshot(same.objects, unplaced(same, why), nodes())
    assert only([*volume_claim_missing(snapshot), *volume_claim_unbound(snapshot)]).remedy == {}


# --- requests-too-large, taint-not-tolerated


def sized(cpu: str) -> list[Object]:
    """Three nodes with so many cores."""
    return [with_field(node, "/status/allocatable", {"cpu": cpu, "memory": "4Gi"}) for node in nodes()]


def test_a_pod_that_no_empty_node_could_take() -> None:
    """The revision before would fit."""
    rollout = a_rollout(before=a_template(cpu_limit="1"), after=_asking("8"))
    snapshot = a_snapshot(rollout.objects, unplaced(rollout, "3 Insufficient cpu"), sized("4"))
    found = only(requests_too_large(snapshot))
    assert (found.code, found.remedy) == (CauseCode.REQUESTS_TOO_LARGE, {"revision": 1})


def test_a_pod_that_waits_until_others_go_is_not_too_large() -> None:
    """An empty node would take it."""
    rollout = a_rollout(after=_asking("3"))
    snapshot = a_snapshot(rollout.objects, unplaced(rollout, "3 Insufficient cpu"), sized("4"))
    assert not list(requests_too_large(snapshot))


def test_of_nodes_that_nobody_may_read_nothing_is_said() -> None:
    """How large they are is not known."""
    rollout = a_rollout(after=_asking("8"))
    assert not list(requests_too_large(a_snapshot(rollout.objects, unplaced(rollout, "3 Insufficient cpu"))))


def _asking(cpu: str) -> JsonObject:
    """A template that requests so many cores."""
    return write(a_template(), "/spec/containers/main/resources", Present(value={"requests": {"cpu": cpu}}))


def tainted(key: str = "team") -> list[Object]:
    """Three nodes with a taint."""
    return [with_field(node, "/spec/taints", [{"key": key, "effect": "NoSchedule"}]) for node in nodes()]


def test_a_taint_that_the_revision_before_tolerated() -> None:
    """Somebody left the toleration out."""
    tolerating = a_template_with("/spec/tolerations", [{"key": "team", "operator": "Exists"}])
    rollout = a_rollout(before=tolerating, after=a_template())
    snapshot = a_snapshot(rollout.objects, unplaced(rollout, "3 node(s) had untolerated taint(s)"), tainted())
    found = only(taint_not_tolerated(snapshot))
    assert (found.code, found.remedy) == (CauseCode.TAINT_NOT_TOLERATED, {"revision": 1})
    assert "team:NoSchedule" in found.summary


def test_a_taint_that_came_later_is_for_a_person() -> None:
    """No revision tolerates it."""
    rollout = a_rollout()
    snapshot = a_snapshot(rollout.objects, unplaced(rollout, "3 node(s) had untolerated taint(s)"), tainted())
    assert only(taint_not_tolerated(snapshot)).remedy == {}


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("node.kubernetes.io/not-ready", "3 node(s) had untolerated taint(s)"),
        ("team", "1 node(s) had untolerated taint(s), 2 Insufficient cpu"),
        ("team", "1 node(s) had untolerated taint(s), 2 node(s) didn't match Pod's node affinity/selector"),
    ],
)
def test_a_taint_that_is_as_it_should_be_is_not_to_blame(key: str, why: str) -> None:
    """What a node's own state puts there; or one node among others that object for another reason."""
    rollout = a_rollout()
    assert not list(taint_not_tolerated(a_snapshot(rollout.objects, unplaced(rollout, why), tainted(key))))


# --- anti-affinity-unsatisfiable


def test_pods_that_keep_one_another_away() -> None:
    """The revision before did not mind; without one that did not, it is for a person."""
    alone: Json = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": []}}
    why = "1 node(s) didn't match pod anti-affinity rules"
    rollout = a_rollout(after=a_template_with("/spec/affinity", alone))
    found = only(anti_affinity_unsatisfiable(a_snapshot(rollout.objects, unplaced(rollout, why))))
    assert (found.code, found.remedy) == (CauseCode.ANTI_AFFINITY_UNSATISFIABLE, {"revision": 1})
    scaled = a_rollout()
    assert only(anti_affinity_unsatisfiable(a_snapshot(scaled.objects, unplaced(scaled, why)))).remedy == {}
    assert not list(anti_affinity_unsatisfiable(a_snapshot(rollout.objects, unplaced(rollout))))


# --- node-cordoned

CORDONED = "1 node(s) were unschedulable"


def cordon(node: Object) -> Object:
    """Somebody keeps new pods away from it: it is to be worked on."""
    taint: Json = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
    return with_field(with_field(node, "/spec/unschedulable", value=True), "/spec/taints", [taint])


def waiting(why: str, *others: Object, template: JsonObject | None = None) -> Snapshot:
    """A pod that waits for a node: `node-0` of three is cordoned, of which each has four cores."""
    first, *rest = sized("4")
    rollout = a_rollout(after=template or a_template())
    return a_snapshot(rollout.objects, unplaced(rollout, why), cordon(first), rest, *others)


def test_pods_that_wait_for_a_node_that_somebody_cordoned() -> None:
    """Evidence is the scheduler's word and who is cordoned; whether that is over is for a person to say."""
    found = only(node_cordoned(waiting(f"{CORDONED}, 2 Insufficient cpu")))
    assert (found.code, str(found.object), found.remedy) == (CauseCode.NODE_CORDONED, "Deployment/shop/cart", {})
    assert [each.pointer for each in found.evidence] == [
        "Pod/shop/cart-2-a#/status/conditions/PodScheduled",
        "Node/node-0#/spec/unschedulable",
    ]
    assert "node-0 is cordoned" in found.summary


@pytest.mark.parametrize(
    ("why", "template"),
    [
        ("3 Insufficient cpu", {}),
        (f"{CORDONED}, 2 node(s) didn't match Pod's node affinity/selector", {"nodeSelector": {"disk": "ssd"}}),
        (f"{CORDONED}, 2 Insufficient cpu", {"containers": [{"name": "a", "resources": {"requests": {"cpu": "9"}}}]}),
        (
            f"{CORDONED}, 2 node(s) didn't match Pod's node affinity/selector",
            {"affinity": {"nodeAffinity": requiring(SSD)}},
        ),
    ],
    ids=["the scheduler says nothing of it", "no node has the label", "no node has the room", "no node fits"],
)
def test_a_cordon_that_keeps_nothing_away_is_not_to_blame(why: str, template: JsonObject) -> None:
    """The cordoned node would not take it either."""
    asking = a_template()
    for field, value in template.items():
        asking = write(asking, f"/spec/{field}", Present(value=value))
    assert not list(node_cordoned(waiting(why, template=asking)))


def test_a_cordoned_node_without_room_is_not_to_blame() -> None:
    """It was not drained: what runs there takes all that it has."""
    full = a_pod("x-1-a", node="node-0", template=_asking("4"))
    assert not list(node_cordoned(waiting(f"{CORDONED}, 2 Insufficient cpu", full)))
    assert list(node_cordoned(waiting(f"{CORDONED}, 2 Insufficient cpu", with_field(full, "/status/phase", "Failed"))))


@pytest.mark.parametrize(("key", "blamed"), [("team", False), ("node.kubernetes.io/memory-pressure", True)])
def test_a_taint_that_stays_when_the_cordon_goes_keeps_them_away(key: str, *, blamed: bool) -> None:
    """One that says what the node is for; not one of its state."""
    snapshot = waiting(f"{CORDONED}, 2 Insufficient cpu")
    tainting: Json = [{"key": key, "effect": "NoSchedule"}]
    objects = [
        with_field(each, "/spec/taints", tainting) if each.ref.name == "node-0" else each for each in snapshot.objects
    ]
    assert bool(list(node_cordoned(a_snapshot(objects)))) is blamed


def test_what_the_cordon_does_is_called_nothing_else() -> None:
    """The only node with the label, or without a neighbour, is the one that is cordoned."""
    first, *rest = nodes(disk="hdd")
    only_one = cordon(with_field(first, "/metadata/labels", {"disk": "ssd"}))
    for template in (selecting(disk="ssd"), a_template_with("/spec/affinity", {"nodeAffinity": requiring(SSD)})):
        rollout = a_rollout(after=template)
        pod = unplaced(rollout, f"{CORDONED}, 2 node(s) didn't match Pod's node affinity/selector")
        found = findings(a_snapshot(rollout.objects, pod, only_one, rest))
        assert [each.code for each in found] == [CauseCode.NODE_CORDONED, CauseCode.RECENT_ROLLOUT]


@pytest.mark.parametrize(
    ("demand", "met"),
    [
        ({"key": "disk", "operator": "Exists"}, True),
        ({"key": "gpu", "operator": "Exists"}, False),
        ({"key": "disk", "operator": "NotIn", "values": ["hdd"]}, True),
        ({"key": "disk", "operator": "DoesNotExist"}, False),
        ({"key": "cores", "operator": "Gt", "values": ["7"]}, True),
        ({"key": "cores", "operator": "Lt", "values": ["9"]}, True),
        ({"key": "disk", "operator": "Gt", "values": ["7"]}, False),
    ],
    ids=str,
)
def test_what_an_affinity_demands_of_a_node(demand: JsonObject, *, met: bool) -> None:
    """Numbers are compared as numbers; a label that is none is neither more nor less."""
    first, *rest = nodes(disk="hdd")
    node = cordon(with_field(first, "/metadata/labels", {"disk": "ssd", "cores": "8"}))
    rollout = a_rollout(after=a_template_with("/spec/affinity", {"nodeAffinity": requiring(demand)}))
    pod = unplaced(rollout, f"{CORDONED}, 2 node(s) didn't match Pod's node affinity/selector")
    assert bool(list(node_cordoned(a_snapshot(rollout.objects, pod, node, rest)))) is met


@pytest.mark.parametrize(("neighbour", "code"), [("node-1", CauseCode.NODE_CORDONED), ("node-0", BESIDE)])
def test_a_cordoned_node_with_a_neighbour_would_not_take_them_either(neighbour: str, code: CauseCode) -> None:
    """Then it is the neighbours."""
    rollout = a_rollout()
    pod = unplaced(rollout, f"{CORDONED}, 2 node(s) didn't match pod anti-affinity rules")
    other = a_pod("cart-2-b", owner=rollout.current, node=neighbour)
    first, *rest = nodes()
    found = findings(a_snapshot(rollout.objects, pod, other, cordon(first), rest))
    assert {each.code for each in found} & {CauseCode.NODE_CORDONED, BESIDE} == {code}


# --- liveness-probe-misconfigured, init-container-hanging, command-not-found


def living(port: int | str = "http") -> JsonObject:
    """A template with a liveness probe."""
    return a_template_with("/spec/containers/main/livenessProbe", {"httpGet": {"path": "/live", "port": port}})


def killed_by_a_probe(pod: Object) -> Object:
    """The kubelet's event on a failed liveness probe."""
    said = 'Liveness probe failed: Get "http://10.0.0.9:9/live": dial tcp 10.0.0.9:9: connect: connection refused'
    return a_kubernetes_event(pod.ref, "Unhealthy", said)


def test_a_liveness_probe_that_kills_what_is_well() -> None:
    """Every new pod is restarted by it, and it knocks where nobody listens."""
    rollout = a_rollout(before=living(), after=living(9))
    pods = rollout.pods(2, ready=False, restarts=3, waiting="CrashLoopBackOff")
    events = [killed_by_a_probe(pod) for pod in pods]
    found = only(liveness_probe_misconfigured(a_snapshot(rollout.objects, pods, events)))
    assert (found.code, found.remedy) == (CauseCode.LIVENESS_PROBE_MISCONFIGURED, {"revision": 1})
    assert not list(liveness_probe_misconfigured(a_snapshot(rollout.objects, pods, events[:1])))


def test_a_liveness_probe_that_was_always_there_found_something_dead() -> None:
    """It is right, and the process is what hangs."""
    rollout = a_rollout(before=living(), after=write(living(), "/spec/containers/main/image", Present(value="x:2")))
    pods = rollout.pods(1, ready=False, restarts=3)
    assert not list(liveness_probe_misconfigured(a_snapshot(rollout.objects, pods, killed_by_a_probe(pods[0]))))


def preparing(rollout: Rollout, seconds: float) -> Object:
    """A new pod whose init container runs for so long."""
    (pod,) = rollout.pods(1, ready=False, waiting="PodInitializing")
    running: Json = {"running": {"startedAt": (T0 - timedelta(seconds=seconds)).isoformat()}}
    return with_field(pod, "/status/initContainerStatuses", [{"name": "wait", "state": running}])


def test_an_init_container_that_does_not_end() -> None:
    """The revision before had none."""
    rollout = a_rollout(after=a_template_with("/spec/initContainers", [{"name": "wait", "image": "wait:1"}]))
    found = only(init_container_hanging(a_snapshot(rollout.objects, preparing(rollout, 90))))
    assert (found.code, found.remedy) == (CauseCode.INIT_CONTAINER_HANGING, {"revision": 1})
    assert not list(init_container_hanging(a_snapshot(rollout.objects, preparing(rollout, 20))))


def test_a_sidecar_that_runs_beside_its_pod_does_not_hang() -> None:
    """It is an init container, too, and never ends."""
    rollout = a_rollout()
    (pod,) = rollout.pods(1)
    running: Json = {"running": {"startedAt": (T0 - timedelta(hours=1)).isoformat()}}
    pod = with_field(pod, "/status/initContainerStatuses", [{"name": "mesh", "state": running}])
    assert not list(init_container_hanging(a_snapshot(rollout.objects, pod)))


def test_a_command_that_is_not_in_its_image() -> None:
    """The runtime's words stand in how the container ended last."""
    rollout = a_rollout(after=a_template_with("/spec/containers/main/command", ["/nothing"]))
    pods = rollout.pods(1, ready=False, restarts=4, waiting="CrashLoopBackOff", last_terminated="StartError")
    message = 'unable to start container process: exec: "/nothing": stat /nothing: no such file or directory'
    said = with_field(pods[0], "/status/containerStatuses/main/lastState/terminated/message", message)
    found = only(command_not_found(a_snapshot(rollout.objects, said)))
    assert (found.code, found.remedy) == (CauseCode.COMMAND_NOT_FOUND, {"revision": 1})
    assert not list(command_not_found(a_snapshot(rollout.objects, pods)))


# --- webhook-failing

UNANSWERED = (
    'Internal error occurred: failed calling webhook "pods.house.example.com": failed to call webhook: Post '
    '"https://house.shop.svc:443/validate?timeout=2s": service "house" not found'
)


def webhooks(name: str, *names: str, kind: Kind = Kind.VALIDATING_WEBHOOKS) -> Object:
    """A configuration of these webhooks."""
    each: Json = [{"name": one, "failurePolicy": "Fail"} for one in names]
    return an_object(a_ref(name, kind), {"apiVersion": "admissionregistration.k8s.io/v1", "webhooks": each})


@pytest.mark.parametrize("kind", [Kind.VALIDATING_WEBHOOKS, Kind.MUTATING_WEBHOOKS])
def test_a_webhook_that_nobody_answers_is_named_by_its_configuration(kind: Kind) -> None:
    """For all whose pods wait for it; whether to go without that check is for its owners."""
    both = [*refusing(a_rollout(ready=0), UNANSWERED), *refusing(a_rollout("orders", ready=0), UNANSWERED)]
    house = webhooks("house", "other.example.com", "pods.house.example.com", kind=kind)
    snapshot = a_snapshot(both, house, webhooks("cert-manager", "webhook.cert-manager.io"))
    found = only(webhook_failing(snapshot))
    assert (found.code, found.object, found.remedy) == (CauseCode.WEBHOOK_FAILING, house.ref, {})
    assert 'service "house" not found' in found.summary
    assert "Deployment/shop/cart, Deployment/shop/orders" in found.summary
    assert found.evidence[0].pointer == "ReplicaSet/shop/cart-2#/status/conditions/ReplicaFailure"
    assert found.evidence[-1].pointer == f"{kind}/house#/webhooks"
    topology = Topology.of(snapshot)
    assert {topology.root_of(a_ref(name)).ref for name in ("cart", "orders")} == {house.ref}


@pytest.mark.parametrize(
    "configurations",
    [[], [webhooks("one", "pods.house.example.com"), webhooks("two", "pods.house.example.com")]],
    ids=["it was not read", "two have it"],
)
def test_whose_a_webhook_is_may_not_be_known(configurations: list[Object]) -> None:
    """Then the workload is named that waits for its pods."""
    rollout = a_rollout(ready=0)
    snapshot = a_snapshot(refusing(rollout, UNANSWERED), configurations)
    assert only(webhook_failing(snapshot)).object == rollout.deployment.ref
    assert Topology.of(snapshot).root_of(rollout.deployment.ref).ref == rollout.deployment.ref


def test_a_webhook_that_says_no_does_not_fail() -> None:
    """It is a rule of the house."""
    message = 'admission webhook "pods.house.example.com" denied the request: no image without a digest'
    house = webhooks("house", "pods.house.example.com")
    assert not list(webhook_failing(a_snapshot(refusing(a_rollout(), message), house)))
