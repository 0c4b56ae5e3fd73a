"""Old ledgers, read by this code: every recording comes to what it came to when it was made."""

from pathlib import Path
from typing import cast

import pytest
from nats.aio.client import Client

from eval.recording import FOLDER, Recording, account, load
from shared.adapters.nats_ledger import NatsLedger, Writer
from shared.adapters.nkey import Keyring, public_keys
from shared.adapters.seal import Seal
from shared.adapters.system import RandomIdentity, SystemClock
from shared.bus import streams
from shared.bus.work import alert_of
from shared.domain.events import Owner
from shared.domain.ids import IncidentId
from shared.domain.incident import State
from shared.testing.keys import key_of

RECORDINGS = sorted(FOLDER.iterdir())


def the_ledger(connection: Client, recording: Recording) -> NatsLedger:
    """A ledger of today that knows the recording's keys; its own is the newest of several, as after a rotation."""
    ours, known = key_of(Owner.DETECTOR), public_keys(recording.keyring)
    keys = {owner: [*known[owner], *([ours.public] if owner is Owner.DETECTOR else [])] for owner in Owner}
    return NatsLedger(connection, Writer(Seal(Owner.DETECTOR, ours, Keyring(keys)), SystemClock(), RandomIdentity()))


@pytest.mark.parametrize("folder", RECORDINGS, ids=lambda folder: folder.name)
async def test_an_old_ledger_comes_to_what_it_came_to(folder: Path, connection: Client) -> None:
    """Every event counts, every state, reason and transaction is the same; no fact and no alert has become unreadable.

    Red means: what people have on their disks is misread. Give a new field a default, keep a name's meaning, and give
    what means something else another name. The recording is not what to change.
    """
    recording = load(folder)
    js = connection.jetstream()
    for stream in (streams.LEDGER, streams.FACTS):
        for message in recording.messages[stream]:
            ack = await js.publish(message.subject, message.data, headers=dict(message.headers))
            assert (ack.stream, ack.seq) == (stream, message.sequence)
    ledger = the_ledger(connection, recording)
    found = {incident: await ledger.fold(IncidentId(incident)) for incident in recording.incidents}
    assert {name: account(incident) for name, incident in found.items()} == recording.incidents
    assert {incident.refused for incident in found.values()} == {0}
    told = [len(await ledger.facts(IncidentId(incident))) for incident in recording.incidents]
    assert sum(told) == len(recording.messages[streams.FACTS])
    assert [alert_of(message) for message in recording.messages[streams.ALERTS]]


def test_the_recordings_pass_through_every_state() -> None:
    """A state that no recording has could be misread, and nobody would know."""
    known = [incident for folder in RECORDINGS for incident in load(folder).incidents.values()]
    assert {str(state) for incident in known for state in cast("list[str]", incident["states"])} == set(State)
