"""The port Notifier over real HTTP: accepted, or to be tried again."""

from collections.abc import Callable

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from shared.adapters.webhook import WebhookNotifier
from shared.domain.errors import PrimumError, Retry
from shared.domain.frozen import JsonObject
from shared.ports.notifier import Notifier
from shared.testing.http_server import never_answering, nobody_listening, serving

MESSAGE: JsonObject = {"incident": "inc-1", "state": "escalated", "causes": [{"code": "crash-loop"}], "why": "größer"}


def receiving(response: Callable[[], Response], received: list[object] | None = None) -> Starlette:
    """A receiver that gives one answer, and keeps what it got."""

    async def hook(request: Request) -> Response:
        body = await request.json()
        if received is not None:
            received.append(body)
        return response()

    return Starlette(routes=[Route("/hook", hook, methods=["POST"])])


async def deliver(app: Starlette) -> None:
    """Notify such a receiver through the adapter."""
    async with serving(app) as url:
        notifier: Notifier = WebhookNotifier(f"{url}/hook", timeout_s=5)
        await notifier.notify(MESSAGE)


@pytest.mark.parametrize("code", [200, 202, 204])
async def test_the_whole_message_is_posted_as_json_and_any_2xx_accepts_it(code: int) -> None:
    """The receiver gets what was to be said, word for word, once."""
    received: list[object] = []
    await deliver(receiving(lambda: Response(status_code=code), received))
    assert received == [MESSAGE]


@pytest.mark.parametrize("code", [302, 400, 401, 404, 500, 503])
async def test_anything_but_2xx_is_to_be_tried_again(code: int) -> None:
    """A page is retried until it is accepted: even a 404 may be a receiver that is being set up."""
    with pytest.raises(Retry, match=f"answered {code}"):
        await deliver(receiving(lambda: Response(status_code=code, headers={"location": "/elsewhere"})))


@pytest.mark.parametrize(("asked", "waits_s"), [("7", 7.0), ("86400", 300.0), ("soon", 1.0)])
async def test_the_receivers_retry_after_is_honoured_up_to_five_minutes(asked: str, waits_s: float) -> None:
    """A receiver that limits its rate says when to come back; one that says tomorrow is not believed."""
    with pytest.raises(Retry) as raised:
        await deliver(receiving(lambda: Response(status_code=429, headers={"retry-after": asked})))
    assert raised.value.after_s == waits_s


async def test_a_receiver_that_hangs_is_to_be_tried_again_within_the_timeout() -> None:
    """Nobody waits longer than the timeout for a receiver that accepts and never answers."""
    async with never_answering() as url:
        with pytest.raises(Retry, match=r"did not answer within 0\.2 s"):
            await WebhookNotifier(f"{url}/hook", timeout_s=0.2).notify(MESSAGE)


async def test_nobody_listening_is_to_be_tried_again_and_the_urls_secret_is_not_told() -> None:
    """A webhook's path often is its password: the error names the host only."""
    async with nobody_listening() as url:
        with pytest.raises(Retry) as raised:
            await WebhookNotifier(f"{url}/services/T0/secret", timeout_s=5).notify(MESSAGE)
    assert "127.0.0.1" in str(raised.value)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("url", ["pager.example", "ftp://pager.example/hook", "http://", "http://pager:port"])
def test_what_is_no_http_address_is_refused_at_the_start(url: str) -> None:
    """A setting that can never work fails when the service starts, not when the first page should leave."""
    with pytest.raises(PrimumError, match="PRIMUM_NOTIFY_URL"):
        WebhookNotifier(url, timeout_s=5)
