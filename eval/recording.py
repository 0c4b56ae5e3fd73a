"""Ledgers of whole runs, kept as they were written: every later Primum shows that it reads them to the same end.

`make recording NAME=0002-what-is-new` makes one: scenarios of the demo, and a person who takes one back that somebody
else has edited meanwhile. One that is there is never made again.
"""

import argparse
import asyncio
import gzip
import json
import sys
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import nats

from eval.demo import cast
from eval.ground import Site
from eval.lab_ground import lab_ground
from eval.play import Play
from eval.scenarios.scenario import Scenario
from eval.stage import Stage
from shared.adapters.nats_server import EmbeddedNats
from shared.adapters.nats_stream import NatsStream, Stored
from shared.adapters.nkey import KEYRING, public_keys
from shared.adapters.system import SystemClock
from shared.bus import streams
from shared.domain.errors import PrimumError
from shared.domain.frozen import Json, JsonObject
from shared.domain.incident import Incident
from shared.domain.transaction import Transaction

FOLDER: Final = Path(__file__).parents[1] / "tests" / "recorded"
_SCENARIOS: Final = ("misleading-rollout", "gray-node", "memory-limit", "healed-before")
KEPT: Final = (streams.ALERTS, streams.LEDGER, streams.FACTS, streams.DEAD)
_CLOSED_WITHIN_S: Final = 60.0
_LOOK_EVERY_S: Final = 0.2


@dataclass(frozen=True)
class Recording:
    """Messages by stream, oldest first; whose keys signed them; and what the incidents are when all are read."""

    messages: Mapping[str, Sequence[Stored]]
    keyring: Path
    incidents: Mapping[str, JsonObject]


@dataclass(frozen=True)
class Made:
    """A recording to be kept: a line for each message, what the incidents came to, and everybody's public keys."""

    messages: Sequence[JsonObject]
    incidents: Mapping[str, JsonObject]
    keyring: Mapping[str, Sequence[str]]


def load(folder: Path) -> Recording:
    """Read a recording."""
    messages: dict[str, list[Stored]] = {stream: [] for stream in KEPT}
    with gzip.open(folder / "messages.jsonl.gz", "rt") as lines:
        for line in lines:
            said = json.loads(line)
            stored = Stored(said["subject"], said["sequence"], said["headers"], said["data"].encode())
            messages[said["stream"]].append(stored)
    return Recording(messages, folder / KEYRING, json.loads((folder / "incidents.json").read_text()))


def account(incident: Incident) -> JsonObject:
    """What an incident's events come to, and must always come to."""
    causes: list[Json] = [f"{cause.code} at {cause.object}" for cause in incident.causes]
    return {
        "sequence": incident.sequence,
        "state": incident.state,
        "states": list[Json](incident.states),
        "title": incident.title,
        "key": incident.key,
        "causes": causes,
        "excluded": list[Json](sorted(incident.excluded)),
        "transactions": [_transaction(known) for known in incident.transactions],
    }


def _transaction(known: Transaction) -> JsonObject:
    return {
        "id": known.id,
        "plan": known.plan.hash,
        "epoch": known.epoch,
        "outcome": known.outcome,
        "verdict": known.verdict.word if known.verdict else None,
        "undo_why": known.undo_why,
        "unproven": known.unproven,
        "untried": known.untried,
        "intended": [intent.step for intent in known.intents],
        "applied": list[Json](sorted(known.steps_applied)),
        "undone": list[Json](sorted(known.steps_undone)),
    }


async def record(seed: int) -> Made:
    """Play it all. Raises PrimumError if it ends wrongly."""
    with tempfile.TemporaryDirectory(prefix="primum-recording-") as made:
        data = Path(made)
        async with lab_ground(seed) as ground, Stage(ground, data=data) as stage:
            await _stuck(stage, *cast(seed, ["wrong-selector"]))
            for scenario in cast(seed, _SCENARIOS):
                await _play(Play(scenario, stage, SystemClock()))
            incidents = await _closed(stage)
            await stage.stop_primum()
            keyring = public_keys(stage.supervisor.keys_dir / KEYRING)
            return Made(await _read(data), incidents, keyring)


async def _play(play: Play) -> None:
    sys.stderr.write(f"{play.scenario.name}\n")
    async for _ in play.run():
        pass
    if not play.result.ok:
        said = "; ".join([*play.result.problems, *play.result.residue])
        raise PrimumError(f"{play.scenario.name} did not end as it must ({said})", advice="record it again")


async def _stuck(stage: Stage[Site], scenario: Scenario) -> None:
    """Mend it, let somebody edit what was mended, and take it back: that cannot be done, and a person closes it."""
    sys.stderr.write("what cannot be taken back\n")
    ground = stage.ground
    await ground.until(ground.at_rest, _CLOSED_WITHIN_S * ground.pace)
    known = {each["id"] for each in await stage.incidents()}
    namespace, name = ground.shop.namespace, ground.shop.services[scenario.role]
    await scenario.inject(ground)
    incident = await _in(stage, known, "resolved")
    await ground.operator.merge("Service", namespace, name, {"spec": {"selector": {"app": f"{name}-canary"}}})
    mended = incident.transactions[-1].id
    await stage.order(f"/api/transactions/{mended}/undo", reason="I want it as it was")
    await _in(stage, known, "stuck")
    await ground.operator.merge("Service", namespace, name, {"spec": {"selector": {"app": name}}})
    for each in await stage.incidents():
        if each["id"] not in known:
            await stage.close(each["id"])


async def _in(stage: Stage[Site], known: Collection[str], state: str) -> Incident:
    """Wait for a new incident in that state. Raises PrimumError."""
    for _ in range(round(_CLOSED_WITHIN_S / _LOOK_EVERY_S)):
        new = [each for each in await stage.incidents() if each["id"] not in known]
        for each in new:
            if each["state"] == state:
                return Incident.model_validate((await stage.incident(each["id"]))["incident"])
        await SystemClock().sleep(_LOOK_EVERY_S)
    found = [f"{each['state']} ({each['reason']})" for each in new]
    raise PrimumError(f"no incident came to be {state}, but {found}", advice="record it again")


async def _closed(stage: Stage[Site]) -> Mapping[str, JsonObject]:
    async with asyncio.timeout(_CLOSED_WITHIN_S):
        while any(each["state"] != "closed" for each in await stage.incidents()):
            await SystemClock().sleep(_LOOK_EVERY_S)
    whole = [await stage.incident(each["id"]) for each in reversed(await stage.incidents())]
    return {each["incident"]["id"]: account(Incident.model_validate(each["incident"])) for each in whole}


async def _read(data: Path) -> Sequence[JsonObject]:
    """Every message of the streams that Primum left."""
    async with EmbeddedNats(data / "nats") as server:
        connection = await nats.connect(server.url)
        try:
            return [
                {
                    "stream": stream,
                    "subject": each.subject,
                    "sequence": each.sequence,
                    "headers": {name: said for name, said in each.headers.items() if not name.startswith("Nats-")},
                    "data": each.data.decode(),
                }
                for stream in KEPT
                for each in await NatsStream(connection, stream, timeout_s=10).after(">")
            ]
        finally:
            await connection.close()


def write(folder: Path, made: Made) -> None:
    """Keep it, small: a folder with the messages, the public keys, and what the incidents came to."""
    folder.mkdir(parents=True)
    said = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in made.messages)
    (folder / "messages.jsonl.gz").write_bytes(gzip.compress(said.encode(), mtime=0))
    (folder / "incidents.json").write_text(json.dumps(made.incidents, indent=2) + "\n", encoding="utf-8")
    (folder / KEYRING).write_text(json.dumps(made.keyring, indent=2) + "\n", encoding="utf-8")


def _new(folder: Path) -> Path:
    if folder.exists():
        raise PrimumError(f"{folder} is there", advice="a recording is never made again: name another folder")
    return folder


def main() -> int:
    """Record; 2 if it cannot be."""
    parser = argparse.ArgumentParser(prog="make recording", description=__doc__)
    parser.add_argument("name", help="its folder under tests/recorded, e.g. 0002-two-clusters")
    parser.add_argument("--seed", type=int, default=7, help="draws whom each fault hits")
    chosen = parser.parse_args()
    try:
        folder = _new(FOLDER / chosen.name)
        write(folder, asyncio.run(record(chosen.seed)))
    except KeyboardInterrupt:
        sys.stderr.write("stopped\n")
        return 130
    except PrimumError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
