"""How the shop comes onto a cluster, with two older revisions behind each workload, and how it goes."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Final

from eval.kubernetes.shop import Manifests, Workload
from eval.lab.deployments import REVISION
from eval.lab.kinds import Obj
from eval.lab.shop import Shop
from eval.operator import Operator
from shared.adapters.system import SystemClock

OPENS_WITHIN_S: Final = 120.0
GOES_WITHIN_S: Final = 90.0
MARK: Final = {"example.com/made-for": "an-evaluation"}
"""The label of a shop's namespaces: none but these are ever deleted."""
_LOOK_EVERY_S: Final = 0.25
_CLOCK: Final = SystemClock()


async def open_shop(operator: Operator, written: Manifests) -> None:
    """Create all of it; return when every Deployment has its revisions and its pods are wanted.

    The older revisions have never had a pod: each is a template that the Deployment once had, at zero replicas, which
    leaves exactly what a rollout leaves behind. Raises TimeoutError.
    """
    await asyncio.gather(*(_make(operator, namespace) for namespace in written.namespaces))
    for namespace in written.namespaces:
        await _until(OPENS_WITHIN_S, partial(_has_account, operator, namespace["metadata"]["name"]))
    for kind, objects in (
        ("Secret", written.secrets),
        ("ConfigMap", written.config_maps),
        ("Service", written.services),
    ):
        await asyncio.gather(*(operator.create(kind, item) for item in objects))
    await asyncio.gather(*(_begin(operator, workload) for workload in written.workloads))


async def _make(operator: Operator, namespace: Obj) -> None:
    """Make a namespace, and mark it as a shop's; what a run that was killed has left of that name goes first."""
    meta = namespace["metadata"]
    found = await operator.find("Namespace", "", meta["name"])
    if found is not None and MARK.items() <= found["metadata"].get("labels", {}).items():
        await _close(operator, (meta["name"],))
    labels = {**meta.get("labels", {}), **MARK}
    await operator.create("Namespace", {**namespace, "metadata": {**meta, "labels": labels}})


async def _has_account(operator: Operator, namespace: str) -> bool:
    """Right after a namespace is made it has no default ServiceAccount yet, and no pod can be created."""
    return await operator.find("ServiceAccount", namespace, "default") is not None


async def _begin(operator: Operator, workload: Workload) -> None:
    whole = workload.deployment
    namespace, name = whole["metadata"]["namespace"], whole["metadata"]["name"]
    first, *later = [*workload.older, whole["spec"]["template"]]
    await operator.create("Deployment", {**whole, "spec": {**whole["spec"], "template": first, "replicas": 0}})
    for number, template in enumerate(later, start=2):
        await _until(OPENS_WITHIN_S, partial(_has_revision, operator, namespace, name, number - 1))
        await operator.merge("Deployment", namespace, name, {"spec": {"template": template}})
    await operator.merge("Deployment", namespace, name, {"spec": {"replicas": whole["spec"]["replicas"]}})


async def _has_revision(operator: Operator, namespace: str, name: str, number: int) -> bool:
    item = await operator.get("Deployment", namespace, name)
    return int(item["metadata"].get("annotations", {}).get(REVISION, 0)) >= number


async def is_complete(operator: Operator, shop: Shop) -> bool:
    """Whether every Deployment of the shop is rolled out, and none of its pods is on its way out."""
    for namespace in (shop.namespace, shop.quiet_namespace):
        if not all(rolled_out(item) for item in await operator.list("Deployment", namespace)):
            return False
        if any("deletionTimestamp" in pod["metadata"] for pod in await operator.list("Pod", namespace)):
            return False
    return True


def rolled_out(deployment: Obj) -> bool:
    """Whether the controller has seen the newest template, and all pods are of it and available."""
    status, wanted = deployment.get("status", {}), deployment["spec"]["replicas"]
    seen = status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
    counts = (status.get(count, 0) for count in ("replicas", "updatedReplicas", "availableReplicas"))
    return seen and all(count == wanted for count in counts)


async def addresses(operator: Operator, shop: Shop) -> Mapping[str, str]:
    """The cluster IP of each of the shop's Services, by its name."""
    found: dict[str, str] = {}
    for namespace in (shop.namespace, shop.quiet_namespace):
        for item in await operator.list("Service", namespace):
            found[item["metadata"]["name"]] = item["spec"]["clusterIP"]
    return found


async def until_complete(operator: Operator, shop: Shop, timeout_s: float = OPENS_WITHIN_S) -> None:
    """Wait for the whole shop. Raises TimeoutError."""
    await _until(timeout_s, lambda: is_complete(operator, shop))


async def close_shop(operator: Operator, shop: Shop) -> None:
    """Delete its namespaces, and wait until they are gone. Raises TimeoutError."""
    await _close(operator, (shop.namespace, shop.quiet_namespace))


async def _close(operator: Operator, namespaces: Sequence[str]) -> None:
    """Pods go first, and at once: a namespace looks only every quarter of a minute after those that take leave."""
    for name in namespaces:
        for item in await operator.list("Deployment", name):
            await operator.delete("Deployment", name, item["metadata"]["name"])
    await _until(GOES_WITHIN_S, partial(_without_pods, operator, namespaces))
    for name in namespaces:
        await operator.delete("Namespace", "", name)
    await _until(GOES_WITHIN_S, partial(_without, operator, namespaces))


async def _without_pods(operator: Operator, namespaces: Sequence[str]) -> bool:
    """End what pods there are; a ReplicaSet that is about to go may still make new ones."""
    found = [pod["metadata"] for name in namespaces for pod in await operator.list("Pod", name)]
    await asyncio.gather(*(operator.delete("Pod", pod["namespace"], pod["name"], grace_s=0) for pod in found))
    return not found


async def _without(operator: Operator, namespaces: Sequence[str]) -> bool:
    return not [name for name in namespaces if await operator.find("Namespace", "", name)]


async def _until(timeout_s: float, holds: Callable[[], Awaitable[bool]]) -> None:
    ends_s = _CLOCK.monotonic_s() + timeout_s
    while not await holds():
        if _CLOCK.monotonic_s() > ends_s:
            raise TimeoutError(f"not within {timeout_s:g} s")
        await _CLOCK.sleep(_LOOK_EVERY_S)
