"""The lab's PromQL: what it parses it answers as Prometheus does, the rest it refuses."""

import math

import pytest

from eval.lab.promql import PromqlError
from eval.lab.query import QueryEngine, Value
from eval.lab.series import SeriesStore, labels


@pytest.fixture
def engine() -> QueryEngine:
    """Four scrapes, 5 s apart, until t=15."""
    store = SeriesStore()
    for step in range(4):
        at = step * 5.0
        samples = [
            ("requests_total", labels(service="a", code="200"), 100.0 * step),
            ("requests_total", labels(service="a", code="503"), 25.0 * step),
            ("requests_total", labels(service="b", code="200"), 50.0 * step),
            ("restarts_total", labels(pod="p"), (10.0, 20.0, 5.0, 15.0)[step]),
            ("wanted", labels(deployment="x"), 3.0),
            ("wanted", labels(deployment="y"), 3.0),
            ("available", labels(deployment="x"), 1.0),
            ("available", labels(deployment="y"), 3.0),
        ]
        if step < 2:
            samples.append(("gone", labels(pod="q"), 1.0))
        store.scrape(at, samples)
    return QueryEngine(store)


def vector(value: Value) -> dict[str, float]:
    """Values by the labels' values."""
    assert isinstance(value, dict)
    return {"/".join(text for name, text in pairs if name != "__name__"): number for pairs, number in value.items()}


@pytest.mark.parametrize(
    ("expr", "expected"),
    [
        ('requests_total{service="a",code="200"}', {"200/a": 300.0}),
        ('requests_total{code!="200"}', {"503/a": 75.0}),
        ('requests_total{code=~"5.."}', {"503/a": 75.0}),
        ('{__name__="wanted",deployment="x"}', {"x": 3.0}),
        ("sum by (service) (requests_total)", {"a": 375.0, "b": 150.0}),
        ("sum(requests_total) by (service)", {"a": 375.0, "b": 150.0}),
        ("sum(requests_total)", {"": 525.0}),
        ("count(wanted)", {"": 2.0}),
        ("max by (code) (requests_total)", {"200": 300.0, "503": 75.0}),
        ('rate(requests_total{service="b"}[15s])', {"200/b": 10.0}),
        ('increase(requests_total{service="b"}[15s])', {"200/b": 150.0}),
        ("available < wanted", {"x": 1.0}),
        ("available / wanted", {"x": 1 / 3, "y": 1.0}),
        ("wanted > 2 * 2", {}),
        ("wanted - 1 == 2", {"x": 2.0, "y": 2.0}),
        ("max_over_time(gone[15s])", {"q": 1.0}),
        ("gone", {}),
        ("gone offset 10s", {"q": 1.0}),
        ('increase(requests_total{service="b"}[10s] offset 5s)', {"200/b": 100.0}),
        (
            'sum by (service) (rate(requests_total{code=~"5.."}[15s])) / sum by (service) (rate(requests_total[15s]))',
            {"a": 0.2},
        ),
    ],
)
def test_what_it_answers(engine: QueryEngine, expr: str, expected: dict[str, float]) -> None:
    """Selectors, matchers, aggregations, rates, arithmetic and comparisons; a stale series is not in an instant."""
    assert vector(engine.instant(expr, 15.0)) == pytest.approx(expected)


def test_a_counter_reset_is_no_decrease(engine: QueryEngine) -> None:
    """10, 20, then a restart at 5, 15: the growth in the window is 10 + 5 + 10."""
    grown = vector(engine.instant("increase(restarts_total[16s])", 15.0))["p"]
    assert 25 <= grown <= 27


def test_a_rate_of_one_sample_is_no_answer(engine: QueryEngine) -> None:
    """Under two samples there is no rate, and so no series: absence, never zero."""
    assert engine.instant("rate(requests_total[1s])", 15.0) == {}


def test_zero_divided_by_zero_is_not_a_number(engine: QueryEngine) -> None:
    """And it compares with nothing."""
    assert math.isnan(vector(engine.instant('(wanted{deployment="x"} - 3) / 0', 15.0))["x"])
    assert engine.instant('(wanted{deployment="x"} - 3) / 0 > 0', 15.0) == {}


@pytest.mark.parametrize(
    "expr",
    [
        "",
        "sum(",
        "histogram_quantile(0.9, x)",
        "sum without (a) (x)",
        "rate(x)",
        "x[5m]",
        "x offset -5m",
        "x offset 5m[5m]",
        "x and y",
        'x{a=~"("}',
        "topk(3, x)",
        "x{a=1}",
        "1 > 2",
    ],
)
def test_what_is_beyond_it_is_refused(engine: QueryEngine, expr: str) -> None:
    """A clear error, never a wrong number."""
    with pytest.raises(PromqlError):
        engine.instant(expr, 15.0)
