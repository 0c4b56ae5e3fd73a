"""The log of a run, read after everything was shut down, by its own NATS on the same data: nobody's word is taken."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig
from nats.js.client import JetStreamContext

from shared.adapters.nats_connection import User, connected
from shared.adapters.nats_server import EmbeddedNats
from shared.domain.alert import Alert
from shared.domain.events import EVENTS, FACTS
from shared.domain.transaction import Lock

BATCH: Final = 500
_LONGEST_REASON: Final = 200
_ENDS: Final = ("Kept", "KeptMoreToDo", "Undone", "UndoneUntried", "UndoneForGood", "UndoStuck")
_FORMS: Final[Mapping[str, Callable[[bytes], object]]] = {
    "primum.alert.": Alert.model_validate_json,
    "primum.ledger.": EVENTS.validate_json,
    "primum.fact.": FACTS.validate_json,
    "primum.lock.": Lock.model_validate_json,
}
"""What must be readable, by the beginning of its subject."""


@dataclass(frozen=True)
class Logbook:
    """The bodies of the streams, as parsed JSON, oldest first; each with its `subject`, `sequence`, `headers`."""

    alerts: tuple[Mapping[str, Any], ...]
    ledger: tuple[Mapping[str, Any], ...]
    facts: tuple[Mapping[str, Any], ...] = ()
    dead: tuple[Mapping[str, Any], ...] = ()
    unreadable: tuple[str, ...] = ()
    """What is in none of these, as it is nothing that Primum writes, and why; whoever wrote it is not asked here."""

    def lost(self, acknowledged: set[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
        """Alerts that a sender got a 2xx for, as (fingerprint, status, startsAt), and the stream does not have."""
        stored = {(alert["fingerprint"], alert["status"], to_ms(alert["starts_at"])) for alert in self.alerts}
        return sorted(
            (mark, status, starts)
            for mark, status, starts in acknowledged
            if (mark, status, to_ms(starts)) not in stored
        )

    def orphaned(self) -> list[str]:
        """Transactions that were begun, or begun to be undone, and never ended; and locks that nobody let go."""
        under_way: set[str] = set()
        locks: dict[str, Mapping[str, Any]] = {}
        for event in self.ledger:
            if event["subject"].startswith("primum.lock."):
                locks[event["subject"]] = event
            elif event.get("type") in ("TransactionOpened", "UndoRequested"):
                under_way.add(event["transaction"])
            elif event.get("type") in _ENDS:
                under_way.discard(event["transaction"])
        held = [lock["transaction"] for lock in locks.values() if lock.get("held")]
        return sorted({*under_way, *held})


def to_ms(stamp: str) -> datetime:
    """RFC 3339, cut to milliseconds: senders and stream print the same moment differently."""
    moment = datetime.fromisoformat(stamp)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


async def read_logbook(data: Path) -> Logbook:
    """Start a NATS on the data that a stopped Primum left, and read it. Raises PrimumError if it does not start."""
    async with EmbeddedNats(data / "nats") as server:
        return await read_bus(server.url)


async def read_bus(url: str, user: User | None = None) -> Logbook:
    """Read the streams of a NATS that runs; `url` may name several servers of one cluster, with commas between."""
    async with connected(url, user) as connection:
        jetstream = connection.jetstream()
        unreadable: list[str] = []
        alerts, ledger, facts, dead = [
            await _read(jetstream, name, unreadable) for name in ("ALERTS", "LEDGER", "FACTS", "DEAD")
        ]
    return Logbook(alerts, ledger, facts, dead, tuple(unreadable))


async def inbox(url: str, user: User) -> int:
    """How many alerts the detector's durable has yet to see acknowledged, as the server says.

    Raises LedgerUnavailable and nats.errors.
    """
    async with connected(url, user, timeout_s=2) as connection:
        known = await connection.jetstream(timeout=2).consumer_info("ALERTS", "detector")
    return (known.num_pending or 0) + (known.num_ack_pending or 0)


async def _read(jetstream: JetStreamContext, stream: str, unreadable: list[str]) -> tuple[Mapping[str, Any], ...]:
    config = ConsumerConfig(ack_policy=AckPolicy.NONE)
    reader = await jetstream.pull_subscribe("", stream=stream, config=config)
    left = (await jetstream.stream_info(stream)).state.messages
    found: list[Mapping[str, Any]] = []
    while left > 0:
        for message in await reader.fetch(min(BATCH, left), timeout=5):
            left -= 1
            place = {"subject": message.subject, "sequence": message.metadata.sequence.stream}
            try:
                found.append({**_body(message), **place, "headers": dict(message.headers or {})})
            except ValueError as error:  # pydantic's, too
                why = " ".join(str(error).split())[:_LONGEST_REASON]
                unreadable.append(f"{stream} {place['sequence']} ({message.subject[:_LONGEST_REASON]}): {why}")
    return tuple(found)


def _body(message: Msg) -> Mapping[str, Any]:
    """Return the body, empty if it is no JSON object and need not be one. Raises ValueError if it is not legible."""
    for beginning, read in _FORMS.items():
        if message.subject.startswith(beginning):
            read(message.data)
    body: Mapping[str, Any] = json.loads(message.data) if message.data.startswith(b"{") else {}
    return body
