"""People's orders through the real API, on a ledger that the other services have written."""

import asyncio
from collections.abc import Awaitable, Callable

import httpx
import pytest

from shared.adapters.nats_ledger import NatsLedger
from shared.adapters.nats_server import EmbeddedNats
from shared.domain.events import Approved, Event, Owner, TransactionOpened, UndoRequested
from shared.domain.frozen import JsonObject
from shared.domain.ids import CorrelationKey, IncidentId
from shared.domain.incident import Incident, State
from shared.domain.transaction import Lock
from shared.testing.builders import T0, TRANSACTION, a_plan, a_ref, opened, owners_of, story_to

Ledgers = Callable[[Owner], NatsLedger]
INCIDENT = IncidentId("inc-1")
PLAN = a_plan()
API = f"/api/incidents/{INCIDENT}"
SAYS: JsonObject = {"plan_hash": PLAN.hash, "by": "ada"}


@pytest.fixture
def told(ledger: Ledgers) -> Callable[[State], Awaitable[Incident]]:
    """Bring the incident to a state, each event by its owner; the transaction takes its lock as the mitigator would."""

    async def tell(state: State) -> Incident:
        events = story_to(state, PLAN, at=T0.replace(year=2126))  # approvals must not be over
        lock = Lock(workload=a_ref(), incident=INCIDENT, transaction=TRANSACTION, held=True)
        incident = await ledger(Owner.DETECTOR).open(INCIDENT, opened())
        for event, owner in list(zip(events, owners_of(events), strict=True))[1:]:
            locks = (lock,) if isinstance(event, TransactionOpened) else ()
            incident = await ledger(owner).append(incident, event, locks=locks)
        return incident

    return tell


Told = Callable[[State], Awaitable[Incident]]


async def events_of(ledger: Ledgers) -> list[Event]:
    """What is on record."""
    return [record.event for record in await ledger(Owner.GATEWAY).history(INCIDENT)]


async def test_an_approval_is_on_record(gateway: httpx.AsyncClient, told: Told, ledger: Ledgers) -> None:
    """200, with where the incident stands now."""
    await told(State.AWAITING_APPROVAL)
    answer = await gateway.post(f"{API}/approve", json=SAYS)
    assert answer.status_code == 200
    assert answer.json()["summary"]["state"] == "planning"
    assert (await events_of(ledger))[-1] == Approved(plan_hash=PLAN.hash, by="ada")


async def test_two_people_approve_at_once(gateway: httpx.AsyncClient, told: Told, ledger: Ledgers) -> None:
    """Both get 200, and it is on record once: the loser of the race folds again and sees that it is so."""
    await told(State.AWAITING_APPROVAL)
    answers = await asyncio.gather(*(gateway.post(f"{API}/approve", json={**SAYS, "by": by}) for by in "abcdefgh"))
    assert {answer.status_code for answer in answers} == {200}
    assert sum(isinstance(event, Approved) for event in await events_of(ledger)) == 1


async def test_an_approval_of_another_plan_is_409(gateway: httpx.AsyncClient, told: Told) -> None:
    """The answer names the plan that waits."""
    await told(State.AWAITING_APPROVAL)
    answer = await gateway.post(f"{API}/approve", json={**SAYS, "plan_hash": "0123456789abcdef"})
    assert answer.status_code == 409
    assert PLAN.hash in answer.json()["error"]


async def test_an_approval_of_nothing_in_particular_is_400(gateway: httpx.AsyncClient, told: Told) -> None:
    """Without the hash it would approve whatever waits when it arrives."""
    await told(State.AWAITING_APPROVAL)
    answer = await gateway.post(f"{API}/approve", json={"by": "ada"})
    assert answer.status_code == 400
    assert "plan_hash" in answer.json()["error"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"plan_hash": "x", "by": "  "}', b'{"plan_hash": "x", "by": 1}'])
async def test_an_order_that_is_none_is_400(gateway: httpx.AsyncClient, body: bytes) -> None:
    """The advice shows how one looks."""
    answer = await gateway.post(f"{API}/approve", content=body)
    assert answer.status_code == 400
    assert "plan_hash" in answer.json()["advice"]


@pytest.mark.parametrize("verb", ["approve", "deny", "take", "pick", "close"])
@pytest.mark.parametrize("name", ["inc-unknown", "*", "a%2E%3E"])
async def test_an_unknown_incident_is_404(gateway: httpx.AsyncClient, verb: str, name: str) -> None:
    """Also one whose name would hit every subject there is."""
    body = {"by": "ada"} if verb in ("take", "close") else SAYS
    answer = await gateway.post(f"/api/incidents/{name}/{verb}", json=body)
    assert answer.status_code == 404
    assert "no incident" in answer.json()["error"]


async def test_an_order_out_of_place_is_409_and_says_where_it_stands(gateway: httpx.AsyncClient, told: Told) -> None:
    """Nothing is recorded."""
    await told(State.DIAGNOSING)
    answer = await gateway.post(f"{API}/approve", json=SAYS)
    assert answer.status_code == 409
    assert "it is diagnosing" in answer.json()["error"]


async def test_a_denied_plan_is_excluded(gateway: httpx.AsyncClient, told: Told, ledger: Ledgers) -> None:
    """The mitigator looks for another."""
    await told(State.AWAITING_APPROVAL)
    assert (await gateway.post(f"{API}/deny", json={**SAYS, "reason": "no"})).status_code == 200
    assert PLAN.hash in (await ledger(Owner.MITIGATOR).fold(INCIDENT)).excluded


async def test_taken_picked_and_closed(gateway: httpx.AsyncClient, told: Told, ledger: Ledgers) -> None:
    """The way of a person who takes over, lets Primum do its plan after all, and ends it."""
    await told(State.AWAITING_APPROVAL)
    assert (await gateway.post(f"{API}/take", json={"by": "ada"})).json()["summary"]["state"] == "escalated"
    assert (await gateway.post(f"{API}/pick", json=SAYS)).json()["summary"]["state"] == "planning"
    assert (await gateway.post(f"{API}/take", json={"by": "ada"})).json()["summary"]["state"] == "escalated"
    closed = await gateway.post(f"{API}/close", json={"by": "ada", "reason": "mended by hand"})
    assert closed.json()["summary"]["state"] == "closed"
    assert await ledger(Owner.DETECTOR).open_incident(CorrelationKey(opened().key)) is None


@pytest.mark.parametrize(("order", "body"), [("close", {"by": "ada"}), ("pick", SAYS)])
async def test_a_persons_decision_frees_the_locks_of_what_is_stuck(
    gateway: httpx.AsyncClient, told: Told, ledger: Ledgers, order: str, body: JsonObject
) -> None:
    """Until then nobody else may touch the workload; afterwards nothing is left that could keep them for ever."""
    await told(State.STUCK)
    before = await ledger(Owner.MITIGATOR).lock(a_ref())
    assert before is not None
    assert before.held
    assert (await gateway.post(f"{API}/{order}", json=body)).status_code == 200
    after = await ledger(Owner.MITIGATOR).lock(a_ref())
    assert after is not None
    assert not after.held


async def test_a_transaction_is_taken_back_by_its_name(gateway: httpx.AsyncClient, told: Told, ledger: Ledgers) -> None:
    """A person knows the transaction from the timeline; which incident it belongs to is the gateway's to find."""
    await told(State.RESOLVED)
    url = f"/api/transactions/{TRANSACTION}/undo"
    assert (await gateway.post(url, json={"by": "ada"})).json()["summary"]["state"] == "undoing"
    assert (await gateway.post(url, json={"by": "ada"})).status_code == 200
    assert sum(isinstance(event, UndoRequested) for event in await events_of(ledger)) == 1


async def test_an_unknown_transaction_is_404(gateway: httpx.AsyncClient, told: Told) -> None:
    """Nothing is guessed."""
    await told(State.RESOLVED)
    assert (await gateway.post("/api/transactions/txn-none/undo", json={"by": "ada"})).status_code == 404


async def test_pause_and_resume(gateway: httpx.AsyncClient, ledger: Ledgers) -> None:
    """Every service sees it in the ledger, with who and why."""
    assert (await gateway.post("/api/pause", json={"by": "ada"})).status_code == 400
    await gateway.post("/api/pause", json={"by": "ada", "reason": "release"})
    assert await ledger(Owner.MITIGATOR).paused() == "release (by ada)"
    assert (await gateway.get("/api/status")).json()["paused"] == "release (by ada)"
    await gateway.post("/api/resume", json={"by": "ada"})
    assert await ledger(Owner.MITIGATOR).paused() is None


async def test_incidents_are_listed_and_shown(gateway: httpx.AsyncClient, told: Told) -> None:
    """Lists in short; one whole, with its timeline, its plan and the fold itself."""
    incident = await told(State.AWAITING_APPROVAL)
    listed = (await gateway.get("/api/incidents", params={"open": "true"})).json()["incidents"]
    assert [(one["id"], one["state"], one["plan_hash"]) for one in listed] == [
        (INCIDENT, "awaiting_approval", PLAN.hash)
    ]
    shown = (await gateway.get(API)).json()
    assert Incident.model_validate(shown["incident"]) == incident
    assert [entry["type"] for entry in shown["timeline"]] == [
        "Opened",
        "DiagnosisStarted",
        "Diagnosed",
        "ApprovalRequested",
    ]
    assert shown["plan"]["hash"] == PLAN.hash


async def test_closed_ones_are_listed_only_among_all(gateway: httpx.AsyncClient, told: Told) -> None:
    """`open=true` is what goes on now."""
    await told(State.CLOSED)
    assert (await gateway.get("/api/incidents", params={"open": "true"})).json()["incidents"] == []
    assert len((await gateway.get("/api/incidents")).json()["incidents"]) == 1


@pytest.mark.parametrize("limit", ["0", "1001", "many", "-1"])
async def test_a_limit_that_is_none_is_400(gateway: httpx.AsyncClient, limit: str) -> None:
    """It says which are."""
    assert (await gateway.get("/api/incidents", params={"limit": limit})).status_code == 400


async def test_status_says_what_the_gateway_does(gateway: httpx.AsyncClient) -> None:
    """Each agent says it of itself; here only the gateway runs."""
    said = (await gateway.get("/api/status")).json()
    assert said["agents"] == {"gateway": "idle"}
    assert said["open"] == []


async def test_while_nats_is_away_orders_are_503(
    gateway: httpx.AsyncClient, told: Told, nats_server: EmbeddedNats
) -> None:
    """Nothing is said to be done that is not on record."""
    await told(State.AWAITING_APPROVAL)
    await nats_server.stop()
    answer = await gateway.post(f"{API}/approve", json=SAYS)
    assert answer.status_code == 503
    assert "PRIMUM_NATS_URL" in answer.json()["advice"]
