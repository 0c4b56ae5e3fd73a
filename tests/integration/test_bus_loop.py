"""The loop that every service runs, on a real nats-server: wake-ups, redelivery, dead letters, health, the stop."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

from nats.aio.client import Client

from shared.adapters.nats_dead import DeadLetter, NatsDeadLetters
from shared.adapters.nats_inbox import NatsInbox
from shared.adapters.nats_ledger import NatsLedger
from shared.adapters.nats_server import EmbeddedNats
from shared.adapters.nats_stream import NatsStream, Write
from shared.adapters.system import SystemClock
from shared.bus.service import Bus, Duties
from shared.domain.alert import Alert
from shared.domain.errors import ClusterUnavailable, Conflict, PrimumError, Refuse, Retry
from shared.domain.events import Base, DiagnosisStarted, Opened, Owner
from shared.domain.ids import IncidentId
from shared.testing.builders import an_alert, opened
from shared.testing.keys import seal_of
from shared.testing.running import RunningService, until

A, B = IncidentId("inc-a"), IncidentId("inc-b")
Start = Callable[..., RunningService]
Ledgers = Callable[[Owner], NatsLedger]


@dataclass
class Script:
    """A handler that tells what it was called with, and does what the test says, call by call."""

    acts: list[Callable[[], Awaitable[None]] | Exception] = field(default_factory=list)
    calls: asyncio.Queue[str] = field(default_factory=asyncio.Queue)

    async def __call__(self, what: IncidentId | Alert) -> None:
        self.calls.put_nowait(what.fingerprint if isinstance(what, Alert) else what)
        act = self.acts.pop(0) if self.acts else None
        if isinstance(act, Exception):
            raise act
        if act is not None:
            await act()

    async def called(self) -> str:
        """Wait for the next call."""
        async with asyncio.timeout(10):
            return await self.calls.get()


def on(script: Script, *events: type[Base]) -> Callable[[Bus], Duties]:
    """Reconcile by the script, woken by these events."""
    return lambda _: Duties(wakes_on=frozenset(events or {Opened}), reconcile=script)


def taking(take: Callable[[Sequence[Alert]], Awaitable[None]]) -> Callable[[Bus], Duties]:
    """Take alerts as they come together."""

    async def nothing(_: IncidentId) -> None: ...

    return lambda _: Duties(wakes_on=frozenset(), reconcile=nothing, on_alerts=take)


def on_alerts(script: Script) -> Callable[[Bus], Duties]:
    """Take alerts by the script, one call for each of a batch."""

    async def each(alerts: Sequence[Alert]) -> None:
        for alert in alerts:
            await script(alert)

    return taking(each)


async def pending(connection: Client, stream: str, owner: Owner) -> int:
    """How many messages the durable has not seen acknowledged."""
    info = await connection.jetstream().consumer_info(stream, str(owner))
    return int(info.num_ack_pending or 0) + int(info.num_pending or 0)


async def test_an_event_wakes_who_subscribed(start: Start, ledger: Ledgers, connection: Client) -> None:
    """The service runs for the incident, and acknowledges the message after the run."""
    script = Script()
    service = start(Owner.DIAGNOSER, on(script))
    await service.ready()
    await ledger(Owner.DETECTOR).open(A, opened())
    assert await script.called() == A

    async def acknowledged() -> bool:
        return await pending(connection, "LEDGER", Owner.DIAGNOSER) == 0

    await until(acknowledged, service.bus.clock)


async def test_other_events_do_not_wake_it(start: Start, ledger: Ledgers) -> None:
    """Only the events it names arrive."""
    script = Script()
    service = start(Owner.MITIGATOR, on(script, DiagnosisStarted))
    await service.ready()
    first = await ledger(Owner.DETECTOR).open(A, opened("a"))
    await ledger(Owner.DETECTOR).open(B, opened("b"))
    await ledger(Owner.DIAGNOSER).append(first, DiagnosisStarted())
    assert await script.called() == A
    assert script.calls.empty()


async def test_what_cannot_be_done_now_comes_again(start: Start, ledger: Ledgers) -> None:
    """Retry gives the message back with its delay, as often as it is raised."""
    script = Script([Retry("not yet", after_s=0.05), Retry("not yet", after_s=0.05)])
    await start(Owner.DIAGNOSER, on(script)).ready()
    await ledger(Owner.DETECTOR).open(A, opened())
    assert [await script.called() for _ in range(3)] == [A, A, A]


async def test_a_lost_race_is_run_again_at_once(start: Start, ledger: Ledgers) -> None:
    """Conflict means that somebody was first: the same delivery is decided again."""
    script = Script([Conflict("moved"), Conflict("moved")])
    service = start(Owner.DIAGNOSER, on(script))
    await service.ready()
    await ledger(Owner.DETECTOR).open(A, opened())
    assert [await script.called() for _ in range(3)] == [A, A, A]


async def test_a_refused_message_is_a_dead_letter_with_its_reason(
    start: Start, ledger: Ledgers, connection: Client
) -> None:
    """It is copied whole, never delivered again, and a person can have it tried again."""
    script = Script([Refuse("this can never work")])
    service = start(Owner.DIAGNOSER, on(script))
    await service.ready()
    await ledger(Owner.DETECTOR).open(A, opened())
    await script.called()
    (letter,) = await letters(connection, 1)
    assert (letter.stream, letter.subject, letter.service) == ("LEDGER", "primum.ledger.inc-a.Opened", Owner.DIAGNOSER)
    assert letter.reason == "this can never work"
    assert letter.headers["ce-subject"] == A
    assert opened() == Opened.model_validate_json(letter.data)
    assert script.calls.empty()

    await NatsDeadLetters(connection).retry(letter.number)
    assert await script.called() == A
    assert await NatsDeadLetters(connection).list() == []


async def test_a_bug_is_tried_again_then_buried(start: Start, ledger: Ledgers, connection: Client) -> None:
    """Whatever nobody foresaw is counted and delivered again, up to a limit, and then a dead letter."""
    script = Script([RuntimeError("a bug")] * 2)
    service = start(Owner.UNDO, on(script), max_failures=2)
    await service.ready()
    await ledger(Owner.DETECTOR).open(A, opened())
    assert [await script.called() for _ in range(2)] == [A, A]
    (letter,) = await letters(connection, 1)
    assert letter.reason == "failed 2 times, last with RuntimeError: a bug"
    metrics = (await service.get("/metrics")).text
    assert 'primum_handler_bugs_total{service="undo",work="reconcile"} 2.0' in metrics
    assert 'primum_dead_letters_total{service="undo",work="ledger"} 1.0' in metrics


async def test_an_outage_never_counts(start: Start, ledger: Ledgers, connection: Client) -> None:
    """While the cluster does not answer the message comes again and again, beyond any limit."""
    script = Script([ClusterUnavailable("no answer")] * 2)
    service = start(Owner.DIAGNOSER, on(script), max_failures=1)
    await service.ready()
    await ledger(Owner.DETECTOR).open(A, opened())
    assert [await script.called() for _ in range(3)] == [A] * 3
    assert await NatsDeadLetters(connection).list() == []


async def test_a_buried_message_strands_no_incident(start: Start, ledger: Ledgers, connection: Client) -> None:
    """The sweep goes on with an incident whose message was given up."""
    script = Script([RuntimeError("a bug")])
    service = start(Owner.DIAGNOSER, on(script), max_failures=1, sweep_every_s=0.2)
    await service.ready()
    await ledger(Owner.DETECTOR).open(A, opened())
    assert await script.called() == A
    await letters(connection, 1)
    assert await script.called() == A


async def test_what_is_no_event_is_a_dead_letter(start: Start, connection: Client) -> None:
    """A message on the ledger's subjects that cannot be read is put aside with the reason."""
    script = Script()
    service = start(Owner.DIAGNOSER, on(script))
    await service.ready()
    await connection.jetstream().publish("primum.ledger.inc-a.Opened", b"not json", headers={"ce-subject": "inc-a"})
    (letter,) = await letters(connection, 1)
    assert "is no event" in letter.reason
    assert letter.data == b"not json"
    assert script.calls.empty()


async def test_what_is_no_alert_is_a_dead_letter(start: Start, connection: Client) -> None:
    """The same for the inbox, if the gateway said it; what anybody else said is not read at all."""
    script = Script()
    service = start(Owner.DETECTOR, on_alerts(script))
    await service.ready()
    subject = "primum.alert.test.f1"
    for headers in (seal_of(Owner.GATEWAY).on(subject, {}, b"{}"), seal_of(Owner.MITIGATOR).on(subject, {}, b"{}"), {}):
        await connection.jetstream().publish(subject, b"{}", headers=headers)
    first, *others = await letters(connection, 3)
    assert first.reason.startswith("this is no alert")
    assert {letter.reason.split(":")[0] for letter in others} == {"this alert is not signed by the gateway"}
    assert script.calls.empty()


async def test_of_a_flood_of_forged_messages_only_so_many_are_kept(start: Start, connection: Client) -> None:
    """Who can write thousands does not fill the dead letters; what the gateway said is handled all the same."""
    script = Script()
    service = start(Owner.DETECTOR, lambda bus: replace(on_alerts(script)(bus), wakes_on=frozenset({Opened})))
    await service.ready()
    forged = ["primum.alert.test.f", "primum.ledger.inc-a.Opened"]
    await NatsStream(connection, "", 5).write_each(*(Write(forged[number % 2], b"x") for number in range(120)))
    await NatsInbox(connection, seal_of(Owner.GATEWAY)).put(an_alert())
    assert await script.called() == "f1"

    async def all_ended() -> bool:
        return not any([await pending(connection, stream, Owner.DETECTOR) for stream in ("ALERTS", "LEDGER")])

    await until(all_ended, SystemClock())
    assert len(await NatsDeadLetters(connection).list()) == 100


async def test_a_dead_alert_is_sent_again_whole(start: Start, connection: Client) -> None:
    """Its own delivery id does not make it a repeat."""
    script = Script([Refuse("not today")])
    service = start(Owner.DETECTOR, on_alerts(script))
    await service.ready()
    await NatsInbox(connection, seal_of(Owner.GATEWAY)).put(an_alert())
    assert await script.called() == "f1"
    (letter,) = await letters(connection, 1)
    await NatsDeadLetters(connection).retry(letter.number)
    assert await script.called() == "f1"


async def test_wake_ups_that_come_meanwhile_become_one_run(start: Start, ledger: Ledgers, connection: Client) -> None:
    """One incident is run by one task at a time, and a burst of its events costs one more run."""
    go_on = asyncio.Event()
    script = Script([_waiting_for(go_on)])
    service = start(Owner.DIAGNOSER, on(script, Opened, DiagnosisStarted))
    await service.ready()
    incident = await ledger(Owner.DETECTOR).open(A, opened())
    assert await script.called() == A
    await ledger(Owner.DIAGNOSER).append(incident, DiagnosisStarted())
    for _ in range(10):
        await connection.jetstream().publish("primum.fired.diagnoser.inc-a", b"inc-a")

    async def all_arrived() -> bool:
        info = await connection.jetstream().consumer_info("TIMERS", "diagnoser")
        return bool(info.num_ack_pending == 10)

    await until(all_arrived, service.bus.clock)
    assert script.calls.empty()
    go_on.set()
    assert await script.called() == A

    async def all_acknowledged() -> bool:
        return await pending(connection, "LEDGER", Owner.DIAGNOSER) == 0 == await _stored(connection, "TIMERS")

    await until(all_acknowledged, service.bus.clock)
    assert script.calls.empty()


async def test_different_incidents_run_beside_each_other(start: Start, ledger: Ledgers) -> None:
    """A slow incident holds up no other."""
    never = asyncio.Event()
    script = Script([_waiting_for(never)])
    await start(Owner.DIAGNOSER, on(script), grace_s=0).ready()
    await ledger(Owner.DETECTOR).open(A, opened("a"))
    assert await script.called() == A
    await ledger(Owner.DETECTOR).open(B, opened("b"))
    assert await script.called() == B


async def test_the_sweep_finds_what_was_opened_before_the_service_ever_ran(start: Start, ledger: Ledgers) -> None:
    """A new durable begins now; the first sweep sees to what is older."""
    await ledger(Owner.DETECTOR).open(A, opened())
    script = Script()
    start(Owner.DIAGNOSER, on(script))
    assert await script.called() == A


async def test_a_lost_durable_is_made_again(start: Start, ledger: Ledgers, connection: Client) -> None:
    """Somebody deletes the consumer under the service: it says so, makes it again, and hears."""
    script = Script()
    service = start(Owner.DIAGNOSER, on(script))
    await service.ready()
    js = connection.jetstream()
    before = (await js.consumer_info("LEDGER", "diagnoser")).created
    await js.delete_consumer("LEDGER", "diagnoser")

    async def is_back() -> bool:
        return any(info.created != before for info in await js.consumers_info("LEDGER"))

    await until(is_back, service.bus.clock)
    await ledger(Owner.DETECTOR).open(A, opened())
    assert await script.called() == A


async def test_a_durable_learns_of_new_events(start: Start, ledger: Ledgers) -> None:
    """A later version that subscribes to more is woken by more, on the durable that was there."""
    assert await _once_ready_stop(start(Owner.DIAGNOSER, on(Script(), DiagnosisStarted))) == 0
    script = Script()
    await start(Owner.DIAGNOSER, on(script, Opened)).ready()
    await ledger(Owner.DETECTOR).open(A, opened())
    assert await script.called() == A


async def test_it_finds_back_after_the_server_was_restarted(
    start: Start, nats_server: EmbeddedNats, connection: Client
) -> None:
    """While NATS is away it is alive and not ready, and says why; afterwards it hears as before."""
    script = Script()
    service = start(Owner.DETECTOR, on_alerts(script))
    await service.ready()
    await nats_server.stop()

    async def not_ready() -> bool:
        return not (await service.get("/ready")).is_success

    await until(not_ready, service.bus.clock)
    assert "no NATS answers" in (await service.get("/ready")).json()["reasons"][0]
    assert (await service.get("/alive")).is_success
    await nats_server.start()
    await service.ready()
    await until(lambda: _is_back(connection), service.bus.clock)
    await NatsInbox(connection, seal_of(Owner.GATEWAY)).put(an_alert())
    assert await script.called() == "f1"


async def test_the_stop_gives_back_what_is_held(start: Start, connection: Client) -> None:
    """A handler that does not finish within the grace is cancelled, and another process gets its message at once."""
    first, second = Script([_waiting_for(asyncio.Event())]), Script()
    stopping = start(Owner.DETECTOR, on_alerts(first), grace_s=0, concurrency=1)
    await stopping.ready()
    for fingerprint in ("in-work", "waiting"):
        await NatsInbox(connection, seal_of(Owner.GATEWAY)).put(an_alert(fingerprint=fingerprint))
    assert await first.called() == "in-work"
    assert await stopping.stop() == 0
    start(Owner.DETECTOR, on_alerts(second))
    async with asyncio.timeout(5):  # ack_wait is 30 s
        assert {await second.called(), await second.called()} == {"in-work", "waiting"}


async def test_the_stop_lets_running_handlers_finish(start: Start, ledger: Ledgers, connection: Client) -> None:
    """Within the grace nothing is cut short, and its message is acknowledged."""
    finish, finished = asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        await finish.wait()
        finished.set()

    script = Script([slow])
    service = start(Owner.DIAGNOSER, on(script), grace_s=5)
    await service.ready()
    await ledger(Owner.DETECTOR).open(A, opened())
    await script.called()
    stopping = asyncio.create_task(service.stop())
    asyncio.get_running_loop().call_soon(finish.set)
    assert await stopping == 0
    assert finished.is_set()
    assert await pending(connection, "LEDGER", Owner.DIAGNOSER) == 0


async def test_every_alert_of_a_burst_is_handled_once(start: Start, connection: Client) -> None:
    """Three hundred at once, with a bounded number in work."""
    at_once, most = 0, 0

    async def count() -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.wait([asyncio.ensure_future(connection.flush())])
        at_once -= 1

    script = Script([count] * 300)
    service = start(Owner.DETECTOR, on_alerts(script))
    await service.ready()
    inbox = NatsInbox(connection, seal_of(Owner.GATEWAY))
    await asyncio.gather(*(inbox.put(an_alert(fingerprint=f"f{number}")) for number in range(300)))
    handled = [await script.called() for _ in range(300)]
    assert sorted(handled) == sorted(f"f{number}" for number in range(300))
    assert script.calls.empty()
    assert most <= 2

    async def acknowledged() -> bool:
        return await pending(connection, "ALERTS", Owner.DETECTOR) == 0

    await until(acknowledged, service.bus.clock)


async def test_alerts_that_wait_together_are_handled_together(start: Start, connection: Client) -> None:
    """While the handlers are busy others come: the next call gets them all."""
    batches, gate = list[int](), asyncio.Event()

    async def count(alerts: Sequence[Alert]) -> None:
        batches.append(len(alerts))
        await gate.wait()

    await start(Owner.DETECTOR, taking(count)).ready()
    inbox = NatsInbox(connection, seal_of(Owner.GATEWAY))
    await inbox.put(an_alert(fingerprint="first"))
    for number in range(99):
        await inbox.put(an_alert(fingerprint=f"f{number}"))
    gate.set()

    async def acknowledged() -> bool:
        return await pending(connection, "ALERTS", Owner.DETECTOR) == 0

    await until(acknowledged, SystemClock())
    assert sum(batches) == 100
    assert len(batches) <= 4


async def test_an_alert_that_breaks_the_handler_takes_no_other_with_it(start: Start, connection: Client) -> None:
    """Handled together with others it fails them all; then each is handled alone, and only that one is buried."""
    done, gate = list[str](), asyncio.Event()

    async def choke(alerts: Sequence[Alert]) -> None:
        await gate.wait()
        if any(alert.fingerprint == "poison" for alert in alerts):
            raise RuntimeError("a bug")
        done.extend(alert.fingerprint for alert in alerts)

    service = start(Owner.DETECTOR, taking(choke), max_failures=1, concurrency=1)
    await service.ready()
    for fingerprint in ("a", "b", "poison", "c", "d"):
        await NatsInbox(connection, seal_of(Owner.GATEWAY)).put(an_alert(fingerprint=fingerprint))
    gate.set()
    (letter,) = await letters(connection, 1)
    assert letter.subject.endswith(".poison")

    async def acknowledged() -> bool:
        return await pending(connection, "ALERTS", Owner.DETECTOR) == 0

    await until(acknowledged, service.bus.clock)
    assert sorted(done) == ["a", "b", "c", "d"]


async def test_a_crash_in_the_background_stops_the_service(start: Start) -> None:
    """A service whose heartbeat broke must not pretend to live."""

    async def crash() -> None:
        raise RuntimeError("a bug")

    script = Script()
    service = start(Owner.MITIGATOR, lambda _: Duties(frozenset({Opened}), script, background=(crash,)))
    assert await service.ended() == 1


async def test_a_handler_that_does_not_end_is_cut_off(start: Start, ledger: Ledgers) -> None:
    """An incident is not held for ever by one call that hangs: it is cancelled, counted, and tried again."""
    script = Script([_waiting_for(asyncio.Event())])
    await start(Owner.DIAGNOSER, on(script), handler_timeout_s=0.1).ready()
    await ledger(Owner.DETECTOR).open(A, opened())
    assert [await script.called(), await script.called()] == [A, A]


async def test_it_can_be_stopped_while_it_waits_for_nats(start: Start, nats_server: EmbeddedNats) -> None:
    """A service that never found its NATS ends as cleanly as any."""
    await nats_server.stop()
    service = start(Owner.DIAGNOSER, on(Script()))
    await service.listening()
    assert await service.stop() == 0


async def test_what_it_does_is_said_again_and_again(start: Start) -> None:
    """An activity outlives the bucket's forgetting for as long as the service runs."""
    service = start(Owner.DIAGNOSER, on(Script()), activity_ttl_s=1)
    await service.ready()
    await service.bus.activities.doing("triaging")
    await service.bus.clock.sleep(1.5)
    assert await service.bus.activities.all() == {service.bus.holder: "triaging"}


async def test_who_stopped_does_nothing_any_more(start: Start) -> None:
    """Its successor is another process: for a while people would see two."""
    first, second = start(Owner.DIAGNOSER, on(Script())), start(Owner.DIAGNOSER, on(Script()))
    await first.ready()
    await second.ready()
    await first.stop()
    assert await second.bus.activities.all() == {second.bus.holder: "idle"}


async def test_settings_that_can_never_work_are_refused(start: Start) -> None:
    """The exit status tells a supervisor not to hope."""

    def refuse(_: Bus) -> Duties:
        raise PrimumError("runbook x names no action", advice="mend it")

    assert await start(Owner.MITIGATOR, refuse).ended() == 2


async def test_a_taken_port_is_refused(start: Start) -> None:
    """One line that says which, and what to do."""
    first = start(Owner.DIAGNOSER, on(Script()))
    await first.ready()
    port = int((await first.get("/alive")).url.port or 0)
    assert await start(Owner.DIAGNOSER, on(Script()), port=port).ended() == 2


def _waiting_for(event: asyncio.Event) -> Callable[[], Awaitable[None]]:
    async def wait() -> None:
        await event.wait()

    return wait


async def _once_ready_stop(service: RunningService) -> int:
    await service.ready()
    return await service.stop()


async def _is_back(connection: Client) -> bool:
    return connection.is_connected


async def _stored(connection: Client, stream: str) -> int:
    return (await connection.jetstream().stream_info(stream)).state.messages


async def letters(connection: Client, count: int) -> Sequence[DeadLetter]:
    """Wait for so many dead letters, and return them; it is the operator who reads them."""
    dead = NatsDeadLetters(connection)

    async def there() -> bool:
        return len(await dead.list()) >= count

    await until(there, SystemClock())
    return await dead.list()
