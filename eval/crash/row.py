"""One row of the matrix: a fresh stage, some faults, one trouble, and what is left when everything is over."""

import asyncio
import json
import random
import resource
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import nats.errors

from eval.crash import count
from eval.crash.edges import CONFIRMED
from eval.crash.matrix import ACK_WAIT_S, HEARTBEAT_TTL_S, HOLD_S, HOLDER_CHECK_EVERY_S, Case
from eval.crash.outside import FullDisk, small_disk, thaw
from eval.crash.people import People
from eval.crash.trouble import FOLDER, SABOTAGE, Act, to_environment
from eval.lab_ground import LabGround, lab_ground
from eval.logbook import Logbook, inbox, read_logbook
from eval.oracles import failing_ratio, residue, written_objects
from eval.play import FAILING_AT_MOST, SERVED_FOR_S
from eval.stage import AT_REST_WITHIN_S, Organs, Stage
from services.cli.supervisor import SERVICES
from shared.adapters.nats_connection import User
from shared.adapters.nkey import OPERATOR, load_key, seed_file
from shared.adapters.system import SystemClock
from shared.domain.errors import LedgerUnavailable, PrimumError

ENDS_WITHIN_S: Final = 100.0
"""A busy machine and all; an undisturbed row is over within 10 s."""
_MOST_TOLD: Final = 5
LOOK_EVERY_S: Final = 0.2
_OVER: Final = frozenset({"closed", "stuck", "escalated"})


@dataclass
class Row:
    """What is left of a case. `missed`: the trouble never came, so the row says nothing."""

    victim: str
    moment: str
    seed: int
    scenarios: tuple[str, ...]
    incidents: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    orphaned: list[str] = field(default_factory=list)
    residue: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)
    missed: bool = False
    skipped: str = ""
    untried: int = 0
    told_again: int = 0
    restarts: Mapping[str, int] = field(default_factory=dict)
    story: list[str] = field(default_factory=list)
    ready_s: float = 0.0
    """When everything ran and the faults could come."""
    cpu_s: float = 0.0
    """Of the lab, the services and NATS together: what a row costs a machine that has more to do."""
    elapsed_s: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether everything is as without the fault."""
        return not (self.lost or self.doubled or self.orphaned or self.residue or self.problems)

    def as_json(self) -> dict[str, Any]:
        """As `primum eval crash --json` has it: counts first, then what they count."""
        lists = {name: getattr(self, name) for name in ("lost", "doubled", "orphaned", "residue")}
        return {
            "victim": self.victim,
            "moment": self.moment,
            "seed": self.seed,
            "ok": self.ok,
            "missed": self.missed,
            "skipped": self.skipped,
            "incidents": self.incidents,
            **{name: len(found) for name, found in lists.items()},
            "untried": self.untried,
            "told_again": self.told_again,
            "restarts": dict(self.restarts),
            "scenarios": list(self.scenarios),
            "trouble": self.trouble,
            "problems": [*self.problems, *(line for name, found in lists.items() for line in told(name, found))],
            "story": [] if self.ok else self.story,
            "ready_s": self.ready_s,
            "cpu_s": self.cpu_s,
            "elapsed_s": self.elapsed_s,
        }


def told(name: str, found: Sequence[str]) -> list[str]:
    """The first lines of what a count counts."""
    more = len(found) - _MOST_TOLD
    return [f"{name}: {line}" for line in found[:_MOST_TOLD]] + ([f"{name}: and {more} more"] if more > 0 else [])


async def play(case: Case, seed: int, within_s: float = ENDS_WITHIN_S, sabotage: str = "") -> Row:
    """Play one case from the beginning to the end."""
    clock = SystemClock()
    began_s = clock.monotonic_s()
    row = Row(case.victim, case.moment, seed, tuple(kind.name for kind in case.scenarios))
    async with AsyncExitStack() as stack:
        own = tempfile.TemporaryDirectory(prefix="primum-crash-", ignore_cleanup_errors=True)
        data = Path(stack.enter_context(own))
        if isinstance(case.outside, FullDisk):
            await stack.enter_async_context(small_disk(data))
        people = await stack.enter_async_context(People())
        try:
            ground = await stack.enter_async_context(lab_ground(seed))
            stage = await stack.enter_async_context(Stage(ground, _organs(case, data, people.url, sabotage), data))
            row.ready_s = round(clock.monotonic_s() - began_s, 1)
            await Run(case, row, stage, clock, within_s).play()
        except PrimumError as error:
            row.problems.append(str(error))
        row.told_again = people.told_again
    row.elapsed_s = round(clock.monotonic_s() - began_s, 1)
    row.cpu_s = round(_cpu_s(), 1)
    return row


def _cpu_s() -> float:
    """Of this process, which plays one row, and of all that it started and that ended."""
    used = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def _organs(case: Case, data: Path, people: str, sabotage: str) -> Organs:
    return Organs(
        modules=dict.fromkeys(SERVICES, "eval.crash.edges"),
        env={
            name: {**to_environment(case.blows, name), **({"PRIMUM_NOTIFY_URL": people} if name == "gateway" else {})}
            for name in SERVICES
        },
        everywhere={
            FOLDER: str(data),
            SABOTAGE: sabotage,
            "PRIMUM_HEARTBEAT_TTL_S": str(HEARTBEAT_TTL_S),
            "PRIMUM_ACK_WAIT_S": str(ACK_WAIT_S),
            "PRIMUM_HOLDER_CHECK_EVERY_S": str(HOLDER_CHECK_EVERY_S),
        },
    )


class Run:
    """One case under way on its stage."""

    def __init__(self, case: Case, row: Row, stage: Stage[LabGround], clock: SystemClock, within_s: float) -> None:
        self._case, self._row, self._stage, self._clock, self._within_s = case, row, stage, clock, within_s
        self._rng = random.Random(row.seed)
        self._scenarios = case.cast(self._rng)
        self._expected = [scenario.expected for scenario in self._scenarios]
        self._writes = count.Writes()

    async def play(self) -> None:
        """Break things, let the trouble come, wait for the end, and count."""
        ground, row = self._stage.ground, self._row
        await ground.until(ground.at_rest, AT_REST_WITHIN_S)
        before = await written_objects(ground.operator)
        self._writes.watch(ground.lab.store)
        thawing = [
            asyncio.create_task(thaw(self._stage.data, blow, HOLD_S, self._clock))
            for blow in self._case.blows
            if blow.act is Act.FREEZE
        ]
        trouble = asyncio.create_task(self._befall())
        try:
            await asyncio.gather(*(scenario.inject(ground) for scenario in self._scenarios))
            await self._until_over(trouble)
        except TimeoutError:
            row.problems.append("the shop did not get where the scenario needs it")
        finally:
            for task in (*thawing, trouble):
                task.cancel()
            await asyncio.gather(*thawing, trouble, return_exceptions=True)
        row.missed = not self._struck()
        truth = before
        for scenario in self._scenarios:
            truth = scenario.afterwards(truth)
        row.residue = residue(truth, await written_objects(ground.operator))
        await self._serves_its_users()
        row.restarts = {
            name: child.restarts for name, child in self._stage.supervisor.children.items() if child.restarts
        }
        await self._stage.stop_primum()
        self._count(await self._read())

    async def _befall(self) -> None:
        if self._case.outside is not None:
            self._row.trouble.append(await self._case.outside.befall(self._stage, self._rng, self._clock))

    def _struck(self) -> bool:
        """Whether all of the trouble truly came."""
        fallen = [blow for blow in self._case.blows if (self._stage.data / blow.mark).exists()]
        self._row.trouble += [f"{blow.act} of {' and '.join(blow.victims)} {blow.edge}" for blow in fallen]
        return len(fallen) == len(self._case.blows) and bool(self._row.trouble)

    # --- until it is over

    async def _until_over(self, trouble: asyncio.Task[None]) -> None:
        deadline_s = self._clock.monotonic_s() + self._within_s
        approvals = sum(expected.approvals for expected in self._expected)
        while True:
            found = await self._look()
            for summary in found:
                if summary["state"] == "awaiting_approval" and approvals:
                    approvals -= await self._approve(summary["id"])
            enough = len(found) >= sum(expected.incidents for expected in self._expected)
            over = enough and all(summary["state"] in _OVER for summary in found)
            hopeless = any(summary["state"] != "closed" for summary in found)
            if (
                over
                and trouble.done()
                and (hopeless or (await self._stage.ground.at_rest() and await self._inbox_is_empty()))
            ):
                return
            if self._clock.monotonic_s() > deadline_s:
                self._row.problems.append(f"not over within {self._within_s:g} s")
                return
            await self._clock.sleep(LOOK_EVERY_S)

    async def _look(self) -> Sequence[Mapping[str, Any]]:
        """All incidents; nothing while the gateway is away, which is what this is about."""
        try:
            return await self._stage.incidents()
        except httpx.HTTPError:
            return []

    async def _inbox_is_empty(self) -> bool:
        """Whether the bus has every alert acknowledged: what is still to be handled is late, and not lost."""
        primum = self._stage.supervisor
        operator = User(OPERATOR, load_key(seed_file(primum.keys_dir, OPERATOR)))
        try:
            left = await inbox(primum.nats_url, operator)
        except (LedgerUnavailable, nats.errors.Error, OSError, TimeoutError):
            return False
        return left == 0

    async def _approve(self, name: str) -> bool:
        try:
            plan = (await self._stage.incident(name))["plan"]
            return plan is not None and await self._stage.approve(name, plan["hash"])
        except httpx.HTTPError:  # it died of it, or before: asked again at the next look
            return False

    # --- what is left

    async def _serves_its_users(self) -> None:
        ground = self._stage.ground
        served = await ground.users()
        await ground.pass_s(SERVED_FOR_S)
        failing = failing_ratio(served, await ground.users())
        if failing > FAILING_AT_MOST:
            self._row.problems.append(f"{failing:.1%} of users' requests still fail")

    async def _read(self) -> Logbook:
        return await read_logbook(self._stage.data)

    def _count(self, logbook: Logbook) -> None:
        row, expected = self._row, self._expected
        told = self._stage.ground.deliveries
        if not logbook.alerts:
            row.problems.append("no alert was ever stored: this row shows nothing")
        row.incidents = len(count.incidents_of(logbook))
        row.lost = count.lost(logbook, told, confirmed(self._stage.data / CONFIRMED))
        row.doubled = count.doubled(logbook, self._writes, sum(one.incidents for one in expected))
        row.orphaned = logbook.orphaned()
        row.problems += count.ending(logbook, expected)
        row.untried = count.untried(logbook)
        row.story = count.story(logbook)


def confirmed(file: Path) -> list[Mapping[str, Any]]:
    """What the bus confirmed to the services, as they wrote it down."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
