"""One row: a stage with several of each service, and what is left in the cluster and in the streams."""

import tempfile
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from eval.crash import count, matrix
from eval.crash import row as crash
from eval.crash.edges import CONFIRMED
from eval.crash.matrix import ACK_WAIT_S
from eval.crash.people import People
from eval.crash.trouble import FOLDER, SABOTAGE, to_environment
from eval.lab_ground import LabGround, lab_ground
from eval.logbook import Logbook, read_bus
from eval.nats_cluster import NODES, NatsCluster
from eval.replicas.cases import Case
from eval.stage import Organs, Stage
from services.cli.bus import keys_in
from services.cli.supervisor import SERVICES
from shared.adapters import nkey
from shared.adapters.nats_connection import User
from shared.adapters.seal import FOLLOWS
from shared.adapters.system import SystemClock
from shared.bus.permissions import authorization
from shared.domain.errors import IllegalTransition, PrimumError
from shared.domain.incident import State, advance
from shared.ports.clock import Clock

PATIENCE_S: Final = 15.0
"""How long a person asks the gateways again, while a leader is elected."""
COUNTS: Final = ("lost", "doubled", "orphaned", "illegal", "effects_twice", "residue")


@dataclass
class Row(crash.Row):
    """What is left of a case."""

    replicas: int = 1
    servers: int = 1
    """Of NATS."""
    alerts: int = 0
    illegal: list[str] = field(default_factory=list)
    effects_twice: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether everything is as with one of each and a bus that never falters."""
        return not (self.missed or self.problems or any(self._counted().values()))

    def as_json(self) -> dict[str, Any]:
        """As `primum eval replicas --json` has it: counts first, then what they count."""
        counted = self._counted()
        return {
            "case": self.moment,
            "replicas": self.replicas,
            "servers": self.servers,
            "incidents": self.incidents,
            "alerts": self.alerts,
            **{name: len(found) for name, found in counted.items()},
            "seed": self.seed,
            "ok": self.ok,
            "missed": self.missed,
            "untried": self.untried,
            "restarts": dict(self.restarts),
            "scenarios": list(self.scenarios),
            "trouble": self.trouble,
            "problems": self.problems + [line for name, found in counted.items() for line in crash.told(name, found)],
            "story": [] if self.ok else self.story,
            "elapsed_s": self.elapsed_s,
        }

    def _counted(self) -> Mapping[str, list[str]]:
        return {name: getattr(self, name) for name in COUNTS}


def row_of(case: Case, seed: int) -> Row:
    """A row of which nothing is known yet."""
    scenarios = tuple(kind.name for kind in case.scenarios)
    servers = NODES if case.leader_of else 1
    return Row(f"{case.replicas} of each", case.name, seed, scenarios, replicas=case.replicas, servers=servers)


async def play(case: Case, seed: int, within_s: float, sabotage: str, say: Callable[[str], None]) -> Row:
    """Play one case from the beginning to the end."""
    clock, row = SystemClock(), row_of(case, seed)
    began_s = clock.monotonic_s()
    async with AsyncExitStack() as stack:
        own = tempfile.TemporaryDirectory(prefix="primum-replicas-", ignore_cleanup_errors=True)
        data = Path(stack.enter_context(own))
        people = await stack.enter_async_context(People())
        try:
            cluster = await stack.enter_async_context(three(data, clock)) if case.leader_of else None
            say(f"{case.name}: starts {case.replicas} of each service")
            organs = _organs(case, data, people.url, cluster, sabotage)
            ground = await stack.enter_async_context(lab_ground(seed))
            stage = await stack.enter_async_context(Stage(ground, organs, data))
            say(f"{case.name}: {', '.join(row.scenarios)}")
            await _Run(case.as_crash(cluster), row, stage, clock, within_s, cluster=cluster).play()
        except (PrimumError, TimeoutError) as error:
            row.problems.append(str(error) or type(error).__name__)
        told = people.told.items()
        row.effects_twice += [f"a person was told {name} {times} times" for name, times in told if times > 1]
    row.elapsed_s = round(clock.monotonic_s() - began_s, 1)
    return row


def three(data: Path, clock: Clock) -> NatsCluster:
    """Three servers that know the keys of a data folder, which are made if they are not there."""
    known = nkey.make(keys_in(data))
    return NatsCluster(data / "cluster", clock, more=authorization(known), user=operator(data))


def operator(data: Path) -> User:
    """Who looks after the bus of a data folder."""
    return User(nkey.OPERATOR, nkey.load_key(nkey.seed_file(keys_in(data), nkey.OPERATOR)))


def _organs(case: Case, data: Path, people: str, cluster: NatsCluster | None, sabotage: str) -> Organs:
    """Services that write down what the bus confirmed to them; that is all that is added."""
    return Organs(
        modules=dict.fromkeys(SERVICES, "eval.crash.edges"),
        env={
            name: {**to_environment((), name), **({"PRIMUM_NOTIFY_URL": people} if name == "gateway" else {})}
            for name in SERVICES
        },
        everywhere={
            FOLDER: str(data),
            SABOTAGE: sabotage,
            "PRIMUM_ACK_WAIT_S": str(ACK_WAIT_S),
            **({"PRIMUM_NATS_REPLICAS": str(NODES)} if cluster else {}),
        },
        replicas=case.replicas,
        nats_url=cluster.url if cluster else "",
        patience_s=PATIENCE_S,
    )


class _Run(crash.Run):
    """One case under way on its stage."""

    def __init__(  # noqa: PLR0913 - what a row of the kill matrix needs, and the bus
        self,
        case: matrix.Case,
        row: Row,
        stage: Stage[LabGround],
        clock: SystemClock,
        within_s: float,
        *,
        cluster: NatsCluster | None,
    ) -> None:
        super().__init__(case, row, stage, clock, within_s)
        self._replicas_row, self._cluster = row, cluster

    async def _read(self) -> Logbook:
        if self._cluster is None:
            return await super()._read()
        return await read_bus(self._cluster.url, operator(self._stage.data))

    def _count(self, logbook: Logbook) -> None:
        row, told = self._replicas_row, self._stage.ground.deliveries
        expected = self._expected
        row.incidents = len(count.incidents_of(logbook))
        row.alerts = len({(one.fingerprint, one.status, one.starts_at) for one in told})
        row.lost = count.lost(logbook, told, crash.confirmed(self._stage.data / CONFIRMED))
        row.doubled = count.doubled(logbook, count.Writes(), sum(one.incidents for one in expected))
        row.effects_twice += self._writes.doubled()
        row.orphaned = logbook.orphaned()
        row.illegal = illegal(logbook)
        row.problems += count.ending(logbook, expected)
        row.untried = count.untried(logbook)
        row.story = count.story(logbook)
        if not logbook.alerts:
            row.problems.append("no alert was ever stored: this row shows nothing")


def illegal(logbook: Logbook) -> list[str]:
    """Every event that the table has no place for where it stands, or that does not follow the one before it."""
    found = list[str]()
    for name, events in count.incidents_of(logbook).items():
        state: State | None = None
        last = ""
        for event in events:
            said, headers = f"{name}: {event['type']} (sequence {event['sequence']})", event["headers"]
            if headers.get(FOLLOWS, "") != last:
                found.append(f"{said} does not follow the event before it")
            try:
                state = advance(state, count.event_of(event))
            except IllegalTransition as error:
                found.append(f"{said}: {error}")
            last = headers.get("ce-id", "")
    return found
