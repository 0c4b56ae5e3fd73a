"""The commands that ask the gateway, as processes of their own, on a ledger that the other services have written."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from shared.adapters.nats_ledger import NatsLedger
from shared.adapters.nkey import OPERATOR, seed_file
from shared.domain.events import AlertJoined, Owner
from shared.domain.ids import IncidentId
from shared.domain.incident import State
from shared.testing.builders import T0, TRANSACTION, a_plan, an_alert, opened, owners_of, story_to
from shared.testing.command_line import CommandLine, Ran
from shared.testing.http_server import never_answering, nobody_listening, serving
from shared.testing.keys import write_keys

Ledgers = Callable[[Owner], NatsLedger]
Primum = Callable[..., Awaitable[Ran]]
PLAN = a_plan(destructive=True)


@pytest.fixture
def primum(gateway: httpx.AsyncClient, tmp_path: Path) -> Primum:
    """The command line, told where the gateway is."""
    command = CommandLine(tmp_path)
    url = str(gateway.base_url).rstrip("/")

    async def run(*arguments: str) -> Ran:
        return await command.again(*arguments, PRIMUM_GATEWAY_URL=url, PRIMUM_TOKEN="open-sesame")

    return run


async def tell(ledger: Ledgers, name: str, state: State) -> IncidentId:
    """Bring an incident to a state; its approvals run for a hundred years."""
    events = story_to(state, PLAN, at=T0.replace(year=2126))
    incident = await ledger(Owner.DETECTOR).open(IncidentId(name), opened(name))
    for event, owner in list(zip(events, owners_of(events), strict=True))[1:]:
        incident = await ledger(owner).append(incident, event)
    return incident.id


async def test_nothing_is_open(primum: Primum) -> None:
    """An empty list is an answer."""
    assert (await primum("incidents")).out.strip() == "nothing is open"
    assert (await primum("incidents", "--all")).out.strip() == "there never was one"


async def test_incidents_shows_what_needs_a_person(primum: Primum, ledger: Ledgers) -> None:
    """State, age, title and reason; what is over only with --all."""
    await tell(ledger, "inc-open", State.AWAITING_APPROVAL)
    await tell(ledger, "inc-over", State.CLOSED)
    shown = (await primum("incidents")).out
    assert "inc-open  awaiting approval" in shown
    assert "needs you" in shown
    assert "inc-over" not in shown
    assert "inc-over" in (await primum("incidents", "--all")).out


async def test_show_tells_the_whole_story_in_80_columns(primum: Primum, ledger: Ledgers) -> None:
    """Evidence, diff, verdict, health before and after, and who did what when."""
    await tell(ledger, "inc-1", State.RESOLVED)
    shown = (await primum("show", "inc-1")).out
    for said in (
        "cause  image-pull-failed at Deployment/shop/cart",
        "what was seen",
        "Deployment/shop/cart /spec/replicas: 1 -> 3",
        "verdict better",
        "1/3 -> 3/3",
        "kept: it helped",
        "mitigator",
    ):
        assert said in shown
    assert max(len(line) for line in shown.splitlines()) <= 80


async def test_show_as_json_is_what_the_gateway_says(
    primum: Primum, gateway: httpx.AsyncClient, ledger: Ledgers
) -> None:
    """One document, for other programs."""
    await tell(ledger, "inc-1", State.RESOLVED)
    assert (await primum("show", "inc-1", "--json")).json == (await gateway.get("/api/incidents/inc-1")).json()


async def test_the_beginning_of_an_id_is_enough_if_it_means_one(primum: Primum, ledger: Ledgers) -> None:
    """With or without the prefix; two that begin alike are named."""
    await tell(ledger, "inc-abcd", State.DETECTED)
    await tell(ledger, "inc-abxy", State.DETECTED)
    assert "inc-abcd" in (await primum("show", "inc-abc")).out
    assert "inc-abxy" in (await primum("show", "abx")).out
    assert "inc-abcd, inc-abxy" in (await primum("show", "ab")).error.replace(
        "inc-abxy, inc-abcd", "inc-abcd, inc-abxy"
    )


async def test_approve_shows_what_it_approves(primum: Primum, ledger: Ledgers) -> None:
    """Cause with evidence, diff, blast radius, undo; then it is on record under the user's name."""
    incident = await tell(ledger, "inc-1", State.AWAITING_APPROVAL)
    ran = await primum("approve", "inc-1", "--yes")
    for said in ("what was seen", "replicas: 1 -> 3", "touches", "is taken back by", "replicas: 3 -> 1", "destructive"):
        assert said in ran.err
    assert ran.out.strip() == "inc-1 is planning: approved by ada"
    assert (await ledger(Owner.MITIGATOR).fold(incident)).approved == PLAN.hash


async def test_approve_asks_and_without_an_answer_does_nothing(primum: Primum, ledger: Ledgers) -> None:
    """A pipe is nobody: --yes says that the plan was read elsewhere."""
    incident = await tell(ledger, "inc-1", State.AWAITING_APPROVAL)
    ran = await primum("approve", "inc-1")
    assert ran.status == 2
    assert "--yes" in ran.err.splitlines()[-1]
    assert (await ledger(Owner.MITIGATOR).fold(incident)).state is State.AWAITING_APPROVAL


async def test_approve_of_what_waits_for_nothing_is_an_error(primum: Primum, ledger: Ledgers) -> None:
    """It says where the incident stands."""
    await tell(ledger, "inc-1", State.DIAGNOSING)
    assert "it is diagnosing" in (await primum("approve", "inc-1", "--yes")).error


async def test_the_other_orders(primum: Primum, ledger: Ledgers) -> None:
    """Deny, take, pick, close; each says where the incident is then."""
    await tell(ledger, "inc-1", State.AWAITING_APPROVAL)
    assert (
        "planning: denied by bob: not now" in (await primum("deny", "inc-1", "--by", "bob", "--reason", "not now")).out
    )
    assert "is escalated" in (await primum("take", "inc-1")).out
    assert "is planning" in (await primum("pick", "inc-1", "--plan", PLAN.hash)).out
    assert "is escalated" in (await primum("take", "inc-1")).out
    assert "closed by ada: by hand" in (await primum("close", "inc-1", "--reason", "by hand")).out


async def test_undo_takes_a_transaction_back(primum: Primum, ledger: Ledgers) -> None:
    """By its name, as the timeline shows it."""
    await tell(ledger, "inc-1", State.RESOLVED)
    assert "is undoing" in (await primum("undo", TRANSACTION)).out


async def test_what_alerts_say_cannot_steer_the_terminal(primum: Primum, ledger: Ledgers) -> None:
    """Escape sequences in an annotation are shown as what they are: nothing."""
    incident = await tell(ledger, "inc-1", State.DETECTED)
    alert = an_alert().but(labels={"alertname": "\x1b[2J\x1b]0;owned\x07"})
    await ledger(Owner.DETECTOR).note(incident, AlertJoined(alert=alert, because="the same\nworkload\u202e"))
    ran = await primum("show", "inc-1")
    assert not {"\x1b", "\x07", "\u202e"} & set(ran.out)
    assert "owned" in ran.out
    assert "\x1b" not in (await primum("show", "inc-1", "--json")).out


async def test_without_a_gateway_it_says_how_to_get_one(tmp_path: Path) -> None:
    """Nobody listens there, or nothing was ever started."""
    command = CommandLine(tmp_path)
    async with nobody_listening() as url:
        assert f"no Primum found at {url}: start one" in (await command.again("status", PRIMUM_GATEWAY_URL=url)).error
    assert "no Primum found" in (await command.again("status")).error
    assert "no Primum found" in (await command.again("dead", "list")).error


async def test_another_server_is_no_gateway(tmp_path: Path) -> None:
    """A wrong URL is said to be one."""

    async def answer(_: Request) -> Response:
        return PlainTextResponse("welcome")

    async with serving(Starlette(routes=[Route("/{path:path}", answer)])) as url:
        said = (await CommandLine(tmp_path).again("status", PRIMUM_GATEWAY_URL=url)).error
    assert "is no gateway of Primum" in said


async def test_dead_letters_need_a_nats(tmp_path: Path) -> None:
    """They are read from the bus itself, with the operator's key."""
    key = seed_file(write_keys(tmp_path / "keys"), OPERATOR)
    async with nobody_listening() as url:
        bus = url.replace("http", "nats")
        without = (await CommandLine(tmp_path).again("dead", "list", PRIMUM_NATS_URL=bus)).error
        said = (
            await CommandLine(tmp_path).again("dead", "list", PRIMUM_NATS_URL=bus, PRIMUM_OPERATOR_NKEY_FILE=str(key))
        ).error
    assert "PRIMUM_OPERATOR_NKEY_FILE" in without
    assert "PRIMUM_NATS_URL" in said


async def test_a_gateway_that_hangs_is_given_up_on(tmp_path: Path) -> None:
    """In its time, with a word."""
    async with never_answering() as url:
        ran = await CommandLine(tmp_path).again("status", PRIMUM_GATEWAY_URL=url, PRIMUM_GATEWAY_TIMEOUT_S="0.3")
    assert "did not answer within 0.3 s" in ran.error
