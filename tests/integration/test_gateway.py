"""The gateway's webhook over real HTTP on a real nats-server: 2xx means durable, and bad input gets a sentence."""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import httpx
import pytest
from nats.aio.client import Client

from services.gateway.app import duties
from services.gateway.settings import GatewaySettings
from shared.adapters.nats_server import EmbeddedNats
from shared.adapters.nats_stream import NatsStream
from shared.adapters.system import SystemClock
from shared.domain.alert import Alert, AlertStatus
from shared.domain.errors import PrimumError
from shared.domain.events import Owner
from shared.domain.frozen import Json, JsonObject
from shared.testing.http_server import nobody_listening
from shared.testing.keys import settings_of, write_keys
from shared.testing.running import RunningService, until

StartGateway = Callable[..., Awaitable[httpx.AsyncClient]]
WEBHOOK = "/webhooks/alertmanager"


def posted(fingerprint: str = "f1", **changes: Json) -> JsonObject:
    """One alert of a call."""
    return {
        "status": "firing",
        "labels": {"alertname": "HighErrorRate", "namespace": "shop"},
        "startsAt": "2026-01-01T12:00:00Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "fingerprint": fingerprint,
        **changes,
    }


def payload(*alerts: JsonObject) -> JsonObject:
    """A call of the webhook."""
    return {"version": "4", "status": "firing", "receiver": "primum", "alerts": list(alerts)}


async def stored(connection: Client) -> Sequence[Alert]:
    """What the stream holds."""
    found = await NatsStream(connection, "ALERTS", 5).after("primum.alert.>")
    return [Alert.model_validate_json(each.data) for each in found]


async def test_an_accepted_alert_is_in_the_stream(gateway: httpx.AsyncClient, connection: Client) -> None:
    """202 says how many are durable."""
    answer = await gateway.post(WEBHOOK, json=payload(posted("a"), posted("b")))
    assert (answer.status_code, answer.json()) == (202, {"stored": 2})
    assert {alert.fingerprint for alert in await stored(connection)} == {"a", "b"}


async def test_a_call_may_name_its_cluster(gateway: httpx.AsyncClient, connection: Client) -> None:
    """One gateway may serve senders of several clusters."""
    await gateway.post(f"{WEBHOOK}?cluster=eu-1", json=payload(posted()))
    assert [alert.cluster for alert in await stored(connection)] == ["eu-1"]


async def test_repeats_of_several_senders_are_stored_once(gateway: httpx.AsyncClient, connection: Client) -> None:
    """An HA pair sends the same alert twice, and each repeats it: it is one message."""
    answers = await asyncio.gather(*(gateway.post(WEBHOOK, json=payload(posted())) for _ in range(8)))
    assert {answer.status_code for answer in answers} == {202}
    assert len(await stored(connection)) == 1


async def test_a_resolved_alert_is_stored_beside_the_firing_one(gateway: httpx.AsyncClient, connection: Client) -> None:
    """The detector decides what it means."""
    resolved = posted(status="resolved", endsAt="2026-01-01T12:05:00Z")
    await gateway.post(WEBHOOK, json=payload(posted()))
    await gateway.post(WEBHOOK, json=payload(resolved))
    assert [alert.status for alert in await stored(connection)] == [AlertStatus.FIRING, AlertStatus.RESOLVED]


async def test_a_large_group_is_stored_whole(gateway: httpx.AsyncClient, connection: Client) -> None:
    """A storm in one call."""
    answer = await gateway.post(WEBHOOK, json=payload(*(posted(f"f{index}") for index in range(1000))))
    assert answer.json() == {"stored": 1000}
    assert len(await stored(connection)) == 1000


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"{not json", "not JSON"),
        (b"[1, 2]", "not an object"),
        (b'{"version": "3", "alerts": []}', 'not "4"'),
        (b'{"version": "4", "alerts": "none"}', "alerts"),
    ],
)
async def test_what_can_never_work_is_400_with_a_sentence(gateway: httpx.AsyncClient, body: bytes, says: str) -> None:
    """Alertmanager logs the answer and gives up: it must say why."""
    answer = await gateway.post(WEBHOOK, content=body)
    assert answer.status_code == 400
    assert says in answer.json()["error"]
    assert answer.json()["advice"]


async def test_one_wrong_alert_keeps_no_other_out(gateway: httpx.AsyncClient, connection: Client) -> None:
    """The call is answered 400 and names the wrong one; the right ones are stored."""
    answer = await gateway.post(WEBHOOK, json=payload(posted("good"), posted("bad", startsAt="noon")))
    assert (answer.status_code, answer.json()["stored"]) == (400, 1)
    assert answer.json()["refused"][0].startswith("alert 1: startsAt")
    assert [alert.fingerprint for alert in await stored(connection)] == ["good"]


async def test_a_cluster_that_is_no_name_is_400(gateway: httpx.AsyncClient) -> None:
    """It would become part of a subject."""
    assert (await gateway.post(f"{WEBHOOK}?cluster=a.*", json=payload())).status_code == 400


async def test_twenty_megabytes_are_413(gateway: httpx.AsyncClient) -> None:
    """A declared length is refused before the body is read."""
    answer = await gateway.post(WEBHOOK, content=b" " * 20_000_000)
    assert answer.status_code == 413
    assert "max_alerts" in answer.json()["advice"]


async def test_a_body_without_end_is_cut_off(gateway: httpx.AsyncClient) -> None:
    """Without a declared length it is counted while it comes, thrown away beyond the limit, and not for long."""
    sent_bytes = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent_bytes
        while sent_bytes < 1_000_000_000:
            sent_bytes += 65_536
            yield b" " * 65_536

    with contextlib.suppress(httpx.TransportError):  # it may still be sending when the connection is closed
        assert (await gateway.post(WEBHOOK, content=endless())).status_code == 413
    assert sent_bytes < 100_000_000
    assert (await gateway.get("/alive")).status_code == 200


async def test_a_sender_that_dawdles_is_408(start_gateway: StartGateway, connection: Client) -> None:
    """It is given its time, and then the connection is needed for others."""
    assert connection.is_connected
    url = (await start_gateway(read_timeout_s=0.2)).base_url
    reader, writer = await asyncio.open_connection(url.host, url.port)
    head = f"POST {WEBHOOK} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer open-sesame\r\nContent-Length: 100\r\n\r\n"
    writer.write(head.encode() + b'{"version":')
    async with asyncio.timeout(10):
        assert b" 408 " in await reader.readline()
        assert b"within 0.2 s" in await reader.read()  # it also closes the connection
    writer.close()
    await writer.wait_closed()


async def test_what_is_only_promised_keeps_nobody_out(start_gateway: StartGateway, connection: Client) -> None:
    """Room is for what came: senders that announce much and send nothing have none of it."""
    gateway = await start_gateway(max_body_bytes=1000, max_intake_bytes=1000)
    host, port = gateway.base_url.host, gateway.base_url.port
    head = f"POST {WEBHOOK} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer open-sesame\r\nContent-Length: 1000\r\n\r\n{{"
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(3):
            _, writer = await asyncio.open_connection(host, port)
            stack.callback(writer.close)
            writer.write(head.encode())
            await writer.drain()
        assert (await gateway.get("/alive")).status_code == 200
        assert (await gateway.post(WEBHOOK, json=payload(posted()))).status_code == 202
    assert len(await stored(connection)) == 1


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({"Authorization": ""}, "no token"),
        ({"Authorization": "Basic b3Blbi1zZXNhbWU="}, "no token"),
        ({"Authorization": "Bearer open-sesam"}, "wrong token"),
        ({"Authorization": "Bearer \u00fcber"}, "wrong token"),
    ],
)
async def test_a_stranger_is_401(
    gateway: httpx.AsyncClient, connection: Client, headers: dict[str, str], says: str
) -> None:
    """Nothing of a stranger's is read or stored, and nothing is shown to one."""
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    answer = await gateway.post(WEBHOOK, json=payload(posted()), headers=raw)
    assert answer.status_code == 401
    assert says in answer.json()["error"]
    assert (await gateway.get("/api/incidents", headers=raw)).status_code == 401
    assert await stored(connection) == []


async def test_health_and_metrics_need_no_token(gateway: httpx.AsyncClient) -> None:
    """Probes and Prometheus bear none; nothing private is there."""
    await gateway.post(WEBHOOK, content=b"{")
    bare = {"Authorization": ""}
    assert (await gateway.get("/ready", headers=bare)).status_code == 200
    metrics = (await gateway.get("/metrics", headers=bare)).text
    assert 'primum_calls_refused_total{path="/webhooks/alertmanager",reason="invalid"}' in metrics
    assert "primum_alerts_stored_total" in metrics


async def test_while_nats_is_frozen_it_is_503_at_once_and_nothing_is_doubled(
    start_gateway: StartGateway, nats_server: EmbeddedNats, connection: Client
) -> None:
    """One call finds out; those that come meanwhile do not wait with it. Sent again after it, all are stored once."""
    gateway = await start_gateway(store_timeout_s=3)
    clock = SystemClock()
    os.kill(nats_server.pid, signal.SIGSTOP)
    try:
        first = asyncio.ensure_future(gateway.post(WEBHOOK, json=payload(posted("a"))))
        await until(lambda: _refused_at_once(gateway), clock)
        assert not first.done()
    finally:
        os.kill(nats_server.pid, signal.SIGCONT)
    assert (await first).status_code in {202, 503}

    async def accepted() -> bool:
        return (await gateway.post(WEBHOOK, json=payload(posted("a"), posted("b")))).status_code == 202

    await until(accepted, clock)
    assert sorted(alert.fingerprint for alert in await stored(connection)) == ["a", "b"]


async def _refused_at_once(gateway: httpx.AsyncClient) -> bool:
    """Whether a call with nothing in it, which would never be stored, is refused for the storage's sake."""
    answer = await gateway.post(WEBHOOK, json=payload())
    return answer.status_code == 503 and "storage has not answered" in answer.json()["error"]


async def test_while_nats_is_away_it_is_503_and_nothing_is_lost(
    gateway: httpx.AsyncClient, nats_server: EmbeddedNats, connection: Client
) -> None:
    """503 makes Alertmanager send again (429 would not); what is sent again after the outage is stored once."""
    await nats_server.stop()
    answer = await gateway.post(WEBHOOK, json=payload(posted()))
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    assert "NATS" in answer.json()["advice"]
    await nats_server.start()

    async def accepted() -> bool:
        return (await gateway.post(WEBHOOK, json=payload(posted()))).status_code == 202

    await until(accepted, SystemClock())
    await until(lambda: _reconnected(connection), SystemClock())
    assert len(await stored(connection)) == 1


async def _reconnected(connection: Client) -> bool:
    return connection.is_connected


async def test_a_gateway_that_never_saw_nats_says_so(start_gateway: StartGateway) -> None:
    """It is alive, not ready, and answers 503 at once."""
    async with nobody_listening() as url:
        gateway = await start_gateway(ready=False, nats_url=url.replace("http", "nats"))
        assert (await gateway.get("/alive")).status_code == 200
        assert (await gateway.get("/ready")).status_code == 503
        assert (await gateway.post(WEBHOOK, json=payload(posted()))).status_code == 503
        assert (await gateway.get("/api/status")).status_code == 503


async def test_without_a_token_it_listens_to_this_machine_only(nats_server: EmbeddedNats, tmp_path: Path) -> None:
    """Anything else is refused at start, with what to do."""
    keys = settings_of(Owner.GATEWAY, write_keys(tmp_path))
    settings = GatewaySettings(nats_url=nats_server.url, host="0.0.0.0", **keys)  # noqa: S104 - what is refused
    service = RunningService(Owner.GATEWAY, settings, lambda bus: duties(settings, bus))
    with pytest.raises(PrimumError, match="PRIMUM_TOKEN"):
        duties(settings, service.bus)
    assert await service.ended() == 2


async def test_on_this_machine_no_token_is_needed(start_gateway: StartGateway, connection: Client) -> None:
    """Trying it out takes one command."""
    gateway = await start_gateway(token="")
    answer = await gateway.post(WEBHOOK, content=json.dumps(payload(posted())), headers={"Authorization": ""})
    assert answer.status_code == 202
    assert len(await stored(connection)) == 1
