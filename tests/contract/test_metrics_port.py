"""The port Metrics before a Prometheus: the lab's, or with `--on kubernetes` a real one that watches a real cluster."""

import math
from collections.abc import AsyncIterator, Sequence
from typing import Final

import pytest
import pytest_asyncio

from shared.adapters.prometheus import Prometheus
from shared.adapters.system import SystemClock
from shared.domain.cluster import Kind
from shared.domain.errors import MetricsUnavailable
from shared.measure import enrich
from shared.ports.metrics import Metrics, Series
from tests.contract.place import Watched, before_prometheus, in_the_lab

pytestmark = pytest.mark.asyncio(loop_scope="module")
ABOUT_A_CONTAINER: Final = {"namespace", "pod", "container"}
FAMILIES: Final = {
    "container_cpu_cfs_periods_total": ABOUT_A_CONTAINER,
    "container_cpu_cfs_throttled_periods_total": ABOUT_A_CONTAINER,
    "container_cpu_usage_seconds_total": ABOUT_A_CONTAINER,
    "container_memory_working_set_bytes": ABOUT_A_CONTAINER,
    "http_requests_total": {"namespace", "service", "code"},
    "kube_deployment_spec_replicas": {"namespace", "deployment"},
    "kube_deployment_status_replicas_available": {"namespace", "deployment"},
    "kube_endpoint_address_available": {"namespace", "endpoint"},
    "kube_pod_container_resource_limits": {*ABOUT_A_CONTAINER, "resource", "unit"},
    "kube_pod_container_status_restarts_total": ABOUT_A_CONTAINER,
    "kube_pod_status_ready": {"namespace", "pod", "condition"},
}
"""What teams write their alerts of, with the labels by which they and Primum tell whom it is about."""
CLOCK: Final = SystemClock()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def watched(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Watched]:
    """One cluster and one Prometheus for all tests here: what they change is not what another one looks at."""
    real, folder = request.config.getoption("--on") == "kubernetes", tmp_path_factory.mktemp("watched")
    async with before_prometheus(folder) if real else in_the_lab(folder) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def metrics(watched: Watched) -> AsyncIterator[Metrics]:
    """The port under contract."""
    async with Prometheus(watched.url, timeout_s=5) as prometheus:
        yield prometheus


async def shows(watched: Watched, metrics: Metrics, expression: str) -> Sequence[Series]:
    """The answer, once there is one: a scrape may be just before, and a rate takes two."""
    found: Sequence[Series] = ()

    async def is_there() -> bool:
        nonlocal found
        found = await metrics.query(expression)
        return bool(found)

    await watched.place.until(is_there)
    return found


@pytest.mark.parametrize("family", FAMILIES)
async def test_what_alerts_are_made_of_says_whom_it_is_about(watched: Watched, metrics: Metrics, family: str) -> None:
    """By the labels that the exporters of a real cluster give, and no sample is older than its evaluation."""
    found = await shows(watched, metrics, f'{family}{{namespace="{watched.place.namespace}"}}')
    assert [one.labels for one in found if not one.labels.keys() >= {*FAMILIES[family], "__name__"}] == []
    assert {one.labels["__name__"] for one in found} == {family}
    assert max(abs((CLOCK.now() - one.at).total_seconds()) for one in found) < 10


async def test_a_pod_is_ready_or_not_or_nobody_knows(watched: Watched, metrics: Metrics) -> None:
    """A series for each of the three, of which one is 1: an alert may be about any of them."""
    found = await shows(watched, metrics, f'kube_pod_status_ready{{namespace="{watched.place.namespace}"}}')
    said = {(one.labels["pod"], one.labels["condition"]): one.value for one in found}
    pods = {pod for pod, _ in said}
    assert {*said} == {(pod, condition) for pod in pods for condition in ("true", "false", "unknown")}
    assert [pod for pod in pods if sum(said[pod, each] for each in ("true", "false", "unknown")) != 1] == []


@pytest.mark.parametrize("counted", [enrich.COUNTED, enrich.FAILED])
async def test_the_requests_of_a_service_are_counted_and_their_rate_is_known(
    watched: Watched, metrics: Metrics, counted: str
) -> None:
    """As a verdict asks for them: one series a Service, since ever and in a window."""
    for expression in (enrich.requests(counted), enrich.recent_requests(counted, watched.window_s)):

        async def is_there(expression: str = expression) -> bool:
            known = [one.labels for one in await metrics.query(expression)]
            return {"namespace": watched.place.namespace, "service": watched.place.workload} in known

        await watched.place.until(is_there)


async def test_how_long_answers_take_is_known(watched: Watched, metrics: Metrics) -> None:
    """The quotient of two increases, which match by their labels."""
    service = (watched.place.namespace, watched.place.workload)

    async def is_measured() -> bool:
        found = await metrics.query(enrich.average_s(watched.window_s))
        said = {(one.labels["namespace"], one.labels["service"]): one.value for one in found}
        return 0 < said.get(service, 0) < 1

    await watched.place.until(is_measured)


async def test_what_pods_use_is_known_by_pod(watched: Watched, metrics: Metrics) -> None:
    """Cores over a window and bytes now, of every running pod."""
    pods = await watched.place.operator.list("Pod", watched.place.namespace, f"app={watched.place.workload}")
    wanted = {pod["metadata"]["name"] for pod in pods}
    for expression in (enrich.cpu_cores(watched.window_s), enrich.MEMORY_BYTES):

        async def is_measured(expression: str = expression) -> bool:
            used = {one.labels["pod"]: one.value for one in await metrics.query(expression)}
            return used.keys() >= wanted and all(used[pod] > 0 for pod in wanted)

        await watched.place.until(is_measured)


async def test_how_often_pods_wait_for_cpu_is_known(watched: Watched, metrics: Metrics) -> None:
    """As a part of their periods, between none and all."""
    namespace = watched.place.namespace

    async def is_measured() -> bool:
        found = await metrics.query(enrich.throttled(watched.window_s))
        waits = [one.value for one in found if one.labels["namespace"] == namespace and one.labels["pod"]]
        return bool(waits) and all(0 <= each <= 1 for each in waits)

    await watched.place.until(is_measured)


async def test_a_series_follows_its_object_and_goes_with_it(watched: Watched, metrics: Metrics) -> None:
    """What is gone has no series soon after: a symptom that was read of it would stay for ever."""
    place = watched.place
    about = f'{{namespace="{place.other_namespace}",deployment="{place.other}"}}'

    async def two_are_wanted() -> bool:
        return [one.value for one in await metrics.query(f"kube_deployment_spec_replicas{about}")] == [2.0]

    async def nothing_is_said() -> bool:
        return await metrics.query(f"kube_deployment_spec_replicas{about}") == ()

    deployment = place.ref(Kind.DEPLOYMENT, place.other).but(namespace=place.other_namespace)
    await place.edit(deployment, spec={"replicas": 2})
    await place.until(two_are_wanted)
    await place.operator.delete("Deployment", place.other_namespace, place.other)
    await place.until(nothing_is_said)


async def test_nothing_of_that_name_is_an_answer(metrics: Metrics) -> None:
    """An empty vector, and no error: that is known, not unknown."""
    assert await metrics.query("nothing_of_that_name") == ()


async def test_arithmetic_is_one_series_without_labels(metrics: Metrics) -> None:
    """A scalar."""
    (one,) = await metrics.query("1 + 2 * 3")
    assert (one.labels, one.value) == ({}, 7.0)


async def test_what_measured_nothing_is_left_out_and_infinity_stays(watched: Watched, metrics: Metrics) -> None:
    """0/0 and 1/0: Prometheus answers both, and a rule fires on the second."""
    wanted = f'kube_deployment_spec_replicas{{namespace="{watched.place.namespace}"}}'
    assert await shows(watched, metrics, wanted)
    assert await metrics.query(f"({wanted} - {wanted}) / 0") == ()
    assert {one.value for one in await metrics.query(f"{wanted} / 0")} == {math.inf}


async def test_an_expression_longer_than_a_url_is_answered(watched: Watched, metrics: Metrics) -> None:
    """An alert's may be; a server cuts a URL off at some kilobytes."""
    others = "|".join(f"nobody-{number}" for number in range(3000))
    expression = f'kube_deployment_spec_replicas{{deployment=~"{watched.place.workload}|{others}"}}'
    assert {one.labels["deployment"] for one in await shows(watched, metrics, expression)} == {watched.place.workload}


@pytest.mark.parametrize(
    "expression",
    ["", "sum(", "rate(http_requests_total)", "1 > 2", 'up{code=~"("}', "up{code=1}", "http_requests_total[5m]"],
)
async def test_what_cannot_be_evaluated_is_an_error_that_says_what_to_do(metrics: Metrics, expression: str) -> None:
    """Never an empty answer: a failed query is not `no alerts`."""
    with pytest.raises(MetricsUnavailable, match=r"correct the alert's expression|query API"):
        await metrics.query(expression)


async def test_it_says_since_when_it_runs(watched: Watched) -> None:
    """One that was started amid an incident is known for new, and its silence is not taken for health."""
    ages_s = 10 * 365 * 86_400.0
    async with Prometheus(watched.url, timeout_s=5, window_s=ages_s) as metrics:
        with pytest.raises(MetricsUnavailable, match=r"was started \d+ s ago"):
            await metrics.query("nothing_of_that_name")
