"""The running lab: alerts over a real webhook, queries over HTTP, and a clean end as a process of its own."""

import asyncio
import json
import signal
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from eval.lab.lab import Lab, LabSettings
from shared.testing.http_server import serving


@dataclass
class Receiver:
    """A webhook receiver that keeps what it got, and answers as it is told to."""

    url: str = ""
    answers: list[int] = field(default_factory=list)  # codes to answer first; then 202
    got: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    async def take(self, request: Request) -> Response:
        self.got.append((request.headers.get("authorization", ""), await request.json()))
        return Response(status_code=self.answers.pop(0) if self.answers else 202)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A receiver on a real socket."""
    found = Receiver()
    app = Starlette(routes=[Route("/alerts", found.take, methods=["POST"])])
    async with serving(app) as url:
        found.url = f"{url}/alerts"
        yield found


async def break_and_wait(lab: Lab) -> None:
    """Break a Service, and wait until the receiver was told."""
    await lab.until(lab.settled, timeout_s=20)
    lab.store.patch("Service", lab.shop.namespace, lab.shop.orders, {"spec": {"selector": {"app": "nobody"}}})
    await lab.until(lambda: bool(lab.alertmanager.deliveries), timeout_s=20)


async def test_alerts_arrive_with_the_token_and_are_recorded_as_delivered(receiver: Receiver) -> None:
    """What the sender lists as delivered is exactly what the receiver got."""
    async with Lab(LabSettings(seed=1, pace=60, webhook=receiver.url, webhook_token="t")) as lab:
        await break_and_wait(lab)
    token, payload = receiver.got[0]
    assert token == "Bearer t"
    assert payload["version"] == "4"
    received = {alert["fingerprint"] for _, body in receiver.got for alert in body["alerts"]}
    assert {delivery.fingerprint for delivery in lab.alertmanager.deliveries} <= received


async def test_a_5xx_is_tried_again_and_counts_as_nothing_until_it_is_taken(receiver: Receiver) -> None:
    """503 twice, then 202: the notification comes three times and is delivered once."""
    receiver.answers = [503] * 2
    async with Lab(LabSettings(seed=1, pace=60, webhook=receiver.url)) as lab:
        await break_and_wait(lab)
    assert len(receiver.got) >= 3
    assert not lab.alertmanager.refused


async def test_a_4xx_is_given_up(receiver: Receiver) -> None:
    """As Alertmanager gives up on 429; the group's next flush tries anew."""
    receiver.answers = [429]
    async with Lab(LabSettings(seed=1, pace=60, webhook=receiver.url)) as lab:
        await break_and_wait(lab)
        assert len(lab.alertmanager.refused) == 1


async def test_instant_queries_and_metrics_over_http() -> None:
    """Prometheus' JSON, its text format, and 400 bad_data for what is beyond the subset."""
    async with Lab(LabSettings(seed=1, pace=60)) as lab, httpx.AsyncClient(base_url=lab.prometheus_url) as http:
        await lab.until(lab.settled, timeout_s=20)
        answer = (await http.get("/api/v1/query", params={"query": "sum(kube_deployment_spec_replicas)"})).json()
        wanted = sum(item["spec"]["replicas"] for item in lab.store.list("Deployment"))
        assert answer["data"]["result"][0]["value"][1] == str(wanted)
        posted = await http.post("/api/v1/query", data={"query": "1 + 1"})
        assert posted.json()["data"]["result"][1] == "2"
        refused = await http.get("/api/v1/query", params={"query": "topk(1, x)"})
        assert (refused.status_code, refused.json()["errorType"]) == (400, "bad_data")
        text = (await http.get(lab.metrics_url)).text
        assert "# TYPE http_requests_total counter\n" in text


async def test_a_tick_of_the_idle_shop_is_cheap() -> None:
    """Five services share two cores with the lab: 50 ticks of 1 s take far less than their 2.5 s."""
    lab = Lab(LabSettings(seed=1))
    for second in range(60):
        lab.tick(float(second))
    began = time.thread_time()
    for second in range(60, 110):
        lab.tick(float(second))
    assert (time.thread_time() - began) / 50 < 0.02


async def test_as_a_process_it_says_where_it_is_and_ends_cleanly_on_sigterm() -> None:
    """One line of JSON when ready, exit status 0 after SIGTERM."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "eval.lab", "--seed", "4", stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        addresses = json.loads(await asyncio.wait_for(process.stdout.readline(), 20))
        async with httpx.AsyncClient(headers={"authorization": f"Bearer {addresses['token']}"}) as http:
            assert (await http.get(addresses["kubernetes"] + "/version")).json()["minor"] == "34"
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 10) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
