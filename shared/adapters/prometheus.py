"""Prometheus's query API: the port Metrics."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Annotated, Final, Literal, NamedTuple, Self

import aiohttp
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from shared.adapters.loopback import is_loopback
from shared.adapters.system import SystemClock
from shared.domain.errors import MetricsUnavailable
from shared.ports.clock import Clock
from shared.ports.metrics import Series

STALE_AFTER_S: Final = 300.0
"""Prometheus's own lookback. An instant query is evaluated now: an older answer comes from a cache or a wrong clock."""
_SHOWN_BYTES: Final = 200
_SUCCESS: Final = 2
"""The first digit of 2xx."""
_LOOKS_A_WINDOW: Final = 4.0
_STARTS_S: Final = 10.0
"""What a Prometheus takes before its first scrape: it hands its targets on every five seconds, and spreads them."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore")


class _Element(_Part):
    metric: dict[str, str] = {}
    value: tuple[float, str]


class _Vector(_Part):
    result_type: Literal["vector"] = Field(alias="resultType")
    result: list[_Element]

    def elements(self) -> list[_Element]:
        return self.result


class _Scalar(_Part):
    result_type: Literal["scalar"] = Field(alias="resultType")
    result: tuple[float, str]

    def elements(self) -> list[_Element]:
        return [_Element(value=self.result)]


class _Success(_Part):
    status: Literal["success"]
    data: Annotated[_Vector | _Scalar, Field(discriminator="result_type")]


class _Failure(_Part):
    status: Literal["error"]
    error_type: str = Field(default="", alias="errorType")
    error: str = ""


_ANSWER: Final[TypeAdapter[_Success | _Failure]] = TypeAdapter(
    Annotated[_Success | _Failure, Field(discriminator="status")]
)


class Prometheus:
    """Instant queries to one server (or to what speaks its API: Thanos, Mimir, VictoriaMetrics, the lab).

    With a `window_s`, a Prometheus that did not yet scrape for so long is not believed: after a start it answers from
    before it went, or that there is nothing, and nothing in the answer says so.
    """

    def __init__(self, url: str, timeout_s: float, clock: Clock | None = None, window_s: float = 0.0) -> None:
        self._endpoint = url.rstrip("/") + "/api/v1/query"
        self._about = url.rstrip("/") + "/api/v1/status/runtimeinfo"
        self._timeout_s, self._settle_s = timeout_s, window_s and window_s + _STARTS_S
        self._clock = clock or SystemClock()
        self._believed_until_s = -math.inf
        # Not httpx, which takes four times the CPU for the same: a judgement asks six questions.
        timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._http = aiohttp.ClientSession(timeout=timeout, trust_env=not is_loopback(url))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()

    async def query(self, expression: str) -> tuple[Series, ...]:
        """As the port says. A series whose value is NaN is left out: nothing was measured there."""
        await self._must_have_settled()
        try:
            answer = await self._ask(expression)
        except MetricsUnavailable:
            self._believed_until_s = -math.inf  # it may be another one that answers next
            raise
        series = [_series(element) for element in answer.data.elements()]
        _refuse_stale(series, self._clock.now())
        return tuple(one for one in series if not math.isnan(one.value))

    async def _must_have_settled(self) -> None:
        """Look now and then for how long it runs; what has no such page (only Prometheus has) is believed."""
        now_s = self._clock.monotonic_s()
        if not self._settle_s or now_s < self._believed_until_s:
            return
        runs_s = _runs_s(await self._send("GET", self._about))
        if runs_s < self._settle_s:
            raise MetricsUnavailable(
                f"Prometheus was started {runs_s:.0f} s ago and has not measured enough yet",
                advice=f"wait: it is believed {self._settle_s:g} s after its start",
            )
        self._believed_until_s = now_s + self._settle_s / _LOOKS_A_WINDOW

    async def _ask(self, expression: str) -> _Success:
        # POST: an alert's expression may be longer than a URL may be.
        asked = {"query": expression, "timeout": f"{math.ceil(self._timeout_s)}s"}
        return _success(await self._send("POST", self._endpoint, asked), expression)

    async def _send(self, method: str, url: str, form: Mapping[str, str] | None = None) -> "_Answer":
        try:
            async with self._http.request(method, url, data=form, allow_redirects=False) as answer:
                return _Answer(answer.status, answer.headers.get("date", ""), await answer.read())
        except TimeoutError as error:
            raise MetricsUnavailable(f"Prometheus did not answer within {self._timeout_s:g} s") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:  # the last one: it is no URL
            raise MetricsUnavailable(f"Prometheus cannot be reached ({error})") from error


class _Answer(NamedTuple):
    status: int
    date: str
    body: bytes


class _Runtime(_Part):
    start_time: AwareDatetime = Field(alias="startTime")


class _RuntimeInfo(_Part):
    data: _Runtime


def _runs_s(answer: _Answer) -> float:
    """For how long it runs, by its own clock; for ever if it does not say."""
    try:
        began = _RuntimeInfo.model_validate_json(answer.body).data.start_time
        now = parsedate_to_datetime(answer.date)
    except ValueError:  # ValidationError is one
        return math.inf
    return (now - began).total_seconds()


def _success(response: _Answer, expression: str) -> _Success:
    try:
        answer = _ANSWER.validate_json(response.body)
    except ValidationError as error:
        start = " ".join(response.body[:_SHOWN_BYTES].decode(errors="replace").split())
        raise MetricsUnavailable(
            f"the answer is not that of Prometheus's query API: {response.status} {start!r}",
            advice="PRIMUM_PROMETHEUS_URL must be the address under which /api/v1/query answers a vector",
        ) from error
    match answer:
        case _Success() if response.status // 100 == _SUCCESS:
            return answer
        case _Failure(error_type="bad_data"):
            raise MetricsUnavailable(
                f"Prometheus refuses the query {expression!r}: {answer.error}", advice="correct the alert's expression"
            )
        case _Failure():
            raise MetricsUnavailable(
                f"Prometheus could not answer ({answer.error_type or response.status}): {answer.error}",
                advice="look at Prometheus's load and its log",
            )
        case _:
            raise MetricsUnavailable(f"Prometheus answered {response.status}")


def _series(element: _Element) -> Series:
    at_s, value = element.value
    return Series(labels=element.metric, value=float(value), at=datetime.fromtimestamp(at_s, UTC))


def _refuse_stale(series: list[Series], now: datetime) -> None:
    if series and (age_s := max((now - one.at).total_seconds() for one in series)) > STALE_AFTER_S:
        raise MetricsUnavailable(
            f"the answer is {age_s:.0f} s old", advice="compare the clocks, and look for a cache before Prometheus"
        )
