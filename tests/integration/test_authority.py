"""Who may say what on the bus, held against a real nats-server: by permissions, and past them by signatures."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from nats.aio.client import Client
from prometheus_client import REGISTRY

from shared.adapters import nats_events
from shared.adapters.nats_connection import User, Watcher, advice_for, connect_for_ever, connected, open_to_all
from shared.adapters.nats_inbox import NatsInbox
from shared.adapters.nats_kv import NatsClaims, NatsHeartbeats
from shared.adapters.nats_ledger import NatsLedger
from shared.adapters.nats_server import EmbeddedNats
from shared.adapters.nats_stream import NatsStream, Stored
from shared.adapters.nkey import Keyring
from shared.adapters.seal import FOLLOWS, OWNER, SIGNATURE, Seal
from shared.adapters.system import SystemClock
from shared.bus import streams, subjects
from shared.bus.permissions import publishes
from shared.bus.settings import BusSettings
from shared.bus.setup import Plan, set_up
from shared.domain.errors import LedgerUnavailable
from shared.domain.events import (
    AlertJoined,
    Approved,
    Cleared,
    Diagnosed,
    DiagnosisStarted,
    Event,
    Owner,
    Recorded,
    Relapsed,
)
from shared.domain.health import Symptom
from shared.domain.ids import CorrelationKey, EventId, IncidentId, PlanHash, TransactionId
from shared.domain.incident import Incident, State
from shared.domain.transaction import Lock
from shared.testing.builders import T0, a_reading, a_ref, an_alert, opened, story_to
from shared.testing.keys import connect_as, key_of, operator, seal_of

A, B = IncidentId("inc-a"), IncidentId("inc-b")
Ledgers = Callable[[Owner], NatsLedger]
PLAN = PlanHash("0123456789abcdef")


@asynccontextmanager
async def as_service(owner: str, server: EmbeddedNats) -> AsyncIterator[tuple[Client, list[str]]]:
    """Connect with a service's own key, and hear what the server denies."""
    denied: list[str] = []

    async def on_error(error: Exception) -> None:
        denied.append(str(error).lower())

    client = await connect_as(owner, server.url, error_cb=on_error)
    try:
        yield client, denied
    finally:
        await client.close()


async def settled(client: Client) -> None:
    """Wait until the server has judged what was sent: nats-py's ping overtakes what is still in its buffer, once."""
    await client.flush()
    await client.flush()


async def is_denied(client: Client, denied: list[str], subject: str, data: bytes = b"{}") -> bool:
    """Whether the server refuses a message on that subject."""
    denied.clear()
    await client.publish(subject, data)
    await settled(client)
    return any(subject.lower() in said for said in denied)


NOT_THEIRS = {
    Owner.GATEWAY: ["primum.ledger.inc-a.Opened", "primum.lock.x.y", "primum.fact.inc-a.alert-joined"],
    Owner.DETECTOR: ["primum.ledger.inc-a.Approved", "primum.alert.lab.f1", "primum.lock.x", subjects.PAUSE],
    Owner.DIAGNOSER: ["primum.ledger.inc-a.Kept", "primum.open.x", "primum.lock.x", "$KV.primum_heartbeats.m"],
    Owner.MITIGATOR: ["primum.ledger.inc-a.Approved", "primum.ledger.inc-a.Undone", "$KV.primum_claims.p"],
    Owner.UNDO: ["primum.ledger.inc-a.TransactionOpened", "primum.ledger.inc-a.Diagnosed", "primum.timer.mitigator.x"],
}
NOBODYS = [
    "$JS.API.STREAM.UPDATE.LEDGER",
    "$JS.API.STREAM.DELETE.LEDGER",
    "$JS.API.STREAM.PURGE.LEDGER",
    "$JS.API.STREAM.CREATE.MINE",
    "$JS.API.STREAM.MSG.DELETE.LEDGER",
    "$JS.API.CONSUMER.CREATE.LEDGER",
    "$JS.API.CONSUMER.CREATE.LEDGER.mine",
    "$JS.API.CONSUMER.DURABLE.CREATE.LEDGER.mine",
    "$JS.API.CONSUMER.DELETE.LEDGER.detector",
    "primum.fired.undo.inc-a",
]


@pytest.mark.parametrize("owner", Owner)
async def test_the_server_refuses_what_a_service_does_not_own(
    owner: Owner, nats_server: EmbeddedNats, connection: Client
) -> None:
    """Events, words and buckets of others, and everything that makes, changes or empties a stream."""
    await set_up(connection, Plan.of(dict.fromkeys(Owner, BusSettings())))
    others = [other for other in Owner if other is not owner]
    borrowed = [f"$JS.API.CONSUMER.MSG.NEXT.LEDGER.{other}" for other in others]
    borrowed += [f"$JS.ACK.LEDGER.{other}.1.1.1.1.1" for other in others]
    borrowed += [f"$KV.primum_activities.{other}.x" for other in others]
    async with as_service(owner, nats_server) as (client, denied):
        for subject in [*NOT_THEIRS[owner], *NOBODYS, *borrowed]:
            assert await is_denied(client, denied, subject), f"{owner} may publish to {subject}"
    state = (await connection.jetstream().stream_info(streams.LEDGER)).state
    assert (state.messages, len(await connection.jetstream().streams_info())) == (0, 8)


@pytest.mark.parametrize("owner", Owner)
async def test_the_server_takes_what_a_service_owns(
    owner: Owner, nats_server: EmbeddedNats, connection: Client
) -> None:
    """Every subject on its list, so that the list is not merely short."""
    assert connection.is_connected
    async with as_service(owner, nats_server) as (client, denied):
        for pattern in publishes(owner):
            subject = pattern.replace("*", "x").replace(">", "x")
            assert not await is_denied(client, denied, subject), f"{owner} may not publish to {subject}"


async def test_a_service_hears_only_what_is_for_it(nats_server: EmbeddedNats, connection: Client) -> None:
    """Neither the ledger as it is written nor the answers to others."""
    assert connection.is_connected
    async with as_service(Owner.DIAGNOSER, nats_server) as (client, denied):
        for subject in ("primum.>", "_INBOX.>", "_INBOX_mitigator.>", "$KV.>"):
            denied.clear()
            await client.subscribe(subject)
            await settled(client)
            assert any("subscription" in said for said in denied)


async def test_nobody_comes_in_without_a_key(nats_server: EmbeddedNats) -> None:
    """Nor with a key that the server was not told of."""
    for user in (None, User("somebody", key_of("somebody"))):
        with pytest.raises(LedgerUnavailable, match=r"(?i)authorization"):
            async with connected(nats_server.url, user):
                pass


@pytest.mark.parametrize(
    ("reason", "advice"),
    [
        ("nats: 'Authorization Violation'", "it does not know this key"),
        ("[Errno 104] Connection reset by peer", "if it is up, it may not know this key"),
        ("[Errno 111] Connect call failed", "check that NATS is up"),
    ],
)
def test_who_is_not_let_in_is_told_of_the_users(reason: str, advice: str) -> None:
    """A server that does not know a key often hangs up before its words are read."""
    assert advice_for(reason).startswith(advice)


async def test_a_server_that_asks_nobody_for_a_key_is_said(nats_server: EmbeddedNats, tmp_path: Path) -> None:
    """Signatures hold there, too; that the streams stay does not."""
    async with connected(nats_server.url, operator()) as guarded:
        assert open_to_all(guarded) is None
    async with EmbeddedNats(tmp_path) as server, connected(server.url, operator()) as free:
        assert "asks nobody for a key" in (open_to_all(free) or "")


# --- past the permissions: what the server stores all the same has no effect


def refused(reason: str) -> float:
    """How many messages this process has counted as refused for that reason."""
    return REGISTRY.get_sample_value("primum_refused_events_total", {"reason": reason}) or 0.0


@asynccontextmanager
async def counted(reason: str, times: int = 1) -> AsyncIterator[None]:
    """Check that the block makes exactly so many messages count as refused, for that reason and no other."""
    reasons = ("unreadable", "forged", "foreign", "replayed", "illegal")
    before = {name: refused(name) for name in reasons}
    yield
    grown = {name: refused(name) - before[name] for name in reasons if refused(name) != before[name]}
    assert grown == ({reason: times} if times else {})


async def put(
    connection: Client,
    event: Event,
    *,
    by: Owner,
    follows: str,
    incident: IncidentId = A,
    seal: Seal | None = None,
    altered: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> None:
    """Store an event as somebody might who can write anywhere: sealed by `seal` if there is one, altered after that."""
    record = Recorded(
        incident=incident, id=EventId("evt-x"), sequence=0, at=T0, by=by, event=event, follows=EventId(follows)
    )
    subject, said = subjects.ledger(incident, event.name), nats_events.event_body(record)
    headers = nats_events.event_headers(record)
    if seal is not None:
        headers = {**seal.on(subject, headers, said), OWNER: str(by)}
    stored = {**headers, **(altered or {})}
    await connection.jetstream().publish(subject, body or said, headers=stored)


async def test_a_reply_goes_where_nobody_may_write_and_counts_for_nothing(
    nats_server: EmbeddedNats, connection: Client, ledger: Ledgers
) -> None:
    """The server publishes answers in its own name: an acknowledgement becomes a message of the ledger."""
    incident = await ledger(Owner.DETECTOR).open(A, opened())
    async with as_service(Owner.DIAGNOSER, nats_server) as (client, denied):
        assert await is_denied(client, denied, "primum.ledger.inc-a.Approved")
        denied.clear()
        await client.publish("$KV.primum_activities.diagnoser.x", b"idle", reply="primum.ledger.inc-a.Approved")
        await settled(client)
        await _stored(connection, streams.LEDGER, 3)
        assert denied == []
    async with counted("unreadable"):
        folded = await ledger(Owner.MITIGATOR).fold(A)
    assert folded == incident.but(sequence=3, refused=1)


async def test_a_forged_event_carried_by_a_reply_counts_for_nothing(
    nats_server: EmbeddedNats, connection: Client, ledger: Ledgers
) -> None:
    """A whole event, with all its headers, first put where its author may write, then read back into the ledger."""
    incident = await ledger(Owner.DETECTOR).open(A, opened())
    record = Recorded(
        incident=A,
        id=EventId("evt-x"),
        sequence=0,
        at=T0,
        by=Owner.DETECTOR,
        event=Cleared(reading=a_reading(Symptom.GONE)),
        follows=incident.last,
    )
    target, body = subjects.ledger(A, "Cleared"), nats_events.event_body(record)
    headers = {**seal_of(Owner.DIAGNOSER).on(target, nats_events.event_headers(record), body), OWNER: "detector"}
    async with as_service(Owner.DIAGNOSER, nats_server) as (client, denied):
        ack = await client.jetstream().publish("primum.fact.inc-a.noted", body, headers=headers)
        question = json.dumps({"seq": ack.seq}).encode()
        await client.publish("$JS.API.DIRECT.GET.FACTS", question, reply=target)
        await settled(client)
        await _stored(connection, streams.LEDGER, 3)
        assert denied == []
    found = await connection.jetstream().get_last_msg(streams.LEDGER, target)
    assert nats_events.recorded(Stored(target, 3, found.headers or {}, found.data or b"")).event == record.event
    async with counted("forged"):
        assert (await ledger(Owner.MITIGATOR).fold(A)).state is State.DETECTED


async def test_an_event_that_nobody_signed_has_no_effect(connection: Client, ledger: Ledgers) -> None:
    """Whatever else is right about it."""
    incident = await ledger(Owner.DETECTOR).open(A, opened())
    await put(connection, DiagnosisStarted(), by=Owner.DIAGNOSER, follows=incident.last)
    await _has_no_effect(ledger, "forged")


async def test_an_event_signed_with_another_key_has_no_effect(connection: Client, ledger: Ledgers) -> None:
    """Another service's key, and one that nobody knows."""
    incident = await ledger(Owner.DETECTOR).open(A, opened())
    for seal in (seal_of(Owner.DETECTOR), _a_strangers_seal()):
        await put(connection, DiagnosisStarted(), by=Owner.DIAGNOSER, follows=incident.last, seal=seal)
    await _has_no_effect(ledger, "forged", times=2)


async def test_an_altered_event_has_no_effect(connection: Client, ledger: Ledgers) -> None:
    """Its body, or any header that is signed: its id, its time, its type, its incident, what it follows."""
    incident = await ledger(Owner.DETECTOR).open(A, opened())
    event, seal = Cleared(reading=a_reading(Symptom.GONE)), seal_of(Owner.DETECTOR)
    later = Cleared(reading=a_reading(Symptom.UNKNOWN)).model_dump_json().encode()
    changes: list[dict[str, str]] = [{"ce-id": "evt-y"}, {"ce-time": "2026-01-01T00:00:00+00:00"}]
    changes += [{"ce-type": "dev.primum.Quiet"}, {"ce-subject": "inc-b"}, {FOLLOWS: "evt-z"}, {SIGNATURE: "AAAA"}]
    await put(connection, event, by=Owner.DETECTOR, follows=incident.last, seal=seal, body=later)
    for altered in changes:
        await put(connection, event, by=Owner.DETECTOR, follows=incident.last, seal=seal, altered=altered)
    await _has_no_effect(ledger, "forged", times=1 + len(changes))


async def test_a_foreign_event_has_no_effect(connection: Client, ledger: Ledgers) -> None:
    """Rightly signed by the service that it names, which the table does not let say that."""
    incident = await ledger(Owner.DETECTOR).open(A, opened())
    asked = await ledger(Owner.DIAGNOSER).append(incident, *story_to(State.PLANNING)[1:])
    asked = await ledger(Owner.MITIGATOR).append(asked, story_to(State.AWAITING_APPROVAL)[-1])
    approval = Approved(plan_hash=PLAN, by="diagnoser")
    await put(connection, approval, by=Owner.DIAGNOSER, follows=asked.last, seal=seal_of(Owner.DIAGNOSER))
    await _has_no_effect(ledger, "foreign", state=State.AWAITING_APPROVAL)


async def test_a_replayed_event_has_no_effect(connection: Client, ledger: Ledgers) -> None:
    """A copy of an event that counted, in its own incident at a time when its owner might say it again."""
    incident = await ledger(Owner.DETECTOR).open(A, opened())
    cleared = await ledger(Owner.DETECTOR).append(incident, Cleared(reading=a_reading(Symptom.GONE)))
    relapsed = await ledger(Owner.DETECTOR).append(cleared, Relapsed(reading=a_reading(Symptom.PRESENT)))
    assert relapsed.state is State.DIAGNOSING
    await _copy(connection, subjects.ledger(A, "Cleared"), subjects.ledger(A, "Cleared"))
    await _has_no_effect(ledger, "replayed", state=State.DIAGNOSING)


async def test_an_event_of_another_incident_has_no_effect(connection: Client, ledger: Ledgers) -> None:
    """Copied with everything that belongs to it; also where both incidents stand at their beginning."""
    await ledger(Owner.DETECTOR).open(A, opened("one"))
    other = await ledger(Owner.DETECTOR).open(B, opened("two"))
    await ledger(Owner.DIAGNOSER).append(other, DiagnosisStarted())
    await _copy(connection, subjects.ledger(B, "DiagnosisStarted"), subjects.ledger(A, "DiagnosisStarted"))
    await _has_no_effect(ledger, "forged")


async def test_an_illegal_event_of_its_owner_has_no_effect(connection: Client, ledger: Ledgers) -> None:
    """It does not break every later fold."""
    incident = await ledger(Owner.DETECTOR).open(A, opened())
    diagnosed = story_to(State.PLANNING)[-1]
    assert isinstance(diagnosed, Diagnosed)
    await put(connection, diagnosed, by=Owner.DIAGNOSER, follows=incident.last, seal=seal_of(Owner.DIAGNOSER))
    await _has_no_effect(ledger, "illegal")


async def test_what_is_refused_is_in_nobodys_way(connection: Client, ledger: Ledgers) -> None:
    """The next append, by a service that knew nothing of it, loses its race once and then wins."""
    incident = await ledger(Owner.DETECTOR).open(A, opened())
    await put(connection, DiagnosisStarted(), by=Owner.DIAGNOSER, follows=incident.last)
    diagnoser = ledger(Owner.DIAGNOSER)
    after = await diagnoser.append(await diagnoser.fold(A), DiagnosisStarted())
    assert after.state is State.DIAGNOSING
    assert [record.event.name for record in await ledger(Owner.GATEWAY).history(A)] == ["Opened", "DiagnosisStarted"]


# --- the words beside the events


async def test_a_forged_last_word_does_not_hide_the_rightful_one(connection: Client, ledger: Ledgers) -> None:
    """Of a pause, a lock, an open key: not signed, signed by who may not, or said before."""
    gateway, mitigator = ledger(Owner.GATEWAY), ledger(Owner.MITIGATOR)
    await gateway.set_paused("a freeze")
    await gateway.set_paused(None)
    await gateway.set_paused("again")
    last = await _last_id(connection, subjects.PAUSE)
    for seal in (None, seal_of(Owner.MITIGATOR), _a_strangers_seal()):
        await _say(connection, subjects.PAUSE, b"", seal, last)
    await _repeat(connection, subjects.PAUSE, sequence=2)
    assert await mitigator.paused() == "again"
    await gateway.set_paused(None)
    assert await mitigator.paused() is None


async def test_a_forged_lock_neither_takes_nor_frees(connection: Client, ledger: Ledgers) -> None:
    """The holder keeps what it holds, a free workload stays free, and a copy of the taking takes nothing."""
    ours = Lock(workload=a_ref("cart"), incident=A, transaction=TransactionId("txn-1"), held=True)
    incident = await _planning(ledger)
    begun = await ledger(Owner.MITIGATOR).append(incident, story_to(State.MITIGATING)[-1], locks=[ours])
    taken = (await connection.jetstream().stream_info(streams.LEDGER)).state.last_seq
    subject = subjects.lock(ours.workload)
    last = await _last_id(connection, subject)
    for seal in (None, seal_of(Owner.DETECTOR)):
        await _say(connection, subject, ours.but(held=False).model_dump_json().encode(), seal, last)
    assert await ledger(Owner.UNDO).lock(ours.workload) == ours
    applied = story_to(State.VALIDATING)[4]
    await ledger(Owner.MITIGATOR).append(begun, applied, locks=[ours.but(held=False)])
    await _repeat(connection, subject, sequence=taken)
    free = await ledger(Owner.UNDO).lock(ours.workload)
    assert free is not None
    assert not free.held


async def test_a_forged_open_key_opens_and_closes_nothing(connection: Client, ledger: Ledgers) -> None:
    """An incident stays the open one of its cause group, and none is listed that was not opened."""
    await ledger(Owner.DETECTOR).open(A, opened("one"))
    one = subjects.open_key(CorrelationKey("one"))
    await _say(connection, one, b"", seal_of(Owner.MITIGATOR), await _last_id(connection, one))
    await _say(connection, subjects.open_key(CorrelationKey("two")), b"inc-z", seal_of(Owner.GATEWAY))
    gateway = ledger(Owner.GATEWAY)
    assert list(await gateway.open_incidents()) == list(await gateway.incidents()) == [A]
    assert await gateway.open_incident(CorrelationKey("one")) == A
    assert await gateway.open_incident(CorrelationKey("two")) is None


async def test_a_forged_altered_or_replayed_fact_is_left_out(connection: Client, ledger: Ledgers) -> None:
    """Nobody's, somebody else's, another incident's, and one that is there already."""
    await ledger(Owner.DETECTOR).open(A, opened())
    told = AlertJoined(alert=an_alert(), because="the same workload")
    await ledger(Owner.DETECTOR).note(A, told)
    subject, body = subjects.fact(A, told.fact), told.but(because="trust me").model_dump_json().encode()
    await connection.jetstream().publish(subject, body)
    await _say(connection, subject, body, seal_of(Owner.DIAGNOSER))
    await _copy(connection, subject, subject, stream=streams.FACTS)
    await _copy(connection, subject, subjects.fact(B, told.fact), stream=streams.FACTS)
    assert tuple(await ledger(Owner.GATEWAY).facts(A)) == (told,)
    assert tuple(await ledger(Owner.GATEWAY).facts(B)) == ()


async def test_a_forged_or_replayed_beat_keeps_nobody_alive(connection: Client) -> None:
    """A beat that was made long ago is as old as it was, whoever says it again; and a forged one hides no true one."""
    js = connection.jetstream()
    beats = NatsHeartbeats(connection, seal_of(Owner.UNDO))
    subject = streams.bucket_subject(streams.HEARTBEATS, "mitigator-1")
    seal, body = seal_of(Owner.MITIGATOR), b"alive"
    old = seal.on(subject, {"ce-time": "2026-01-01T00:00:00+00:00"}, body)
    for headers in (old, {}, seal_of(Owner.GATEWAY).on(subject, {}, body), _a_strangers_seal().on(subject, {}, body)):
        await js.publish(subject, body, headers=headers)
    assert not await beats.alive("mitigator-1")
    await NatsHeartbeats(connection, seal).beat("mitigator-1")
    await js.publish(subject, body)
    assert await beats.alive("mitigator-1")
    assert not await beats.alive("mitigator-2")


@pytest.mark.parametrize(("age_s", "times"), [(10.5, 0), (60, 1)])
async def test_a_beat_that_is_just_over_is_nobodys_attempt(connection: Client, age_s: float, times: int) -> None:
    """It keeps nobody alive, and is not counted: the server had not forgotten it yet. An old one was said again."""
    subject = streams.bucket_subject(streams.HEARTBEATS, "mitigator-1")
    at = (await NatsStream(connection, streams.bucket_stream(streams.HEARTBEATS), 5).clock()).now
    said = {"ce-time": (at - timedelta(seconds=age_s)).isoformat()}
    headers = seal_of(Owner.MITIGATOR).on(subject, said, b"alive")
    await connection.jetstream().publish(subject, b"alive", headers=headers)
    async with counted("replayed", times):
        assert not await NatsHeartbeats(connection, seal_of(Owner.UNDO)).alive("mitigator-1")


async def test_a_forged_claim_keeps_nobody_from_telling_a_person(connection: Client) -> None:
    """Neither somebody else's, nor one of our own that is as old as its making; and a true one is not hidden."""
    js, ours = connection.jetstream(), seal_of(Owner.GATEWAY)
    subject, body = streams.bucket_subject(streams.CLAIMS, "page-1"), b"taken"
    now = {"ce-time": SystemClock().now().isoformat()}
    old = ours.on(subject, {"ce-time": "2026-01-01T00:00:00+00:00"}, body)
    for headers in (old, {}, seal_of(Owner.UNDO).on(subject, now, body), _a_strangers_seal().on(subject, now, body)):
        await js.publish(subject, body, headers=headers)
    assert await NatsClaims(connection, ours).take("page-1")
    await js.publish(subject, b"")
    await js.publish(subject, b"", headers=seal_of(Owner.UNDO).on(subject, now, b""))
    assert not await NatsClaims(connection, ours).take("page-1")


async def test_a_denial_is_said_in_the_servers_words(nats_server: EmbeddedNats, connection: Client) -> None:
    """Not as a mystery of time: which subject, and what to do."""
    assert connection.is_connected
    client, denied = Client(), list[str]()
    watcher = Watcher(_nothing, _nothing, _nothing, denied.append)
    await connect_for_ever(client, nats_server.url, User(Owner.DETECTOR, key_of(Owner.DETECTOR)), watcher)
    try:
        with pytest.raises(LedgerUnavailable, match=r"primum\.alert\.test\.f1.*primum bus keys"):
            await NatsInbox(client, seal_of(Owner.GATEWAY), timeout_s=0.3).put(an_alert())
    finally:
        await client.close()
    assert "primum.alert.test.f1" in denied[0]


# --- how


def _nothing(_: str) -> None: ...


def _a_strangers_seal() -> Seal:
    key = key_of("a stranger")
    return Seal(Owner.DIAGNOSER, key, Keyring({Owner.DIAGNOSER: [key.public]}))


async def _stored(connection: Client, stream: str, count: int) -> None:
    """Wait until a stream has so many messages."""
    async with asyncio.timeout(10):
        while (await connection.jetstream().stream_info(stream)).state.messages < count:
            await connection.flush()


async def _has_no_effect(ledger: Ledgers, reason: str, *, times: int = 1, state: State = State.DETECTED) -> None:
    reader = ledger(Owner.GATEWAY)
    async with counted(reason, times):
        folded = await reader.fold(A)
        history = await reader.history(A)
        assert await reader.fold(A) == folded
    assert (folded.state, folded.refused) == (state, times)
    assert "evt-x" not in [record.id for record in history]


async def _copy(connection: Client, subject: str, to: str, *, stream: str = streams.LEDGER) -> None:
    found = await connection.jetstream().get_last_msg(stream, subject)
    headers = {name: said for name, said in (found.headers or {}).items() if not name.startswith("Nats-")}
    await connection.jetstream().publish(to, found.data or b"", headers=headers)


async def _repeat(connection: Client, subject: str, *, sequence: int) -> None:
    found = await connection.jetstream().get_msg(streams.LEDGER, sequence)
    assert found.subject == subject
    headers = {name: said for name, said in (found.headers or {}).items() if not name.startswith("Nats-")}
    await connection.jetstream().publish(subject, found.data or b"", headers=headers)


async def _last_id(connection: Client, subject: str) -> str:
    """What a word on that subject must follow now."""
    newest = await connection.jetstream().get_last_msg(streams.LEDGER, subject)
    return str((newest.headers or {})["ce-id"])


async def _say(connection: Client, subject: str, body: bytes, seal: Seal | None, follows: str = "") -> None:
    """Say a word in its right place, signed by whom the test says."""
    headers = {"ce-id": "word-x", FOLLOWS: follows}
    await connection.jetstream().publish(subject, body, headers=seal.on(subject, headers, body) if seal else headers)


async def _planning(ledger: Ledgers) -> Incident:
    incident = await ledger(Owner.DETECTOR).open(A, opened())
    return await ledger(Owner.DIAGNOSER).append(incident, *story_to(State.PLANNING)[1:])
