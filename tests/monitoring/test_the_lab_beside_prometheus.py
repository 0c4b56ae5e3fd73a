"""The lab's Prometheus beside the real one: the same format, the same rules, the same answers to the same samples."""

import math
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import pytest_asyncio

from eval.lab.metrics import FAMILIES, exposition
from eval.lab.query import QueryEngine, Value
from eval.lab.rehearsal import Rehearsal
from eval.lab.rules import rules
from eval.lab.series import Sample, SeriesStore, labels
from eval.monitoring.ground import PACE
from eval.monitoring.monitoring import rules_file
from eval.monitoring.program import Program
from eval.ports import free_ports
from shared.adapters.prometheus import Prometheus
from shared.domain.errors import MetricsUnavailable
from shared.measure import enrich

WINDOW_S: Final = 30.0
EXPRESSIONS: Final = (
    *(rule.expr for rule in rules(pace=1)),
    enrich.requests(enrich.COUNTED),
    enrich.requests(enrich.FAILED),
    enrich.recent_requests(enrich.COUNTED, WINDOW_S),
    enrich.recent_requests(enrich.FAILED, WINDOW_S),
    enrich.cpu_cores(WINDOW_S),
    enrich.MEMORY_BYTES,
    "kube_node_status_condition",
    "kube_endpoint_address_available != 0",
    "0 == kube_endpoint_address_available",
    "-kube_deployment_spec_replicas",
    "kube_deployment_spec_replicas - 2 * 1.5 / 4",
    "kube_deployment_status_replicas_available / kube_deployment_spec_replicas",
    "(kube_deployment_spec_replicas - 2) / (kube_deployment_spec_replicas - 2)",
    "kube_deployment_spec_replicas / 0 > 1",
    "kube_deployment_status_replicas_available <= kube_deployment_spec_replicas",
    "sum(kube_deployment_spec_replicas)",
    "count by (namespace) (kube_pod_status_ready)",
    "max by (node, pod) (container_memory_working_set_bytes)",
    "min(container_memory_working_set_bytes) by (node)",
    "avg by (service) (rate(http_requests_total[45s]))",
    'increase(http_requests_total{code!="200"}[17s])',
    'rate(http_requests_total{code=~"5..|2.0",service!~"nothing.*"}[1m3s])',
    'max_over_time(kube_pod_status_ready{condition="true"}[40s])',
    "rate(http_requests_total[3s])",
    "rate(kube_pod_container_status_restarts_total[1m])",
    "rate(odd_total[13s])",
    "rate(odd_total[41s])",
    "increase(odd_total[33s])",
    "max_over_time(odd_total[38s])",
    "nothing_of_that_name",
    "1 + 2 * 3",
)
REFUSED: Final = (
    "",
    "sum(",
    "rate(http_requests_total)",
    "1 > 2",
    'up{code=~"("}',
    "up{code=1}",
    "http_requests_total[5m]",
)


def promtool(*arguments: str, said: str = "") -> str:
    """What it complains of; empty if nothing."""
    run = subprocess.run(  # noqa: S603 - our own arguments
        ["promtool", *arguments],  # noqa: S607 - wherever this machine has it
        input=said,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return "" if run.returncode == 0 else run.stdout + run.stderr


@pytest.fixture(scope="module")
def lab() -> Rehearsal:
    """A shop in trouble: one Service selects nothing, one Deployment crashes, so that all families have samples."""
    world = Rehearsal(seed=7)
    world.until(world.settled)
    shop = world.shop
    world.store.patch("Service", shop.namespace, shop.services["store"], {"spec": {"selector": {"app": "nobody"}}})
    world.run(40)
    return world


def test_promtool_accepts_what_the_lab_exports() -> None:
    """Every family, with its type and help, by the names that the real exporters use."""
    world = Rehearsal(seed=7)
    world.until(world.settled)
    world.edit_container(world.shop.services["cart"], image="registry.example/nothing:1")
    world.run(40)
    text = exposition(world.exporter.samples(world.now_s))

    assert [name for name in FAMILIES if f"# TYPE {name} " not in text] == []
    assert promtool("check", "metrics", said=text) == ""


def test_promtool_accepts_the_labs_rules(tmp_path: Path) -> None:
    """As a file, with their waiting times and templates."""
    (tmp_path / "rules.yml").write_text(rules_file(rules(PACE), PACE))

    assert promtool("check", "rules", str(tmp_path / "rules.yml")) == ""


@pytest.fixture(scope="module")
def store(lab: Rehearsal) -> SeriesStore:
    """What the lab's Prometheus scraped, and counters beside it that behave oddly."""
    scrapes: dict[float, list[Sample]] = {}
    for name in lab.series.names():
        for series in lab.series.family(name):
            for at, value in zip(series.times, series.values, strict=True):
                scrapes.setdefault(at, []).append((name, series.labels, value))
    kept = SeriesStore()
    for number, (at, samples) in enumerate(sorted(scrapes.items())):
        kept.scrape(at, [*samples, *_odd(number, len(scrapes) - number)])
    return kept


def _odd(number: int, left: int) -> Iterator[Sample]:
    """Counters that are reset, that were born just now, that miss scrapes, that stand still.

    Those born or missed begin far above zero: how a guess at their beginning may not fall below it was mended in
    Prometheus after the version that Debian has (pull request 13725), and the lab does as the newer ones.
    """
    yield "odd_total", labels(case="reset"), (10.0, 20.0, 5.0, 15.0, 15.0, 0.0)[number % 6]
    yield "odd_total", labels(case="still"), 1e15
    if left <= 3:
        yield "odd_total", labels(case="newborn"), 1004.0 - left
    if number % 2 == 0 or left <= 2:
        yield "odd_total", labels(case="gaps"), 1000 + number**2 / 7


def open_metrics(store: SeriesStore) -> str:
    """All its samples, with their times."""
    lines: list[str] = []
    for name in store.names():
        for series in store.family(name):
            said = ",".join(f'{key}="{value}"' for key, value in series.labels)
            moments = zip(series.times, series.values, strict=True)
            lines += [f"{name}{{{said}}} {value!r} {at!r}\n" for at, value in moments]
    return "".join([*lines, "# EOF\n"])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def prometheus(store: SeriesStore, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Program]:
    """A real Prometheus that holds the same samples, and scrapes nothing."""
    folder = tmp_path_factory.mktemp("prometheus")
    (folder / "samples").write_text(open_metrics(store))
    (folder / "prometheus.yml").write_text("{}")
    data, port = folder / "data", free_ports(1)[0]
    assert promtool("tsdb", "create-blocks-from", "openmetrics", str(folder / "samples"), str(data)) == ""
    arguments = (
        "prometheus",
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={data}",
        "--storage.tsdb.retention.time=100y",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    )
    async with Program("prometheus", arguments, f"http://127.0.0.1:{port}", folder) as running:
        yield running


async def answer(prometheus: Program, expression: str, at: float) -> Mapping[str, Any]:
    """What the real one says at a moment."""
    async with httpx.AsyncClient(base_url=prometheus.url, trust_env=False, timeout=10) as http:
        said: Mapping[str, Any] = (await http.post("/api/v1/query", data={"query": expression, "time": at})).json()
        return said


def numbers(said: Mapping[str, Any]) -> dict[str, float]:
    """A real answer as values by labels."""
    data = said["data"]
    if data["resultType"] == "scalar":
        return {"": float(data["result"][1])}
    return {str(sorted(each["metric"].items())): float(each["value"][1]) for each in data["result"]}


def the_labs(value: Value) -> dict[str, float]:
    """The lab's answer likewise."""
    if isinstance(value, float):
        return {"": value}
    return {str(sorted(pairs)): number for pairs, number in value.items()}


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("before_s", [-1.3, 12.4])
@pytest.mark.parametrize("expression", EXPRESSIONS)
async def test_the_lab_answers_as_prometheus_does(
    lab: Rehearsal, store: SeriesStore, prometheus: Program, expression: str, before_s: float
) -> None:
    """The same series with the same numbers, for all that Primum asks, all rules, and all that the lab claims to know.

    Between two scrapes: at the very edge of a window Prometheus itself changed its mind (3.0 leaves the left one out).
    """
    at = lab.sampled_at.timestamp() - before_s
    real, said = numbers(await answer(prometheus, expression, at)), the_labs(QueryEngine(store).instant(expression, at))

    assert said == pytest.approx(real, nan_ok=True)


def test_most_expressions_have_an_answer(lab: Rehearsal) -> None:
    """Two empty answers are equal, too: that must not be what this compares."""
    at = lab.sampled_at.timestamp() + 1.3
    empty = [each for each in EXPRESSIONS if not the_labs(lab.queries.instant(each, at))]

    assert len(empty) <= len(EXPRESSIONS) // 4


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("expression", REFUSED)
async def test_what_the_lab_refuses_as_wrong_prometheus_refuses_too(prometheus: Program, expression: str) -> None:
    """And Primum's adapter says so: a wrong expression is an error, never `no alerts`."""
    async with Prometheus(prometheus.url, timeout_s=5) as metrics:
        with pytest.raises(MetricsUnavailable, match=r"correct the alert's expression|query API"):
            await metrics.query(expression)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("expression", "values"),
    [
        ("vector(3.5)", [3.5]),
        ("scalar(vector(0.25))", [0.25]),
        ("vector(0) / 0", []),
        ("vector(1) / 0", [math.inf]),
        ("absent(nothing_of_that_name) - 1", [0.0]),
        ("nothing_of_that_name", []),
        (" or ".join(f'rate(x{{code=~"5..",n="{n}"}}[60s]) > 0.05' for n in range(300)) + " or vector(7)", [7.0]),
    ],
    ids=["vector", "scalar", "nan", "infinity", "absent", "empty", "longer-than-a-url"],
)
async def test_the_adapter_reads_the_real_one(prometheus: Program, expression: str, values: list[float]) -> None:
    """The port's contract, against what it is for."""
    async with Prometheus(prometheus.url, timeout_s=5) as metrics:
        assert [one.value for one in await metrics.query(expression)] == values


@pytest.mark.asyncio(loop_scope="module")
async def test_the_real_one_says_since_when_it_runs(prometheus: Program) -> None:
    """So one that was started amid an incident is seen to be new, and its silence is not taken for health."""
    async with Prometheus(prometheus.url, timeout_s=5, window_s=3600) as metrics:
        with pytest.raises(MetricsUnavailable, match=r"was started \d+ s ago"):
            await metrics.query("nothing_of_that_name")
