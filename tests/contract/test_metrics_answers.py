"""Prometheus over real HTTP, as its servers and those before it do answer: every way in which it is no answer."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from email.utils import format_datetime
from urllib.parse import parse_qsl

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from shared.adapters.prometheus import Prometheus
from shared.adapters.system import SystemClock
from shared.domain.errors import MetricsUnavailable
from shared.ports.metrics import Metrics, Series
from shared.testing.http_server import never_answering, nobody_listening, serving

CLOCK = SystemClock()


def answering(response: Callable[[], Response], asked: list[dict[str, str]] | None = None) -> Starlette:
    """A server that gives one answer to every query, and keeps what it was asked."""

    async def query(request: Request) -> Response:
        form = parse_qsl((await request.body()).decode())
        if asked is not None:
            asked.append(dict(form))
        return response()

    return Starlette(routes=[Route("/api/v1/query", query, methods=["POST"])])


def vector(*values: str, at: datetime | None = None) -> Response:
    """Prometheus's answer with a series a value, labelled with its place."""
    at_s = (at or CLOCK.now()).timestamp()
    result = [
        {"metric": {"__name__": "up", "n": str(place)}, "value": [at_s, value]} for place, value in enumerate(values)
    ]
    return JSONResponse({"status": "success", "data": {"resultType": "vector", "result": result}})


async def ask(app: Starlette, expression: str = "up") -> tuple[Series, ...]:
    """Query such a server through the adapter."""
    async with serving(app) as url, Prometheus(url, timeout_s=5) as prometheus:
        metrics: Metrics = prometheus
        return await metrics.query(expression)


async def test_a_vector_becomes_series_with_labels_value_and_time() -> None:
    """Each element keeps its labels, its number and the moment it was evaluated at."""
    at = CLOCK.now().replace(microsecond=0)
    (one,) = await ask(answering(lambda: vector("3.5", at=at)))
    assert one == Series(labels={"__name__": "up", "n": "0"}, value=3.5, at=at)


async def test_the_expression_arrives_as_it_was_written() -> None:
    """Quotes, braces and a length that no URL would carry reach the server whole."""
    expression = " or ".join(f'rate(http_requests_total{{code=~"5..",n="{n}"}}[60s]) > 0.05' for n in range(300))
    asked: list[dict[str, str]] = []
    await ask(answering(vector, asked), expression)
    assert [form["query"] for form in asked] == [expression]


async def test_an_empty_vector_is_an_answer() -> None:
    """Nothing matches: that is known, not unknown."""
    assert await ask(answering(vector)) == ()


async def test_a_scalar_is_one_series_without_labels() -> None:
    """`scalar(…)` and plain arithmetic answer one number."""
    data = {"resultType": "scalar", "result": [CLOCK.now().timestamp(), "0.25"]}
    (one,) = await ask(answering(lambda: JSONResponse({"status": "success", "data": data})))
    assert (one.labels, one.value) == ({}, 0.25)


async def test_nan_is_left_out_and_infinity_stays() -> None:
    """0/0 measured nothing; 1/0 is an error ratio that a rule does fire on."""
    series = await ask(answering(lambda: vector("NaN", "+Inf", "1")))
    assert [one.value for one in series] == [float("inf"), 1.0]


@pytest.mark.parametrize(
    ("response", "said"),
    [
        (
            lambda: JSONResponse({"status": "error", "errorType": "bad_data", "error": "parse error: x"}, 400),
            "parse error: x: correct the alert's expression",
        ),
        (
            lambda: JSONResponse({"status": "error", "errorType": "timeout", "error": "took too long"}, 503),
            "took too long: look at Prometheus's load",
        ),
        (lambda: PlainTextResponse("404 page not found", 404), "PRIMUM_PROMETHEUS_URL must be"),
        (lambda: PlainTextResponse("<html>sign in</html>"), "not that of Prometheus's query API: 200 '<html>sign in"),
        (lambda: JSONResponse({"status": "success", "data": {"resultType": "matrix", "result": []}}), "a vector"),
        (lambda: vector("1", at=CLOCK.now() - timedelta(hours=1)), "compare the clocks"),
        (lambda: Response(json.dumps({"status": "success"}).encode()), "PRIMUM_PROMETHEUS_URL"),
    ],
    ids=["bad-query", "overloaded", "not-found", "sign-in-page", "matrix", "stale", "cut-off"],
)
async def test_what_is_no_answer_is_an_error_that_says_what_to_do(response: Callable[[], Response], said: str) -> None:
    """A failed query is never `no alerts`: it raises, with advice."""
    with pytest.raises(MetricsUnavailable) as raised:
        await ask(answering(response))
    assert said in str(raised.value)


async def test_a_server_that_hangs_is_unavailable_within_the_timeout() -> None:
    """Nobody waits longer than the timeout for a Prometheus that accepts and never answers."""
    async with never_answering() as url, Prometheus(url, timeout_s=0.2) as prometheus:
        with pytest.raises(MetricsUnavailable, match=r"within 0\.2 s: check PRIMUM_PROMETHEUS_URL"):
            await prometheus.query("up")


def started(ago_s: float) -> Starlette:
    """A Prometheus that answers with an empty vector and runs for so long."""
    app = answering(vector)

    async def runtime(_: Request) -> Response:
        began = CLOCK.now() - timedelta(seconds=ago_s)
        headers = {"date": format_datetime(CLOCK.now(), usegmt=True)}
        return JSONResponse({"status": "success", "data": {"startTime": began.isoformat()}}, headers=headers)

    app.routes.append(Route("/api/v1/status/runtimeinfo", runtime))
    return app


async def test_a_prometheus_that_was_just_started_is_not_believed() -> None:
    """Until it has scraped a few times it answers from before it went, or with nothing: that is not `gone`."""
    async with serving(started(ago_s=20)) as url, Prometheus(url, timeout_s=5, window_s=60) as prometheus:
        with pytest.raises(MetricsUnavailable, match=r"was started (19|20|21) s ago .*: wait: .* 70 s"):
            await prometheus.query("up")


async def test_a_prometheus_that_runs_for_longer_is_believed() -> None:
    """And so is what has no such page: Thanos, Mimir, VictoriaMetrics."""
    async with serving(started(ago_s=71)) as url, Prometheus(url, timeout_s=5, window_s=60) as prometheus:
        assert await prometheus.query("up") == ()
    async with serving(answering(vector)) as url, Prometheus(url, timeout_s=5, window_s=60) as prometheus:
        assert await prometheus.query("up") == ()


async def test_nobody_listening_is_unavailable() -> None:
    """A refused connection says which setting to look at."""
    async with nobody_listening() as url, Prometheus(url, timeout_s=5) as prometheus:
        with pytest.raises(MetricsUnavailable, match="check PRIMUM_PROMETHEUS_URL"):
            await prometheus.query("up")


@pytest.mark.parametrize("url", ["prometheus:9090", "", "http://", "http://[bad"])
async def test_a_malformed_address_is_unavailable(url: str) -> None:
    """A URL without a scheme, or none at all, fails as clearly as a dead server."""
    with pytest.raises(MetricsUnavailable, match="PRIMUM_PROMETHEUS_URL"):
        async with Prometheus(url, timeout_s=5) as prometheus:
            await prometheus.query("up")
