"""The lab's Prometheus over HTTP: `/metrics` as text, and instant queries under `/prometheus/api/v1/query`."""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from eval.lab.kinds import Obj
from eval.lab.metrics import exposition
from eval.lab.promql import PromqlError
from eval.lab.query import QueryEngine, Value
from eval.lab.series import Sample

PREFIX: Final = "/prometheus"
_RAN_FOR: Final = timedelta(days=30)
"""Before the shop opened: one that was just started would not be believed."""


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)


def _data(value: Value, at: float) -> Obj:
    if isinstance(value, float):
        return {"resultType": "scalar", "result": [at, _number(value)]}
    rows = [{"metric": dict(pairs), "value": [at, _number(number)]} for pairs, number in value.items()]
    return {"resultType": "vector", "result": rows}


def _bad(message: str) -> Response:
    body = {"status": "error", "errorType": "bad_data", "error": message}
    return Response(json.dumps(body), 400, media_type="application/json")


def _at(text: str | None, now: datetime) -> float:
    if text is None:
        return now.timestamp()
    try:
        return float(text)
    except ValueError:
        return datetime.fromisoformat(text).timestamp()


def routes(engine: QueryEngine, samples: Callable[[], Iterator[Sample]], wall: Callable[[], datetime]) -> list[Route]:
    """The routes; nothing here asks for a token, as nothing inside a cluster usually does."""
    began = wall() - _RAN_FOR

    async def metrics(_request: Request) -> Response:
        return PlainTextResponse(exposition(samples()), media_type="text/plain; version=0.0.4")

    async def query(request: Request) -> Response:
        params: Mapping[str, str] = request.query_params
        if request.method == "POST":
            try:
                form = await request.body()
            except ClientDisconnect:  # whoever asked was killed: nobody hears the answer
                return _bad("no body")
            params = {**params, **dict(parse_qsl(form.decode()))}
        if not params.get("query"):
            return _bad('invalid parameter "query": unknown position: parse error: no expression found in input')
        try:
            at = _at(params.get("time"), wall())
        except ValueError:
            return _bad(f'invalid parameter "time": cannot parse {params["time"]!r} to a valid timestamp')
        try:
            value = engine.instant(params["query"], at)
        except PromqlError as error:
            return _bad(f'invalid parameter "query": {error}')
        return Response(json.dumps({"status": "success", "data": _data(value, at)}), media_type="application/json")

    async def runtime(_request: Request) -> Response:
        body = {"status": "success", "data": {"startTime": began.isoformat()}}
        return Response(json.dumps(body), media_type="application/json")

    async def ready(_request: Request) -> Response:
        return PlainTextResponse("Prometheus Server is Ready.\n")

    return [
        Route("/metrics", metrics),
        Route(f"{PREFIX}/api/v1/query", query, methods=["GET", "POST"]),
        Route(f"{PREFIX}/api/v1/status/runtimeinfo", runtime),
        Route(f"{PREFIX}/-/ready", ready),
    ]
