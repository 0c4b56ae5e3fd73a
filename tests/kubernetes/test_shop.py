"""The shop on a real cluster: it stands, its users are served, and its team hears of what breaks."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from eval.kubernetes import pki, programs
from eval.kubernetes.choice import CONTEXT
from eval.kubernetes.load import SLOW
from eval.kubernetes.opening import until_complete
from eval.kubernetes.past import ETCD
from eval.kubernetes.registry import private
from eval.kubernetes.relay import Relay
from eval.kubernetes.standing import Place, Standing, standing
from eval.lab.kinds import Obj
from eval.monitoring.monitoring import PROGRAMS
from eval.monitoring.program import missing
from eval.operator import operating
from shared.adapters.system import SystemClock
from shared.measure.enrich import MEMORY_BYTES
from shared.testing.http_server import serving

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.usefixtures("ours")]
SHOWS_WITHIN_S: Final = 60.0
LEAST_SERVED: Final = 50
"""So many requests in a row, and the shop is well again."""
CLOCK: Final = SystemClock()


async def until(holds: Callable[[], Awaitable[bool]], timeout_s: float = SHOWS_WITHIN_S) -> None:
    """Wait until it holds; fail if it never does."""
    ends_s = CLOCK.monotonic_s() + timeout_s
    while not await holds():
        assert CLOCK.monotonic_s() < ends_s, f"not within {timeout_s:g} s"
        await CLOCK.sleep(0.5)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def relay() -> AsyncIterator[Relay]:
    """What is told goes to a webhook that takes everything."""

    async def take(_: Request) -> Response:
        return Response(status_code=202)

    async with serving(Starlette(routes=[Route("/", take, methods=["POST"])])) as url, Relay() as between:
        between.to([url])
        yield between


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(tmp_path_factory: pytest.TempPathFactory, relay: Relay) -> AsyncIterator[Standing]:
    """One shop for all tests here; each mends what it breaks."""
    kubeconfig = Path(os.environ["KUBECONFIG"])
    if said := missing(*PROGRAMS) or programs.missing():
        pytest.skip(said)
    async with (
        operating(kubeconfig, os.environ[CONTEXT]) as operator,
        standing(Place(operator, pki.SERVER, ETCD), 1, tmp_path_factory.mktemp("shop"), print) as standing_shop,
    ):
        await standing_shop.monitoring.tell(relay.url, "open-sesame")
        yield standing_shop


async def failed(shop: Standing) -> int:
    """How many requests of the edge's users failed so far. That one was slow may be the machine's doing."""
    seen = (await shop.load.seen())[shop.shop.edge]
    return sum(count for outcome, count in seen.outcomes.items() if outcome not in {"200", SLOW})


async def served(shop: Standing) -> int:
    return (await shop.load.seen())[shop.shop.edge].ok


async def values(shop: Standing, expression: str) -> Mapping[str, float]:
    """What Prometheus says now, by pod."""
    answer = await shop.monitoring.http.get(f"{shop.monitoring.url}/api/v1/query", params={"query": expression})
    return {each["metric"]["pod"]: float(each["value"][1]) for each in answer.json()["data"]["result"]}


def of_container(change: Mapping[str, object]) -> Obj:
    return {"spec": {"template": {"spec": {"containers": [{"name": "app", **change}]}}}}


async def roll_back(shop: Standing, name: str, container: Obj) -> None:
    """Put the container back as it was, and wait until the shop is well."""
    steps = [{"op": "replace", "path": "/spec/template/spec/containers/0", "value": container}]
    await shop.operator.edit("Deployment", shop.shop.namespace, name, steps)
    await until_complete(shop.operator, shop.shop)
    since, broken = await served(shop), await failed(shop)

    async def nobody_fails_any_more() -> bool:  # pods of before take leave, and answer as they did until then
        nonlocal since, broken
        if await failed(shop) > broken:
            since, broken = await served(shop), await failed(shop)
        return await served(shop) >= since + LEAST_SERVED

    await until(nobody_fails_any_more)


async def container_of(shop: Standing, name: str) -> Obj:
    found = await shop.operator.get("Deployment", shop.shop.namespace, name)
    container: Obj = found["spec"]["template"]["spec"]["containers"][0]
    return container


async def statuses(shop: Standing, name: str) -> list[Obj]:
    """The statuses of the containers of a workload's pods."""
    pods = await shop.operator.list("Pod", shop.shop.namespace, labels=f"app={name}")
    return [status for pod in pods for status in pod["status"].get("containerStatuses", ())]


async def test_every_request_of_its_users_succeeds(shop: Standing) -> None:
    """Through DNS, Services, sign-in and the queue; two hundred of them."""
    before, broken = await served(shop), await failed(shop)

    async def two_hundred_more() -> bool:
        return await served(shop) >= before + 200

    await until(two_hundred_more)
    assert await failed(shop) == broken


async def test_prometheus_sees_every_pod_its_users_and_its_objects(shop: Standing) -> None:
    """All targets are up, and each of the shop's pods has its use of memory measured."""
    pods = await shop.operator.list("Pod", shop.shop.namespace)

    async def all_are_up() -> bool:
        found = await shop.monitoring.targets()
        seen = {each["labels"].get("pod") for each in found} >= {pod["metadata"]["name"] for pod in pods}
        jobs = {each["labels"]["job"] for each in found} == {"pods", "containers", "state", "users"}
        return seen and jobs and {each["health"] for each in found} == {"up"}

    async def use_is_measured() -> bool:
        return (await values(shop, MEMORY_BYTES)).keys() >= {pod["metadata"]["name"] for pod in pods}

    await until(all_are_up)
    await until(use_is_measured)


async def test_every_workload_is_a_month_old_with_two_older_revisions(shop: Standing) -> None:
    """What was rolled out just now would be suspected of whatever breaks; and there is something to go back to."""
    for item in await shop.operator.list("Deployment", shop.shop.namespace):
        name = item["metadata"]["name"]
        made = await shop.operator.list("ReplicaSet", shop.shop.namespace, labels=f"app={name}")
        images = [each["spec"]["template"]["spec"]["containers"][0]["image"] for each in made]
        newest = max(each["metadata"]["creationTimestamp"] for each in made)

        assert len({*images}) == 3
        assert newest < item["status"]["conditions"][0]["lastUpdateTime"]
        assert item["metadata"]["creationTimestamp"] < newest


async def test_a_wrong_image_reaches_the_webhook(shop: Standing, relay: Relay) -> None:
    """The registry says 404, the kubelet backs off, the rule fires, and both Alertmanagers tell of it."""
    name = shop.shop.cart
    before = await container_of(shop, name)
    await shop.operator.patch(
        "Deployment", shop.shop.namespace, name, of_container({"image": shop.shop.missing_image("cart")})
    )

    async def both_have_told() -> bool:
        told = {(each.labels["alertname"], each.labels.get("deployment"), each.sender) for each in relay.deliveries}
        return told >= {("DeploymentReplicasMismatch", name, sender) for sender in (0, 1)}

    await until(both_have_told)
    said = [each["state"].get("waiting", {}).get("message", "") for each in await statuses(shop, name)]
    assert any("not found" in message for message in said)
    await roll_back(shop, name, before)


async def test_a_private_image_is_refused_to_who_has_no_pull_secret(shop: Standing) -> None:
    """The registry answers 401, in its own words."""
    name, image = shop.shop.shipping, private(shop.shop.image("shipping"))
    before = await container_of(shop, name)
    await shop.registry.push({image: {}})
    await shop.operator.patch("Deployment", shop.shop.namespace, name, of_container({"image": image}))

    async def is_refused() -> bool:
        said = [each["state"].get("waiting", {}).get("message", "") for each in await statuses(shop, name)]
        return any("authorization failed" in message or "401" in message for message in said)

    await until(is_refused)
    await roll_back(shop, name, before)


async def test_memory_below_the_need_is_a_real_oom_kill(shop: Standing) -> None:
    """The program takes what it was built to need, and the kernel kills it."""
    name, low = shop.shop.payment, f"{round(shop.shop.memory_mib['payment'] * 0.6)}Mi"
    before = await container_of(shop, name)
    tight = of_container({"resources": {"limits": {"memory": low}, "requests": {"memory": low}}})
    await shop.operator.patch("Deployment", shop.shop.namespace, name, tight)

    async def is_killed() -> bool:
        ended = [each.get("lastState", {}).get("terminated", {}) for each in await statuses(shop, name)]
        return any((each.get("reason"), each.get("exitCode")) == ("OOMKilled", 137) for each in ended)

    await until(is_killed)
    await roll_back(shop, name, before)


async def test_a_wrong_password_fails_users_and_is_said_in_the_log(shop: Standing) -> None:
    """The pods are ready; the store refuses them, and who asks them gets an error."""
    name, broken = shop.shop.catalog, await failed(shop)
    before = await container_of(shop, name)
    await shop.operator.patch(
        "Deployment",
        shop.shop.namespace,
        name,
        of_container({"env": [{"name": "STORE_PASSWORD", "value": "wrong", "valueFrom": None}]}),
    )

    async def users_feel_it() -> bool:
        return await failed(shop) > broken + 10

    await until(users_feel_it)
    refused = f'increase(http_requests_total{{service="{shop.shop.store}",code="401"}}[30s]) > 0'

    async def it_is_counted() -> bool:
        return any(pod.startswith(name) for pod in await values(shop, refused))

    await until(it_is_counted)
    await roll_back(shop, name, before)


async def release(shop: Standing, name: str, variable: str, value: str) -> None:
    """Roll out a changed variable, and wait until it is out."""
    change = of_container({"env": [{"name": variable, "value": value}]})
    await shop.operator.patch("Deployment", shop.shop.namespace, name, change)
    await until_complete(shop.operator, shop.shop)


async def test_nobody_feels_a_release_of_what_drains(shop: Standing) -> None:
    """On SIGTERM it is not ready any more, takes what still comes, and finishes it."""
    name, broken = shop.shop.edge, await failed(shop)
    before = await container_of(shop, name)
    await release(shop, name, "RELEASE", "1")
    assert await failed(shop) == broken
    await roll_back(shop, name, before)


async def test_users_feel_a_release_of_what_ends_abruptly(shop: Standing) -> None:
    """The very same release, of a service that is told to end at once."""
    name = shop.shop.edge
    before = await container_of(shop, name)
    await release(shop, name, "SHUTDOWN", "abrupt")
    broken = await failed(shop)
    for number in range(6):
        await release(shop, name, "RELEASE", str(number))
        if await failed(shop) > broken:
            break
    assert await failed(shop) > broken
    await roll_back(shop, name, before)
