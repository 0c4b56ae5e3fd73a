"""One seed, whole: the world, the five services, the faults, the referee; it ends when all is over, or at a breach."""

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from starlette.applications import Starlette

from eval.lab.alertmanager import Notification
from eval.lab.kinds import Obj
from eval.lab.world import World
from eval.oracles import Key, Objects, restore, written_objects
from eval.simulation import chaos, ending
from eval.simulation.bound import MOST_S, EndlessError, bounded
from eval.simulation.bus import ServerClock, SimBus
from eval.simulation.cluster import ApiServer, unreachable
from eval.simulation.loop import VirtualLoop, run
from eval.simulation.people import Callers, Operator, Receiver
from eval.simulation.plan import CALM_S, STARTS_S, TO_THE_CLUSTER, Plan
from eval.simulation.ports import no_metrics, not_notified
from eval.simulation.process import Process
from eval.simulation.referee import Deal, InvariantBrokenError, Referee
from eval.simulation.services import HEARTBEAT_TTL_S, WAKES_ON, Outside, Service
from eval.simulation.story import Story
from eval.simulation.thrift import thrift
from eval.simulation.ways import Way
from eval.simulation.world import TICK_S, SimGround, SimWorld
from services.gateway.decide import plans_shown
from shared.domain import path
from shared.domain.change import Edit, Patch
from shared.domain.errors import ChangeConflict, LedgerUnavailable
from shared.domain.events import Owner
from shared.domain.incident import State
from shared.testing.virtual_clock import SeededIdentity

ENDS_WITHIN_S: Final = 900.0
"""After the calm began."""
LOOKS_EVERY_S: Final = 5.0
STAYS_S: Final = 20.0
"""So long it must stay over before it is."""
FARING_LOOKS: Final = 90
"""Ticks over which the two worlds are compared."""
_RESTARTS_S: Final = 2.0
_COMES_AGAIN_S: Final = 10.0

Sabotage = Callable[[Outside], None]


@dataclass(frozen=True)
class Result:
    """How a seed went."""

    seed: int
    invariant: str
    """Empty if all of them held."""
    how: str
    story: tuple[str, ...]
    digest: str
    counts: Mapping[str, int]
    virtual_s: float

    @property
    def ok(self) -> bool:
        return not self.invariant


@dataclass
class Simulation:
    """Everything that one seed plays with."""

    plan: Plan
    sabotage: Sabotage | None = None
    loop: VirtualLoop = field(default_factory=VirtualLoop)
    stuck_at: datetime | None = None
    resumes: bool = False
    written_by_people: list[tuple[float, Callable[[World], object]]] = field(default_factory=list)
    restarts_after_s: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        seed = self.plan.seed
        self.story = Story(self.loop.time)
        self._skews: dict[Owner, float] = {}
        self._fared: Mapping[str, float] = {}
        self._left = False
        self._mended: dict[Key, Obj] = {}
        self._numbers = itertools.count(1)
        self._running: dict[Process, Service] = {}
        self.loop.set_exception_handler(self._in_a_callback)
        self.bus = SimBus(
            ServerClock(self.loop),
            SeededIdentity(seed),
            heartbeat_ttl_s=HEARTBEAT_TTL_S,
            way=self._way("ledger", 5.0, LedgerUnavailable),
            story=self.story,
            rng=random.Random(f"bus {seed}"),
            wakes_on=dict(WAKES_ON),
        )
        self.world = SimWorld(seed, self.loop, self.story, self._post)
        self.ground = SimGround(self.world)
        self.api = ApiServer(self.world.store, self._way("api", 10.0, unreachable))
        self.prometheus = self._way("prometheus", 5.0, no_metrics)
        self.people = self._way("people", 10.0, not_notified)
        self.receiver = Receiver(self.story)
        self.callers = Callers(self.loop, random.Random(f"calls {seed}"), self.story, self._gateways)
        self.operator = Operator(self.loop, random.Random(f"operator {seed}"), self.callers, self._open_ones, CALM_S)
        self.referee = Referee(self.bus, self.world.store, self.story, self.plan.mode, self.callers.ordered)
        self.bus.on_forged = self.referee.on_forged
        self.bus.on_stored, self.bus.on_pause_read = self.referee.on_stored, self.referee.on_pause_read
        self.api.on_write = self.referee.on_write
        self.referee.on_taken_back = self._taken_back
        self.outside = Outside(
            world=self.world,
            bus=self.bus,
            api=self.api,
            prometheus=self.prometheus,
            people=self.people,
            receive=self.receiver.take,
            mode=self.plan.mode,
            stuck_at=lambda: self.stuck_at,
            on_bug=self._bug,
        )
        if self.sabotage is not None:
            self.sabotage(self.outside)

    def _way(self, name: str, timeout_s: float, failure: Callable[[str], Any]) -> Way:
        return Way(name, self.loop, random.Random(f"{name} {self.plan.seed}"), timeout_s, failure)

    def _in_a_callback(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """What the world itself cannot do with a request is a bug, too, and no outage."""
        if "handle" in context:
            self._bug("the world", f"{context['message']}: {context.get('exception')!r}")
        else:
            loop.default_exception_handler(context)

    def _bug(self, who: str, what: str) -> None:
        self.referee.whistle(InvariantBrokenError("no bugs", f"{who}: {what}"))

    # --- running

    def run(self) -> Result:
        """Play it to its end."""
        virtual_s = 0.0
        with suppress(EndlessError), thrift(), bounded(MOST_S, lambda said: self._bug("somebody", said)):
            virtual_s = run(self.loop, self._play())
            if self._fared and self.referee.broken is None:
                for breach in ending.harm(self._fared, self._fared_without(virtual_s)):
                    self.referee.whistle(breach)
        broken = self.referee.broken
        return Result(
            seed=self.plan.seed,
            invariant=broken.invariant if broken else "",
            how=broken.how if broken else "",
            story=tuple(self.story.told()),
            digest=self.story.digest(),
            counts=self.story.count(),
            virtual_s=virtual_s,
        )

    async def _play(self) -> float:
        background: list[asyncio.Task[Any]] = []

        def begin(coroutine: Coroutine[Any, Any, None], name: str) -> None:
            background.append(self.loop.create_task(coroutine, name=name))

        begin(self.world.live(), "world")
        await self.world.until(self.world.settled, STARTS_S)
        self.world.forget_events()
        self.world.store.subscribe(self.referee.on_change)
        for owner, count in self.plan.replicas.items():
            for _ in range(count):
                self._start(owner)
        for fault in self.plan.played:
            begin(chaos.play(self, fault), f"fault {fault}")
        begin(self.operator.work(), "operator")
        while not self._done(background):
            await self.loop.sleep(LOOKS_EVERY_S)
            await self._calm()
        ended_s = self.loop.time()
        for breach in ending.examine(self) if self.referee.broken is None else ():
            self.referee.whistle(breach)
        if self.referee.broken is None and self.referee.deals and max(self._failing().values()) > ending.TOLERATED:
            self._leave()
            self._fared = await self._faring()
        return ended_s

    def _leave(self) -> None:
        """End Primum, and do not start it again: what it leaves behind must do without it."""
        self._left = True
        for process in list(self._running):
            process.kill("the seed is over", told_as="stop")

    def _done(self, background: list[asyncio.Task[Any]]) -> bool:
        if self.referee.broken is not None:
            return True
        for task in background:
            if task.done() and not task.cancelled():
                task.result()  # chaos itself must not fail in silence
        if self.loop.time() > CALM_S + ENDS_WITHIN_S:
            return True
        if self.loop.time() < CALM_S + LOOKS_EVERY_S or not ending.over(self):
            self._over_since_s = self.loop.time()
            return False
        return self.loop.time() - self._over_since_s >= STAYS_S

    async def _calm(self) -> None:
        """What people and supervisors see to: a pause ends, nobody aims at a process any more."""
        if self.loop.time() >= CALM_S:
            for process in self._running:
                process.spare()
        if self.bus.paused is not None and (self.resumes or self.loop.time() >= CALM_S):
            self.resumes = False
            await self.callers.order("resume", "/api/resume", {"by": "operator"})
        for incident in ending.in_the_way(self) if self.loop.time() >= CALM_S else ():
            await self.callers.order(f"close {incident}", f"/api/incidents/{incident}/close", {"by": "operator"})

    # --- processes

    def _start(self, owner: Owner) -> None:
        process = Process(owner, f"{owner}-{next(self._numbers)}", self.loop, self.story)
        process.skew_s = self._skews.get(owner, 0.0)
        process.broken = lambda error: self._bug(process.name, f"a loop ended: {type(error).__name__}: {error}")
        process.ends.append(lambda: self._ended(process))
        self.story.tell("start", process.name, "")
        service = Service(process, self.outside)
        self._running[process] = service
        service.start()

    def _ended(self, process: Process) -> None:
        del self._running[process]
        if self._left:
            return
        after_s = self.restarts_after_s.pop(process.name, _RESTARTS_S)
        self.loop.call_later(after_s, self._start, process.owner)

    def running(self, owner: Owner) -> list[Process]:
        """The processes of a service that live, the oldest first."""
        return [process for process in self._running if process.owner is owner]

    def skew(self, owner: Owner, seconds: float) -> None:
        """Set the wall clock of a service's machines wrong by so much."""
        self._skews[owner] = seconds
        for process in self.running(owner):
            process.skew_s = seconds
        self.story.tell("clock", str(owner), f"is {seconds:+.1f} s off")

    # --- people

    def _gateways(self) -> list[tuple[Process, Starlette]]:
        return [(process, service.app) for process, service in self._running.items() if service.app is not None]

    def _post(self, notification: Notification) -> None:
        alertmanager = self.world.alertmanager

        def settle(how: str) -> None:
            match how:
                case "delivered":
                    alertmanager.delivered(notification, self.world.now_s, self.loop.wall())
                case "refused":
                    alertmanager.refuse(notification, self.world.now_s)
                case _:
                    alertmanager.failed(notification, self.world.now_s)

        self.loop.create_task(self.callers.deliver(notification, settle), name="alertmanager")

    def _open_ones(self) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = []
        for known, state in self.referee.states.items():
            if state is State.CLOSED:
                continue
            incident = self.bus.folded(known)
            found.append(
                {
                    "id": known,
                    "state": str(state),
                    "sequence": incident.sequence,
                    "pending": incident.pending.hash if incident.pending else "",
                    "plans": plans_shown(self.bus.said(known)),
                    "transactions": [deal.id for deal in incident.transactions],
                }
            )
        return found

    # --- the cluster

    async def changed_since(self, before: Objects) -> Objects:
        """What of it stands otherwise now, as it stood then."""
        now = await written_objects(self.ground.operator)
        return {key: body for key, body in before.items() if now.get(key) != body}

    async def put_back(self, objects: Objects, why: str) -> None:
        """Restore these objects, as their owner would: in each world what stood there before, if it is not back yet.

        Where it is back already he has nothing to write, and goes by that.
        """
        self._mended.update(objects)
        await restore(self.ground.operator, objects)
        self.story.tell("fault", "owner", why)

    def by_a_person(self, write: Callable[[World], object]) -> None:
        """Let a person write, and remember it for the world without Primum; there, only what is remembered happens."""
        if self.plan.replicas:
            self.written_by_people.append((self.loop.time(), write))
            write(self.world)

    def _taken_back(self, deal: Deal, change: Patch) -> None:
        """Who orders an undo wants the old values, also in a world where he has to write them himself.

        Where nobody did, and an owner had found them mended, he comes again: without Primum he had mended them then.
        """
        mended = self._mended.get((str(change.ref.kind), change.ref.namespace, change.ref.name))
        if deal.by_order:
            self.written_by_people.append((self.loop.time(), lambda world: _by_hand(world, change.inverse())))
        elif mended is not None:
            edits = (
                Edit(path=edit.path, before=edit.before, after=path.read(mended, edit.path)) for edit in change.edits
            )
            self.loop.call_later(_COMES_AGAIN_S, self._mend_again, change.but(edits=tuple(edits)))

    def _mend_again(self, change: Patch) -> None:
        self.story.tell("fault", "owner", f"finds {change.ref} taken back, and mends it himself")
        _by_hand(self.world, change)

    def _failing(self) -> Mapping[str, float]:
        """The share of users' requests that fail now, by the service that they reach.

        What only services call is in it: behind a front door that turns everybody away, nothing else seems to fail.
        """
        return {name: flow.error_ratio for (_, name), flow in self.world.traffic.flows.items() if flow.direct_rps}

    async def _faring(self) -> Mapping[str, float]:
        """The same on average over the next minutes: what loops through crashes has good and bad moments."""
        sums: Counter[str] = Counter()
        for _ in range(FARING_LOOKS):
            await self.loop.sleep(TICK_S)
            sums.update(self._failing())
        return {name: total / FARING_LOOKS for name, total in sums.items()}

    def _fared_without(self, from_s: float) -> Mapping[str, float]:
        """The same for a world with the same faults and edits, in the same minutes, in which Primum never ran."""
        twin = Simulation(replace(self.plan, replicas={}))
        return run(twin.loop, twin.only_live(from_s, self.written_by_people))

    async def only_live(
        self, until_s: float, people: Sequence[tuple[float, Callable[[World], object]]]
    ) -> Mapping[str, float]:
        """Let the faults of the cluster happen to it, and nobody do anything about them; say how users fare then."""
        self.loop.create_task(self.world.live(), name="world")
        await self.world.until(self.world.settled, STARTS_S)
        self.world.forget_events()
        for fault in self.plan.played:
            if fault.kind in TO_THE_CLUSTER:
                self.loop.create_task(chaos.play(self, fault), name=f"fault {fault}")
        for at_s, write in people:
            await self.loop.sleep(at_s - self.loop.time())
            write(self.world)
        await self.loop.sleep(until_s - self.loop.time())
        return await self._faring()


def _by_hand(world: World, change: Patch) -> None:
    """Write the values of a change, whatever stands there now."""
    ref = change.ref
    body = world.store.get(str(ref.kind), ref.namespace, ref.name)
    for edit in change.edits:
        with suppress(ChangeConflict):  # nothing stands where the value would stand in
            body = path.write(body, edit.path, edit.after)
    world.store.replace(str(ref.kind), ref.namespace, ref.name, body)
