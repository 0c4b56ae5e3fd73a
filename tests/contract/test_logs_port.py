"""The port Logs over HTTP, on the lab or a real cluster: the last lines of a container, and what there is instead."""

import re

import pytest

from eval.lab.lab import Lab
from shared.adapters.kubernetes_api import KubernetesCluster
from shared.adapters.kubernetes_logs import LONGEST_LINE
from shared.domain.cluster import Kind, Ref
from shared.domain.errors import ClusterForbidden, ObjectMissing
from shared.domain.ids import ClusterName
from shared.ports.logs import Logs
from tests.contract.place import Place

_A_TIME = re.compile(r"\d{4}-\d\d-\d\dT")


@pytest.fixture
def logs(place: Place) -> Logs:
    """The port, of the same connection as the port Cluster."""
    assert isinstance(place.cluster, KubernetesCluster)
    return place.cluster.logs


async def a_pod(place: Place, phase: str = "Running") -> Ref:
    """One of the workload's pods."""
    pods = await place.operator.list("Pod", place.namespace, f"app={place.workload}")
    names = [pod["metadata"]["name"] for pod in pods if pod["status"].get("phase") == phase]
    return place.ref(Kind.POD, names[0])


async def test_the_newest_lines_come_oldest_first_and_what_is_old_does_not(place: Place, logs: Logs) -> None:
    """As they were written, without a time before them; later on, none of them was written lately."""
    pod = await a_pod(place)
    written = await logs.tail(pod, "app", since_s=3600, lines=100)
    assert written
    assert not any(_A_TIME.match(line) for line in written)
    assert await logs.tail(pod, "app", since_s=3600, lines=1) == written[-1:]

    async def is_silent() -> bool:
        return await logs.tail(pod, "app", since_s=1, lines=100) == ()

    await place.until(is_silent)


async def test_who_has_not_started_has_written_nothing_and_who_is_gone_is_missing(place: Place, logs: Logs) -> None:
    """The server answers 400 to the first: that is no failure."""
    containers = [{"name": "app", "image": "registry.example/nobody:1"}]
    change = {"spec": {"template": {"spec": {"containers": containers}}}}
    await place.operator.patch("Deployment", place.namespace, place.workload, change)

    async def one_waits() -> bool:
        pods = await place.operator.list("Pod", place.namespace, f"app={place.workload}")
        return any(pod["status"].get("containerStatuses") and pod["status"]["phase"] == "Pending" for pod in pods)

    await place.until(one_waits)
    assert await logs.tail(await a_pod(place, "Pending"), "app", since_s=60, lines=10) == ()
    with pytest.raises(ObjectMissing, match="nobody"):
        await logs.tail(place.ref(Kind.POD, "nobody"), "app", since_s=60, lines=10)


async def test_a_line_that_nobody_could_read_is_cut_and_who_may_not_read_is_told(
    cluster: KubernetesCluster, lab: Lab
) -> None:
    """A dump of megabytes in one line is no line; 403 is about this permission and no other."""
    uid, run = next(iter(lab.kubelet.runs.items()))
    meta = lab.store.get("Pod", run.pod["metadata"]["namespace"], run.pod["metadata"]["name"])["metadata"]
    assert meta["uid"] == uid
    pod = Ref(cluster=ClusterName("lab"), kind=Kind.POD, namespace=meta["namespace"], name=meta["name"])
    lab.kubelet.log(run, run.containers[0], "x" * 5000)
    assert await cluster.logs.tail(pod, "app", since_s=60, lines=1) == ("x" * LONGEST_LINE,)
    lab.faults.forbid("get", "pods")
    with pytest.raises(ClusterForbidden, match="log"):
        await cluster.logs.tail(pod, "app", since_s=60, lines=10)
