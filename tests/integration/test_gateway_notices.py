"""What needs a person leaves through the webhook: with the whole context, until it is accepted, and once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import httpx
import pytest
from nats.aio.client import Client
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from shared.adapters.nats_ledger import NatsLedger
from shared.adapters.system import SystemClock
from shared.domain.events import Noted, Owner, Proposed
from shared.domain.frozen import JsonObject
from shared.domain.ids import IncidentId
from shared.domain.incident import State
from shared.testing.builders import a_plan, opened, owners_of, story_to
from shared.testing.http_server import serving
from shared.testing.running import until

Ledgers = Callable[[Owner], NatsLedger]
StartGateway = Callable[..., Awaitable[httpx.AsyncClient]]


@dataclass
class Pager:
    """A receiver: what it was told, and how it answers, call by call."""

    url: str = ""
    answers: list[int] = field(default_factory=list)
    takes_s: float = 0.0
    heard: asyncio.Queue[JsonObject] = field(default_factory=asyncio.Queue)

    async def __call__(self, request: Request) -> Response:
        self.heard.put_nowait(await request.json())
        await SystemClock().sleep(self.takes_s)
        return Response(status_code=self.answers.pop(0) if self.answers else 200)

    async def told(self) -> JsonObject:
        """Wait for the next message."""
        async with asyncio.timeout(10):
            return await self.heard.get()


@pytest.fixture
async def pager() -> AsyncIterator[Pager]:
    """A receiver over HTTP."""
    async with AsyncExitStack() as stack:
        receiver = Pager()
        app = Starlette(routes=[Route("/page", receiver.__call__, methods=["POST"])])
        receiver.url = await stack.enter_async_context(serving(app)) + "/page"
        yield receiver


async def tell(ledger: Ledgers, name: str, state: State) -> IncidentId:
    """Bring an incident to a state."""
    events = story_to(state)
    incident = await ledger(Owner.DETECTOR).open(IncidentId(name), opened(name))
    for event, owner in list(zip(events, owners_of(events), strict=True))[1:]:
        incident = await ledger(owner).append(incident, event)
    return incident.id


async def test_an_escalation_is_told_with_its_context(
    start_gateway: StartGateway, connection: Client, ledger: Ledgers, pager: Pager
) -> None:
    """Who reads it on a phone at night needs no second system: alert, cause, evidence, and what to do."""
    assert connection.is_connected
    await start_gateway(notify_url=pager.url, public_url="http://primum.example")
    incident = await tell(ledger, "inc-1", State.ESCALATED)
    message = await pager.told()
    assert message["why"] == "escalated"
    assert "no plan is left" in str(message["text"])
    assert isinstance(message["causes"], list)
    assert isinstance(message["causes"][0], dict)
    assert message["causes"][0]["evidence"]
    assert "http://primum.example/api/incidents/inc-1" in str(message["do"])
    assert isinstance(message["incident"], dict)
    assert message["incident"]["id"] == incident


async def test_it_is_told_until_it_is_accepted_and_then_no_more(
    start_gateway: StartGateway, connection: Client, ledger: Ledgers, pager: Pager
) -> None:
    """A receiver that fails twice hears it three times; sweeps do not tell it again."""
    assert connection.is_connected
    pager.answers = [500, 503]
    await start_gateway(notify_url=pager.url, sweep_every_s=0.1)
    await tell(ledger, "inc-1", State.STUCK)
    told = [await pager.told() for _ in range(3)]
    assert len({str(message["id"]) for message in told}) == 1
    await tell(ledger, "inc-2", State.ESCALATED)  # what comes next is about the next incident
    assert (await pager.told())["id"] != told[0]["id"]
    assert pager.heard.empty()


async def test_an_undo_that_does_not_end_is_told_by_the_sweep(
    start_gateway: StartGateway, connection: Client, ledger: Ledgers, pager: Pager
) -> None:
    """Nothing happens in it any more that would wake anybody; once is enough."""
    assert connection.is_connected
    await start_gateway(notify_url=pager.url, sweep_every_s=0.1, undo_late_s=0.5)
    incident = await tell(ledger, "inc-1", State.UNDOING)
    told = await pager.told()
    assert (told["why"], str(told["id"]).startswith(f"{incident}.")) == ("undo_is_late", True)
    await tell(ledger, "inc-2", State.ESCALATED)
    assert (await pager.told())["why"] == "escalated"
    assert pager.heard.empty()


async def test_of_several_gateways_one_tells_it(
    start_gateway: StartGateway, connection: Client, ledger: Ledgers, pager: Pager
) -> None:
    """Both sweep over all that is open while the receiver is slow, and fails once: nothing is told twice."""
    assert connection.is_connected
    pager.answers, pager.takes_s = [503], 0.3
    for _ in range(2):
        await start_gateway(notify_url=pager.url, sweep_every_s=0.05)
    names = [await tell(ledger, f"inc-{number}", State.ESCALATED) for number in range(4)]
    heard = [str((await pager.told())["id"]) for _ in range(5)]

    async def all_noted() -> bool:
        return all([await ledger(Owner.GATEWAY).facts(name) for name in names])

    await until(all_noted, SystemClock())
    assert pager.heard.empty()
    assert len(set(heard)) == 4


async def test_the_timeline_says_that_a_person_was_told(
    start_gateway: StartGateway, connection: Client, ledger: Ledgers, pager: Pager
) -> None:
    """As a fact beside the events; a restarted gateway reads it and tells nothing again."""
    assert connection.is_connected
    gateway = await start_gateway(notify_url=pager.url)
    await tell(ledger, "inc-1", State.AWAITING_APPROVAL)
    await pager.told()

    async def noted() -> bool:
        return bool((await gateway.get("/api/incidents/inc-1")).json()["notes"])

    await until(noted, SystemClock())
    [note] = (await gateway.get("/api/incidents/inc-1")).json()["notes"]
    assert note.startswith("awaiting_approval (event ")
    assert note.endswith("): a person was told")


async def test_observe_mode_tells_nobody(
    start_gateway: StartGateway, connection: Client, ledger: Ledgers, pager: Pager
) -> None:
    """A proposal is for the report."""
    assert connection.is_connected
    await start_gateway(notify_url=pager.url, sweep_every_s=0.1)
    planning = await tell(ledger, "inc-1", State.PLANNING)
    folded = await ledger(Owner.MITIGATOR).fold(planning)
    await ledger(Owner.MITIGATOR).append(folded, Proposed(plan=a_plan(), diff=("a line",), reason="observe mode"))
    await tell(ledger, "inc-2", State.ESCALATED)
    assert str((await pager.told())["id"]).startswith("inc-2.")
    assert pager.heard.empty()


async def test_with_nobody_to_tell_it_is_on_record(
    start_gateway: StartGateway, connection: Client, ledger: Ledgers
) -> None:
    """The timeline says that no person was told, and why."""
    assert connection.is_connected
    await start_gateway()
    incident = await tell(ledger, "inc-1", State.ESCALATED)

    async def noted() -> bool:
        return bool(await ledger(Owner.GATEWAY).facts(incident))

    await until(noted, SystemClock())
    [note] = await ledger(Owner.GATEWAY).facts(incident)
    assert isinstance(note, Noted)
    assert note.text.endswith("nobody to tell, no PRIMUM_NOTIFY_URL")
