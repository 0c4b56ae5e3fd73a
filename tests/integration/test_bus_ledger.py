"""What only the ledger on NATS can do wrong: lost answers, servers that go away, messages from elsewhere."""

import asyncio
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest
from nats.aio.client import Client

from shared.adapters.nats_inbox import NatsInbox
from shared.adapters.nats_ledger import NatsLedger, Writer
from shared.adapters.nats_server import EmbeddedNats
from shared.adapters.nkey import OPERATOR
from shared.adapters.system import RandomIdentity, SystemClock
from shared.bus import streams
from shared.bus.trace import continuing
from shared.domain.alert import AlertStatus
from shared.domain.errors import Conflict, LedgerUnavailable, Refuse
from shared.domain.events import Cleared, DiagnosisStarted, Noted, Owner, Quiet
from shared.domain.health import Symptom
from shared.domain.ids import CorrelationKey, IncidentId, TransactionId
from shared.domain.incident import State
from shared.domain.transaction import Lock
from shared.testing.builders import T0, a_reading, a_ref, an_alert, opened
from shared.testing.keys import connect_as, seal_of

A, B = IncidentId("inc-a"), IncidentId("inc-b")
Ledgers = Callable[[Owner], NatsLedger]
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@dataclass
class Forgetful:
    """A wire between a client and the server that loses one answer when it is told to."""

    port: int = 0
    lose: bytes | None = None
    lost: int = 0
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry what the server says, but for a piece that holds what is to be lost."""
        while piece := await reader.read(65536):
            if self.lose is not None and self.lose in piece:
                self.lose, self.lost = None, self.lost + 1
                continue
            writer.write(piece)


@asynccontextmanager
async def a_wire_to(server: EmbeddedNats) -> AsyncIterator[Forgetful]:
    """Lay a forgetful wire to a server."""
    wire = Forgetful()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection("127.0.0.1", server.port)
        wire.writers += [writer, to_server]
        answers = asyncio.create_task(wire.answers(from_server, writer))
        while piece := await reader.read(65536):
            to_server.write(piece)
        to_server.close()
        await answers
        writer.close()

    listening = await asyncio.start_server(carry, "127.0.0.1", 0)
    wire.port = listening.sockets[0].getsockname()[1]
    async with listening:
        yield wire
        for writer in wire.writers:
            writer.close()
            await writer.wait_closed()


@pytest.fixture
async def wire(connection: Client, nats_server: EmbeddedNats) -> AsyncIterator[Forgetful]:
    """A forgetful wire to a server on which all streams are there."""
    assert connection.is_connected
    async with a_wire_to(nats_server) as laid:
        yield laid


@pytest.fixture
async def over_the_wire(wire: Forgetful) -> AsyncIterator[Ledgers]:
    """Ledgers that see the server through the wire, and wait 0.3 s for an answer."""
    client = await connect_as(OPERATOR, f"nats://127.0.0.1:{wire.port}")
    yield lambda owner: NatsLedger(client, Writer(seal_of(owner), SystemClock(), RandomIdentity()), 0.3)
    await client.close()


async def test_a_lost_answer_is_found_in_the_ledger(over_the_wire: Ledgers, wire: Forgetful, ledger: Ledgers) -> None:
    """The event was stored but its acknowledgement never came: append finds it, and it is there once."""
    incident = await ledger(Owner.DETECTOR).open(A, opened())
    wire.lose = b'"seq":'
    after = await over_the_wire(Owner.DIAGNOSER).append(incident, DiagnosisStarted())
    assert wire.lost == 1
    assert after == await ledger(Owner.GATEWAY).fold(A)
    assert len(await ledger(Owner.GATEWAY).history(A)) == 2


async def test_a_lost_answer_to_a_batch_is_found_too(over_the_wire: Ledgers, wire: Forgetful, ledger: Ledgers) -> None:
    """Opened with its key: one incident, and the one who opened it knows."""
    wire.lose = b'"batch":'
    told = await over_the_wire(Owner.DETECTOR).open(A, opened(), Cleared(reading=a_reading(Symptom.GONE)))
    assert wire.lost == 1
    assert told == await ledger(Owner.GATEWAY).fold(A)
    assert await ledger(Owner.GATEWAY).open_incident(opened().key) == A


async def test_a_lost_answer_to_a_loser_is_no_success(over_the_wire: Ledgers, wire: Forgetful, ledger: Ledgers) -> None:
    """The refusal never came: our event is not there, so nothing is claimed."""
    incident = await ledger(Owner.DETECTOR).open(A, opened())
    await ledger(Owner.DETECTOR).append(incident, Cleared(reading=a_reading(Symptom.GONE)))
    wire.lose = b"10071"
    with pytest.raises(LedgerUnavailable, match="no word"):
        await over_the_wire(Owner.DIAGNOSER).append(incident, DiagnosisStarted())
    assert len(await ledger(Owner.GATEWAY).history(A)) == 2


async def test_what_was_given_up_is_not_stored_later(
    ledger: Ledgers, connection: Client, nats_server: EmbeddedNats
) -> None:
    """While NATS is away an append fails at once, and the client does not send it behind our back afterwards."""
    incident = await ledger(Owner.DETECTOR).open(A, opened())
    broke = asyncio.Event()
    connection._disconnected_cb = _setting(broke)  # noqa: SLF001 - the fixture made the connection without one
    await nats_server.stop()
    async with asyncio.timeout(10):
        await broke.wait()
    diagnoser = ledger(Owner.DIAGNOSER)
    with pytest.raises(LedgerUnavailable):
        await diagnoser.append(incident, DiagnosisStarted())
    with pytest.raises(LedgerUnavailable):
        await diagnoser.fold(A)
    with pytest.raises(LedgerUnavailable):
        await NatsInbox(connection, seal_of(Owner.GATEWAY)).put(an_alert())
    await nats_server.start()
    async with _connected(nats_server) as other:
        assert len(await _ledger(other).history(A)) == 1


async def test_without_streams_nothing_is_claimed(nats_server: EmbeddedNats) -> None:
    """A NATS that has no such stream cannot make an alert durable, and says so."""
    async with _connected(nats_server) as client:
        with pytest.raises(LedgerUnavailable, match="no stream takes"):
            await NatsInbox(client, seal_of(Owner.GATEWAY)).put(an_alert())
        with pytest.raises(LedgerUnavailable):
            await _ledger(client).open_incidents()


async def test_an_alert_is_stored_once_however_often_it_comes(connection: Client) -> None:
    """Exact repeats are dropped; what says more is another alert; odd names lose nothing."""
    inbox = NatsInbox(connection, seal_of(Owner.GATEWAY))
    for _ in range(3):
        await inbox.put(an_alert())
    await inbox.put(an_alert(status=AlertStatus.RESOLVED, ends_at=T0))
    await inbox.put(an_alert(fingerprint="a.b *> c"))
    info = await connection.jetstream().stream_info(streams.ALERTS)
    assert info.state.messages == 3


async def test_a_batch_is_all_or_nothing_on_the_server(ledger: Ledgers, connection: Client) -> None:
    """The lock moves between our look and our write: neither the event nor the other lock is stored."""
    incident = await ledger(Owner.DETECTOR).open(A, opened())
    diagnoser = ledger(Owner.DIAGNOSER)
    ours = [
        Lock(workload=a_ref(name), incident=A, transaction=TransactionId("txn-1"), held=True) for name in ("a", "b")
    ]
    theirs = ours[1].but(transaction=TransactionId("txn-2"))
    before = (await connection.jetstream().stream_info(streams.LEDGER)).state.last_seq
    outcomes = await asyncio.gather(
        diagnoser.append(incident, DiagnosisStarted(), locks=ours),
        ledger(Owner.DETECTOR).append(incident, Cleared(reading=a_reading(Symptom.GONE)), locks=[theirs]),
        return_exceptions=True,
    )
    assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == 1
    stored = (await connection.jetstream().stream_info(streams.LEDGER)).state.last_seq - before
    assert stored == (2 if isinstance(outcomes[0], Conflict) else 3)


async def test_events_are_cloudevents(ledger: Ledgers, connection: Client) -> None:
    """Binary mode: the attributes are headers, the body is the event."""
    await ledger(Owner.DETECTOR).open(A, opened())
    message = await connection.jetstream().get_last_msg(streams.LEDGER, "primum.ledger.inc-a.Opened")
    headers = message.headers or {}
    assert headers["ce-specversion"] == "1.0"
    assert headers["ce-type"] == "dev.primum.Opened"
    assert headers["ce-source"] == "/primum/detector"
    assert headers["ce-subject"] == A
    assert headers["primum-owner"] == "detector"
    assert {"ce-id", "ce-time", "traceparent"} <= set(headers)


async def test_a_trace_goes_through_the_ledger(ledger: Ledgers, connection: Client) -> None:
    """Inside a trace its id is carried on; outside any, all events of an incident share one."""
    incident = await ledger(Owner.DETECTOR).open(A, opened())
    with continuing({"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}):
        await ledger(Owner.DIAGNOSER).append(incident, DiagnosisStarted())
    await ledger(Owner.DETECTOR).note(A, Noted(text="outside"))
    js = connection.jetstream()
    of = {
        subject: ((await js.get_last_msg(stream, subject)).headers or {})["traceparent"].split("-")[1]
        for stream, subject in (
            ("LEDGER", "primum.ledger.inc-a.Opened"),
            ("LEDGER", "primum.ledger.inc-a.DiagnosisStarted"),
            ("FACTS", "primum.fact.inc-a.noted"),
        )
    }
    first, inside, outside = of.values()
    assert inside == TRACE
    assert first == outside != TRACE


async def test_what_is_no_event_has_no_effect(ledger: Ledgers, connection: Client) -> None:
    """Somebody wrote past the append function: the incident stands where it stood, and the next append finds room."""
    incident = await ledger(Owner.DETECTOR).open(A, opened())
    await connection.jetstream().publish("primum.ledger.inc-a.Cleared", b"{}")
    folded = await ledger(Owner.DIAGNOSER).fold(A)
    assert folded == incident.but(sequence=folded.sequence, refused=1)
    assert (await ledger(Owner.DIAGNOSER).append(folded, DiagnosisStarted())).state is State.DIAGNOSING


async def test_what_nats_cannot_take_is_refused(ledger: Ledgers) -> None:
    """A message beyond the server's limit would never arrive: trying again is no use."""
    with pytest.raises(Refuse, match="too large"):
        await ledger(Owner.DETECTOR).note(A, Noted(text="x" * 9_000_000))


async def test_a_fold_reads_on_where_it_stopped(ledger: Ledgers) -> None:
    """A ledger that knows the incident sees what another appended since."""
    reader = ledger(Owner.GATEWAY)
    incident = await ledger(Owner.DETECTOR).open(A, opened())
    assert await reader.fold(A) == incident
    after = await ledger(Owner.DIAGNOSER).append(incident, DiagnosisStarted())
    assert await reader.fold(A) == after


async def test_a_flood_of_forged_messages_is_read_once(ledger: Ledgers, connection: Client) -> None:
    """What counts for nothing is not fetched again for each look at the incident; what is said after it is seen."""
    reader, js = ledger(Owner.GATEWAY), connection.jetstream()
    await ledger(Owner.DETECTOR).open(A, opened())
    await asyncio.gather(*(js.publish("primum.ledger.inc-a.Cleared", b"{}") for _ in range(200)))
    told = await reader.history(A)
    already = connection.stats["in_msgs"]
    assert (await reader.history(A), (await reader.fold(A)).refused) == (told, 200)
    assert connection.stats["in_msgs"] - already < 10
    await ledger(Owner.DIAGNOSER).append(await reader.fold(A), DiagnosisStarted())
    assert [record.event.name for record in await reader.history(A)] == ["Opened", "DiagnosisStarted"]


async def test_what_is_over_is_let_go_of_by_who_is_not_woken_at_the_end(ledger: Ledgers) -> None:
    """A look at what is open is enough: a service that no closing event wakes would hold a thousand incidents."""
    reader, detector = ledger(Owner.DIAGNOSER), ledger(Owner.DETECTOR)
    resolved = await detector.open(A, opened(), Cleared(reading=a_reading(Symptom.GONE)))
    await detector.open(B, opened(key=CorrelationKey("another")))
    await detector.note(A, Noted(text="seen"))
    read = [*(await reader.history(A)), *(await reader.facts(A)), await reader.fold(A), await reader.fold(B)]
    held = [weakref.ref(each) for each in read]
    del read
    await reader.open_incidents()
    assert all(each() for each in held)
    await detector.append(resolved, Quiet(reason="it is over"), frees_key=True)
    assert await reader.open_incidents() == [B]
    assert [kept for each in held if (kept := each())] == [await reader.fold(B)]


async def test_facts_are_read_on_where_they_stopped(ledger: Ledgers, connection: Client) -> None:
    """What another wrote since is seen; a copy of what was read before is still known for one."""
    reader, writer = ledger(Owner.GATEWAY), ledger(Owner.DETECTOR)
    first, second = Noted(text="first"), Noted(text="second")
    await writer.note(A, first)
    assert list(await reader.facts(A)) == [first]
    copied = await connection.jetstream().get_last_msg(streams.FACTS, "primum.fact.inc-a.noted")
    await connection.jetstream().publish("primum.fact.inc-a.noted", copied.data or b"", headers=copied.headers)
    await writer.note(A, second)
    assert list(await reader.facts(A)) == [first, second]


async def test_facts_are_read_anew_from_a_server_that_was_away(
    ledger: Ledgers, connection: Client, nats_server: EmbeddedNats
) -> None:
    """It may have lost its newest seconds, or everything: what it no longer has is not remembered against it."""
    reader, again = ledger(Owner.DETECTOR), asyncio.Event()
    await reader.note(A, Noted(text="before"))
    assert await reader.facts(A)
    await connection.jetstream().delete_stream(streams.FACTS)
    connection._reconnected_cb = _setting(again)  # noqa: SLF001 - the fixture made the connection without one
    connection.options["reconnect_time_wait"] = 0.5
    await nats_server.stop()
    await nats_server.start()
    async with asyncio.timeout(10):
        await again.wait()
    await streams.ensure(connection.jetstream())
    await reader.note(A, Noted(text="after"))
    assert list(await reader.facts(A)) == [Noted(text="after")]


async def test_streams_are_brought_to_their_settings(connection: Client) -> None:
    """A stream that differs is updated, one that is right is left alone, and everybody may do it at once."""
    js = connection.jetstream()
    wanted = next(config for config in streams.streams(streams.Keeping()) if config.name == streams.ALERTS)
    await js.update_stream(replace(wanted, max_age=60, duplicate_window=60))
    await asyncio.gather(*(streams.ensure(js) for _ in range(5)))
    assert (await js.stream_info(streams.ALERTS)).config.max_age == wanted.max_age


async def test_five_services_may_make_the_streams_at_once(nats_server: EmbeddedNats) -> None:
    """On an empty server the loser of a race to create finds the stream there."""
    async with _connected(nats_server) as client:
        await asyncio.gather(*(streams.ensure(client.jetstream()) for _ in range(5)))
        assert len(await client.jetstream().streams_info()) == len(streams.streams(streams.Keeping()))


def _setting(event: asyncio.Event) -> Callable[[], Awaitable[None]]:
    async def set_it() -> None:
        event.set()

    return set_it


@asynccontextmanager
async def _connected(server: EmbeddedNats) -> AsyncIterator[Client]:
    client = await connect_as(OPERATOR, server.url)
    try:
        yield client
    finally:
        await client.close()


def _ledger(client: Client) -> NatsLedger:
    return NatsLedger(client, Writer(seal_of(Owner.GATEWAY), SystemClock(), RandomIdentity()))
