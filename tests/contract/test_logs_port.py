"""The port Logs over HTTP: the last lines of a container, and what there is instead."""

import pytest

from eval.lab.lab import Lab
from shared.adapters.kubernetes_api import KubernetesCluster
from shared.adapters.kubernetes_logs import LONGEST_LINE
from shared.domain.cluster import Kind, Ref
from shared.domain.errors import ClusterForbidden, ObjectMissing
from shared.domain.ids import ClusterName
from shared.ports.logs import Logs


def a_pod_of(lab: Lab, role: str) -> Ref:
    """One of the pods of a role."""
    name = lab.shop.services[role]
    pods = lab.store.list("Pod", lab.shop.namespace)
    found = next(pod["metadata"]["name"] for pod in pods if pod["metadata"]["labels"]["app"] == name)
    return Ref(cluster=ClusterName("lab"), kind=Kind.POD, namespace=lab.shop.namespace, name=found)


def says(lab: Lab, pod: Ref, *lines: str) -> None:
    """Let its container write these lines now."""
    uid = lab.store.get("Pod", pod.namespace, pod.name)["metadata"]["uid"]
    run = lab.kubelet.runs[uid]
    for line in lines:
        lab.kubelet.log(run, run.containers[0], line)


@pytest.fixture
def logs(cluster: KubernetesCluster) -> Logs:
    """The port, on the lab."""
    return cluster.logs


async def test_the_newest_lines_come_oldest_first_as_they_were_written(logs: Logs, lab: Lab) -> None:
    """Without a time before them, and no more than were asked for."""
    pod = a_pod_of(lab, "payment")
    says(lab, pod, "one", "  two: ünïcode", "three")
    assert await logs.tail(pod, "app", since_s=60, lines=2) == ("  two: ünïcode", "three")


async def test_what_was_written_long_ago_is_not_told(logs: Logs, lab: Lab) -> None:
    """Its first line came with its start."""
    pod = a_pod_of(lab, "payment")
    uid = lab.store.get("Pod", pod.namespace, pod.name)["metadata"]["uid"]
    lines = lab.kubelet.lines(uid, "app")
    old = [(at.replace(year=at.year - 1), text) for at, text in lines]
    lines.clear()
    lines.extend(old)
    says(lab, pod, "now")
    assert await logs.tail(pod, "app", since_s=30, lines=100) == ("now",)


async def test_a_line_that_nobody_could_read_is_cut(logs: Logs, lab: Lab) -> None:
    """A dump of a megabyte in one line is no line."""
    pod = a_pod_of(lab, "payment")
    says(lab, pod, "x" * 5000)
    assert await logs.tail(pod, "app", since_s=60, lines=1) == ("x" * LONGEST_LINE,)


async def test_a_container_that_waits_to_start_has_written_nothing(logs: Logs, lab: Lab) -> None:
    """The server answers 400 to that: it is no failure."""
    name = lab.shop.shipping
    containers = [{"name": "app", "image": lab.shop.missing_image("shipping")}]
    patch = {"spec": {"template": {"spec": {"containers": containers}}}}
    lab.store.patch_strategic("Deployment", lab.shop.namespace, name, patch)

    def waits() -> list[str]:
        pods = [pod for pod in lab.store.list("Pod", lab.shop.namespace) if pod["metadata"]["name"].startswith(name)]
        return [pod["metadata"]["name"] for pod in pods if pod["status"].get("phase") == "Pending"]

    await lab.until(lambda: bool(waits()), timeout_s=10)
    pod = Ref(cluster=ClusterName("lab"), kind=Kind.POD, namespace=lab.shop.namespace, name=waits()[0])
    assert await logs.tail(pod, "app", since_s=60, lines=10) == ()


async def test_a_pod_that_is_gone_is_missing(logs: Logs, lab: Lab) -> None:
    """By its name."""
    nobody = Ref(cluster=ClusterName("lab"), kind=Kind.POD, namespace=lab.shop.namespace, name="nobody")
    with pytest.raises(ObjectMissing, match="nobody"):
        await logs.tail(nobody, "app", since_s=60, lines=10)


async def test_who_may_not_read_logs_is_told(logs: Logs, lab: Lab) -> None:
    """403, which is about this permission and no other."""
    lab.faults.forbid("get", "pods")
    with pytest.raises(ClusterForbidden, match="log"):
        await logs.tail(a_pod_of(lab, "payment"), "app", since_s=60, lines=10)
