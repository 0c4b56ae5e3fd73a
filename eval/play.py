"""Play one scenario on a stage, and say by the oracles how it ended."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from eval.ground import GroundName, Site
from eval.lab.alertmanager import Delivery
from eval.oracles import Objects, between, failing_ratio, is_served, remove_others, residue, restore, written_objects
from eval.scenarios.noise import SILENCE, Noise
from eval.scenarios.scenario import RightEnd, Scenario
from eval.stage import Stage
from shared.ports.clock import Clock

ENDS_WITHIN_S: Final[Mapping[GroundName, float]] = {"lab": 900.0, "kubernetes": 420.0}
"""Of the ground's time, as the next five; on a busy machine a lab, which is fast, needs much of it."""
CLOSED_WITHIN_S: Final = 300.0
SERVED_FOR_S: Final = 12.0
RESTS_WITHIN_S: Final = 90.0
HEALS_WITHIN_S: Final = 90.0
LINGERS_S: Final = 30.0
"""What stays broken shows in more and more alerts; so long after the last new one it is taken to be all of them."""
LOOK_EVERY_S: Final = 0.2
FAILING_AT_MOST: Final = 0.02
"""Of users' requests, once it is over; noise has a twentieth of that."""
_OVER: Final = frozenset({"resolved", "closed"})
_LOST: Final = frozenset({"escalated", "stuck"})

Detail = Mapping[str, Any]


@dataclass
class Result:
    """How a scenario ended; `problems` is empty if it ended as it must."""

    name: str
    title: str
    role: str
    problems: list[str] = field(default_factory=list)
    residue: list[str] = field(default_factory=list)
    incidents: Sequence[Detail] = ()
    approvals: list[Mapping[str, Any]] = field(default_factory=list)
    """The plans that a person was shown."""
    merged: Sequence[Detail] = ()
    """Incidents that proved to be part of another one, and were closed into it."""
    distinct_alerts: int = 0
    told_at: datetime | None = None
    """When Primum's webhook took the first alert."""
    fault_to_alert_s: float | None = None
    """Until then, of the ground's time."""
    alert_to_diagnosis_s: float | None = None
    alert_to_resolved_s: float | None = None
    elapsed_s: float = 0.0

    @property
    def ok(self) -> bool:
        return not self.problems and not self.residue

    def as_json(self) -> dict[str, Any]:
        first = self.incidents[0]["incident"] if self.incidents else {}
        return {
            "name": self.name,
            "ok": self.ok,
            "incident": first.get("id"),
            "incidents": [detail["incident"]["id"] for detail in self.incidents],
            "states": list(first.get("states", [])),
            "actions": [action for detail in self.incidents for action in actions(detail)],
            "alert_to_diagnosis_s": self.alert_to_diagnosis_s,
            "alert_to_resolved_s": self.alert_to_resolved_s,
            "merged": [detail["incident"]["id"] for detail in self.merged],
            "distinct_alerts": self.distinct_alerts,
            "problems": self.problems,
        }


def actions(detail: Detail) -> list[dict[str, Any]]:
    """What was done about an incident, and what became of it."""
    return [
        {
            "runbook": known["runbook"],
            "verdict": (known["verdict"] or {}).get("word"),
            "undone": known["outcome"] == "undone",
            "untried": known["untried"],
            "outcome": known["outcome"],
        }
        for known in detail["transactions"]
    ]


class Play:
    """One scenario under way; `run` yields after every look, so that somebody can watch."""

    def __init__(  # noqa: PLR0913 - what is played, where, by whose time, how strictly, and beside what
        self,
        scenario: Scenario,
        stage: Stage[Site],
        clock: Clock,
        *,
        exactly: bool = True,
        noise: Noise = SILENCE,
        beside: str = "",
    ) -> None:
        """`exactly`: it must also go the way that the scenario expects, and not only end as it must.

        `beside` is the role that the noise comes from.
        """
        self.scenario, self._stage, self._clock, self._exactly = scenario, stage, clock, exactly
        self._noise, self._beside = noise, beside
        self._ground: Site = stage.ground
        self.result = Result(scenario.name, scenario.title, scenario.role)
        self._promised = scenario.distinct_alerts(stage.ground.name)
        self.before: set[str] = set()
        """The incidents that were opened before there was a fault."""
        self._injected_at = clock.now()
        self._delivered = 0

    async def run(self) -> AsyncIterator[Result]:
        """Break it, watch Primum, ask the oracles, and leave the shop as it was, however this ends."""
        ground, clock = self._ground, self._clock
        await self._rest()
        untouched = await written_objects(ground.operator)
        self.before = {each["id"] for each in await self._stage.incidents()}
        began_s = clock.monotonic_s()
        try:
            try:
                async for _ in self._broken():
                    yield self.result
            except TimeoutError:
                self.result.problems.append("the shop did not get where the scenario needs it")
            self.result.elapsed_s = round(clock.monotonic_s() - began_s, 1)
            yield self.result
            await self._let_go()
        finally:  # what befalls nodes outlasts the shop, also when somebody stops this
            await self._put_back(untouched)

    async def _broken(self) -> AsyncIterator[None]:
        ground, right_end = self._ground, self.scenario.right_end
        await self._noise.before(ground, self._beside)
        await self.scenario.prepare(ground)
        await ground.until(ground.at_rest, ENDS_WITHIN_S[ground.name])
        await self._over_before_it()
        before = await written_objects(ground.operator)
        self._injected_at, began_s = self._clock.now(), self._clock.monotonic_s()
        async with _going_on(self._noise.beside(ground, self._beside)):
            await self.scenario.inject(ground)
            left = await written_objects(ground.operator)
            async for _ in self._watch(began_s):
                yield
        await self._examine(left if right_end is RightEnd.TOLD else before)

    async def _rest(self) -> None:
        """Have an untouched shop and no open incident: each scenario is judged alone."""
        await self._ground.renew(self.scenario.rng.getrandbits(32))
        for one in await self._stage.incidents():
            if one["state"] in _LOST:  # it came when the scenario before was over, and what it is about is gone
                await self._stage.close(one["id"])
        await self._closed()

    async def _over_before_it(self) -> None:
        """Let what the preparing set off be over: none of it is the fault's; nothing may have been done about it."""
        await self._closed()
        for name in (news := await self._new()):
            if (await self._stage.incident(name))["transactions"]:
                self.result.problems.append(f"{name}: something was done before there was a fault")
        self.before |= {*news}
        self._delivered = len(self._ground.deliveries)

    async def _new(self) -> Sequence[str]:
        """The incidents that were not there before, oldest first."""
        opened = [each["id"] for each in await self._stage.incidents() if each["id"] not in self.before]
        return opened[::-1]

    async def _closed(self) -> None:
        deadline_s = self._clock.monotonic_s() + self._of_the_wall(CLOSED_WITHIN_S)
        while any(one["state"] != "closed" for one in await self._stage.incidents()):
            if self._clock.monotonic_s() > deadline_s:
                self.result.problems.append("an incident is still open long after it was resolved")
                return
            await self._clock.sleep(LOOK_EVERY_S)

    async def _watch(self, began_s: float) -> AsyncIterator[None]:
        while not await self._ended():
            yield
            if self._clock.monotonic_s() - began_s > (within_s := self._of_the_wall(ENDS_WITHIN_S[self._ground.name])):
                self.result.problems.append(f"not over within {within_s:g} s")
                return
            await self._clock.sleep(LOOK_EVERY_S)

    async def _ended(self) -> bool:
        result, expected = self.result, self.scenario.expected
        whole = [await self._stage.incident(name) for name in await self._new()]
        result.incidents = [detail for detail in whole if not _merged(detail)]
        result.merged = [detail for detail in whole if _merged(detail)]
        result.distinct_alerts = len({one.fingerprint for one in self._deliveries()})
        for detail in result.incidents:
            await self._approve(detail)
        states = [detail["incident"]["state"] for detail in result.incidents]
        if any(state in _LOST for state in states):
            # What is under way beside it is played to its end, and what else is broken by the same fault is waited for.
            return all(state in _LOST | _OVER for state in states) and self._since_the_last_s() > LINGERS_S
        enough = len(states) >= expected.incidents and result.distinct_alerts >= self._promised
        return enough and all(state in _OVER for state in states) and await self._ground.at_rest()

    async def _approve(self, detail: Detail) -> None:
        """Approve what the scenario expects to be asked for, once it was shown; nothing else."""
        plan = detail["plan"]
        if detail["incident"]["state"] != "awaiting_approval" or plan is None:
            return
        expected = len(self.result.approvals) < self.scenario.expected.approvals
        if expected and await self._stage.approve(detail["incident"]["id"], plan["hash"]):
            self.result.approvals.append(plan)

    def _deliveries(self) -> Sequence[Delivery]:
        """What fires since the fault; that something older is over is told late, and says nothing of this one."""
        return [one for one in self._ground.deliveries[self._delivered :] if one.status == "firing"]

    def _since_the_last_s(self) -> float:
        """Of the ground's time, since an alert fires that had not fired before."""
        first: dict[str, datetime] = {}
        for one in self._deliveries():
            first.setdefault(one.fingerprint, one.at)
        last = max(first.values(), default=self._injected_at)
        return (self._clock.now() - last).total_seconds() * self._ground.pace

    # --- the oracles

    async def _examine(self, before: Objects) -> None:
        ground, result = self._ground, self.result
        result.residue = residue(self.scenario.afterwards(before), await written_objects(ground.operator))
        if self.scenario.right_end is not RightEnd.TOLD:
            result.problems += await self._unserved()
        result.problems += self._unexpected()
        self._time()

    async def _unserved(self) -> list[str]:
        ground, problems = self._ground, list[str]()
        with suppress(
            TimeoutError
        ):  # what goes on beside it leaves something to come to rest; if not, it is said below
            await ground.until(ground.at_rest, RESTS_WITHIN_S)
        served = await ground.users()
        await ground.pass_s(SERVED_FOR_S)
        then = await ground.users()
        if (failing := failing_ratio(served, then)) > FAILING_AT_MOST:
            problems.append(f"{failing:.1%} of users' requests still fail: {_failures(between(served, then))}")
        if unrest := await ground.unrest():
            problems.append(f"the cluster is not at rest: {', '.join(unrest)}")
        return problems

    def _unexpected(self) -> list[str]:
        result, expected, problems = self.result, self.scenario.expected, list[str]()
        done = [action for detail in result.incidents for action in actions(detail)]
        kept = sorted(action["runbook"] for action in done if action["outcome"] == "kept")
        undone = [action["runbook"] for action in done if action["undone"]]
        way = (
            ("kept", kept, sorted(expected.kept)),
            ("taken back", len(undone), expected.undone),
            ("approvals", len(result.approvals), expected.approvals),
        )
        for what, found, should in (("incidents", len(result.incidents), expected.incidents), *way):
            if self._exactly and found != should:
                problems.append(f"{what}: {found}, should be {should}")
        ends = _LOST if self.scenario.right_end is RightEnd.TOLD else _OVER
        for detail in result.incidents:
            if detail["incident"]["state"] not in ends:
                problems.append(
                    f"{detail['incident']['id']} is {detail['incident']['state']}: {detail['incident']['reason']}"
                )
        if result.distinct_alerts < self._promised:
            problems.append(f"only {result.distinct_alerts} alerts, the scenario promises {self._promised}")
        if any(not (plan["diff"] and plan["undo"] and plan["blast_radius"]) for plan in result.approvals):
            problems.append("an approval was asked for without saying what would be done")
        return problems

    def _time(self) -> None:
        first = self._deliveries()[:1]
        if first:
            waited_s = (first[0].at - self._injected_at).total_seconds()
            self.result.fault_to_alert_s = round(waited_s * self._ground.pace, 1)
            self.result.told_at = first[0].at
        if not self.result.incidents:
            return
        detail = self.result.incidents[0]
        marks = {fact["alert"]["fingerprint"] for fact in detail["facts"] if fact["fact"] == "alert-joined"}
        told = min((one.at for one in self._deliveries() if one.fingerprint in marks), default=None)
        self.result.alert_to_diagnosis_s = _since(told, detail, ("Diagnosed",))
        self.result.alert_to_resolved_s = _since(told, detail, ("Kept", "Cleared"))

    async def _let_go(self) -> None:
        """Have every incident closed: by itself, or by a person where one was called."""
        if self.result.ok and self.scenario.right_end is not RightEnd.TOLD:
            await self._closed()  # whoever mends things by hand in a watch window is somebody that Primum yields to
            return
        for detail in self.result.incidents:
            await self._stage.close(detail["incident"]["id"])

    async def _put_back(self, before: Objects) -> None:
        await self.scenario.recover(self._ground)
        await remove_others(self._ground.operator, before)
        await restore(self._ground.operator, before)
        left = [*residue(before, await written_objects(self._ground.operator)), *await self._unhealed()]
        self.result.problems += [f"not as it was, for the next one: {line}" for line in left]

    async def _unhealed(self) -> Sequence[str]:
        """What of the cluster itself does not get well: nodes, their network, its DNS; it is given a while for that."""
        left: Sequence[str] = ()

        async def is_well() -> bool:
            nonlocal left
            left = await self._ground.wounds()
            return not left

        with suppress(TimeoutError):  # then what is left is said
            await self._ground.until(is_well, HEALS_WITHIN_S)
        return left

    def _of_the_wall(self, seconds: float) -> float:
        return seconds / self._ground.pace


@asynccontextmanager
async def _going_on(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Do this meanwhile, and end it. Raises what it raised."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def _failures(counted: Mapping[str, float]) -> str:
    return ", ".join(f"{count:.0f} {outcome}" for outcome, count in counted.items() if count and not is_served(outcome))


def _merged(detail: Detail) -> bool:
    """Whether it proved to be part of another incident, and was closed into that."""
    return any(entry["type"] == "Merged" for entry in detail["timeline"])


def _since(told: datetime | None, detail: Detail, types: tuple[str, ...]) -> float | None:
    """Seconds from the sender's 2xx to the event; Primum may be quicker than its own answer."""
    at = next((entry["at"] for entry in detail["timeline"] if entry["type"] in types), None)
    if told is None or at is None:
        return None
    return round(max(0.0, (datetime.fromisoformat(at) - told).total_seconds()), 3)
