"""What a snapshot learns from the metrics, and what it must not make up."""

from collections.abc import Mapping

import pytest

from shared.adapters.system import SystemClock
from shared.domain.cluster import Kind
from shared.domain.errors import MetricsUnavailable
from shared.domain.health import Latency, Traffic
from shared.domain.snapshot import Usage
from shared.measure.enrich import (
    BEFORE,
    COUNTED,
    FAILED,
    MEMORY_BYTES,
    average_s,
    cpu_cores,
    recent_requests,
    requests,
    said_by,
    throttled,
    with_metrics,
)
from shared.ports.metrics import Metrics, Series
from shared.testing.builders import a_ref, a_snapshot, a_workload

NOW = SystemClock().now()
WINDOW_S = 60.0


class Answers:
    """The port Metrics with fixed vectors by expression; an unknown expression matches nothing, None fails."""

    def __init__(self, vectors: Mapping[str, Mapping[str, float] | None]) -> None:
        self._vectors = vectors

    async def query(self, expression: str) -> tuple[Series, ...]:
        vector = self._vectors.get(expression, {})
        if vector is None:
            raise MetricsUnavailable("it is down")
        return tuple(Series(labels=_labels(said), value=value, at=NOW) for said, value in vector.items())


def _labels(said: str) -> dict[str, str]:
    """`namespace=shop,pod=x` as labels."""
    return dict(pair.split("=") for pair in said.split(",") if pair)


CART = "namespace=shop,service=cart"
BEFORE_THAT = [average_s(span * WINDOW_S, ago * WINDOW_S) for span, ago in BEFORE]
POD = "namespace=shop,pod=cart-1-a"
RECENT = recent_requests(COUNTED, WINDOW_S)
HEALTHY: dict[str, Mapping[str, float] | None] = {
    requests(COUNTED): {CART: 1000.0},
    requests(FAILED): {CART: 10.0},
    RECENT: {CART: 60.0},
    recent_requests(FAILED, WINDOW_S): {CART: 6.0},
    cpu_cores(WINDOW_S): {POD: 0.25},
    MEMORY_BYTES: {POD: 64e6},
    average_s(WINDOW_S): {CART: 0.8},
    BEFORE_THAT[0]: {CART: 0.7},
    BEFORE_THAT[1]: {CART: 0.02},
}
SHOP = a_snapshot(a_workload("cart"))


async def test_counters_their_recent_growth_and_use_come_by_name() -> None:
    """Services by `namespace/service`, pods by `namespace/pod`, and it says how many were measured."""
    metrics: Metrics = Answers(HEALTHY)
    snapshot = await with_metrics(SHOP, metrics, WINDOW_S)
    assert snapshot.traffic == {"shop/cart": Traffic(requests=1000.0, errors=10.0)}
    assert snapshot.recent == {"shop/cart": Traffic(requests=60.0, errors=6.0)}
    assert snapshot.usage == {"shop/cart-1-a": Usage(cpu_cores=0.25, memory_bytes=64e6)}
    assert snapshot.looked_at[-3:] == (
        "request metrics of 1 Services",
        "latencies of 1 Services",
        "CPU and memory metrics of 1 Pods",
    )
    assert snapshot.objects == SHOP.objects


async def test_what_pods_without_cpu_say_of_others_is_set_apart() -> None:
    """Who waits in most of its CPU periods finds everybody slow: of how long answers take it is not asked at all."""
    starved = said_by(COUNTED, ["cart-1-a"])
    others_say = average_s(WINDOW_S, but=["cart-1-a"])
    answers = {throttled(WINDOW_S): {POD: 0.8}, recent_requests(starved, WINDOW_S): {CART: 20.0}}
    failed = {recent_requests(said_by(FAILED, ["cart-1-a"]), WINDOW_S): {CART: 5.0}, others_say: {CART: 0.03}}
    snapshot = await with_metrics(SHOP, Answers({**HEALTHY, **answers, **failed}), WINDOW_S)
    assert snapshot.usage["shop/cart-1-a"].starved
    assert snapshot.doubtful == {"shop/cart": Traffic(requests=20.0, errors=5.0)}
    assert snapshot.credible(a_ref("cart", Kind.SERVICE)) == Traffic(requests=40.0, errors=1.0)
    assert snapshot.latency["shop/cart"].now_s == 0.03


def test_what_certain_pods_say_is_a_selector() -> None:
    """What comes of no pod, a mesh's or the users' own count, is everybody else's."""
    assert said_by(COUNTED, ["a", "b"]) == 'http_requests_total{pod=~"a|b"}'
    assert said_by(FAILED, ["a"], but=True) == 'http_requests_total{code=~"5..",pod!~"a"}'
    assert said_by(COUNTED, []) == COUNTED


async def test_a_service_that_never_failed_has_no_errors() -> None:
    """Prometheus has no series of failures then, and that is a zero: its requests were counted."""
    snapshot = await with_metrics(SHOP, Answers({**HEALTHY, requests(FAILED): {}}), WINDOW_S)
    assert snapshot.traffic["shop/cart"] == Traffic(requests=1000.0, errors=0.0)


async def test_what_was_not_measured_is_not_a_zero() -> None:
    """A new pod has memory before it has a rate of CPU seconds; a Service without series has no traffic."""
    answers = Answers({**HEALTHY, requests(COUNTED): {}, cpu_cores(WINDOW_S): {}})
    snapshot = await with_metrics(SHOP, answers, WINDOW_S)
    assert (snapshot.traffic, snapshot.usage) == ({}, {})


async def test_only_what_the_snapshot_holds_is_taken() -> None:
    """Other namespaces, deleted pods and series that name nothing stay out."""
    others = {"namespace=other,service=cart": 1.0, "service=cart": 2.0, "": 3.0, "namespace=shop,service=gone": 4.0}
    answers = Answers({**HEALTHY, requests(COUNTED): others, MEMORY_BYTES: {"namespace=shop,pod=gone": 1.0}})
    snapshot = await with_metrics(SHOP, answers, WINDOW_S)
    assert (snapshot.traffic, snapshot.usage) == ({}, {})


@pytest.mark.parametrize("failing", [requests(COUNTED), requests(FAILED), RECENT])
async def test_half_an_answer_about_requests_is_none_and_says_so(failing: str) -> None:
    """Requests without their errors would look like perfect health."""
    snapshot = await with_metrics(SHOP, Answers({**HEALTHY, failing: None}), WINDOW_S)
    assert (snapshot.traffic, snapshot.recent) == ({}, {})
    assert snapshot.usage
    assert any(said.startswith("not read: request metrics (it is down: check") for said in snapshot.looked_at)


async def test_without_an_answer_about_use_the_requests_still_count() -> None:
    """Each kind of measurement stands for itself."""
    snapshot = await with_metrics(SHOP, Answers({**HEALTHY, MEMORY_BYTES: None}), WINDOW_S)
    assert snapshot.usage == {}
    assert snapshot.traffic
    assert any(said.startswith("not read: CPU and memory metrics (it is down") for said in snapshot.looked_at)


async def test_what_answers_took_before_is_what_they_took_at_their_best() -> None:
    """A fault may have begun in the span just before the window: what was fast in any is slow now."""
    snapshot = await with_metrics(SHOP, Answers(HEALTHY), WINDOW_S)
    assert snapshot.latency == {"shop/cart": Latency(now_s=0.8, before_s=0.02)}


async def test_without_a_before_nothing_is_said_of_how_long_answers_take() -> None:
    """A Service that was made a moment ago is not slower than it was."""
    unknown: dict[str, Mapping[str, float] | None] = {query: {} for query in BEFORE_THAT}
    assert (await with_metrics(SHOP, Answers({**HEALTHY, **unknown}), WINDOW_S)).latency == {}


async def test_without_latencies_the_requests_still_count() -> None:
    """It says that nobody could look at them."""
    snapshot = await with_metrics(SHOP, Answers({**HEALTHY, average_s(WINDOW_S): None}), WINDOW_S)
    assert (snapshot.latency, bool(snapshot.traffic)) == ({}, True)
    assert any(said.startswith("not read: latencies (it is down") for said in snapshot.looked_at)


@pytest.mark.parametrize(("window_s", "written"), [(60.0, "[60s]"), (2.5, "[2500ms]")])
def test_a_window_is_written_as_promql_wants_it(window_s: float, written: str) -> None:
    """PromQL's durations are whole numbers of a unit."""
    assert written in cpu_cores(window_s)
    assert written in recent_requests(COUNTED, window_s)
