"""Detector, mitigator and undo without their loop: real handlers, a ledger in memory, and moments to step in at."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from typing import Final

import structlog

from eval.lab.lab import TICK_S, Lab
from services.detector import handlers as detecting
from services.detector.settings import Settings as DetectorSettings
from services.detector.surroundings import Surroundings
from services.mitigator import handlers as mitigating
from services.mitigator.context import Context as MitigatorContext
from services.mitigator.settings import Settings as MitigatorSettings
from services.undo import handlers as undoing
from services.undo.context import Context as UndoContext
from services.undo.listening import Listening
from services.undo.settings import Settings as UndoSettings
from shared.adapters.system import SystemClock
from shared.analyzers.registry import findings
from shared.domain.cause import Cause, CauseCode
from shared.domain.change import Evict, Patch
from shared.domain.cluster import Kind, Object, Ref
from shared.domain.errors import Conflict, MetricsUnavailable, ObjectMissing, WriteRefused
from shared.domain.events import AlertJoined, Diagnosed, DiagnosisStarted, Event, Owner, Recorded
from shared.domain.frozen import JsonObject
from shared.domain.ids import ClusterName, CorrelationKey, HolderId, IncidentId
from shared.domain.incident import Incident, State
from shared.domain.policy import Mode
from shared.domain.snapshot import Snapshot
from shared.domain.transaction import Lock, Transaction
from shared.ports.clock import Clock
from shared.ports.cluster import Cluster
from shared.ports.metrics import Series
from shared.runbooks.catalog import load
from shared.testing.builders import an_alert, opened
from shared.testing.memory_ledger import MemoryActivities, MemoryBus, MemoryHeartbeats, MemoryLedger, MemoryTimers
from shared.testing.virtual_clock import SeededIdentity, VirtualClock

PACE: Final = 60.0
RACES: Final = 5
"""How often the loop of a service runs a handler again that lost a race."""
STEPS: Final = 400
_CHANGEABLE: Final = ("Namespace", "Deployment", "Service")
_CATALOG: Final = load(None)
EXPRESSION: Final = "up == 0"
"""What `an_alert()` fires on."""

Step = Callable[[], Awaitable[None]]
Run = Callable[[IncidentId], Awaitable[None]]


class ProcessKilledError(BaseException):
    """What `kill -9` looks like from inside: nothing after it happens."""


class Moments:
    """What happens at named moments of one process, once each: `before write`, `after Intended`."""

    def __init__(self) -> None:
        self._planned: dict[str, Step] = {}

    def at(self, name: str, step: Step) -> None:
        self._planned[name] = step

    def dies(self, name: str) -> None:
        async def die() -> None:
            raise ProcessKilledError(name)

        self.at(name, die)

    async def come(self, name: str) -> None:
        if (step := self._planned.pop(name, None)) is not None:
            await step()


class WatchedLedger(MemoryLedger):
    """The ledger in memory, with a moment before and after each append."""

    def __init__(self, bus: MemoryBus, owner: Owner, moments: Moments) -> None:
        super().__init__(bus, owner)
        self._moments = moments

    async def append(
        self,
        incident: Incident,
        *events: Event,
        locks: Collection[Lock] = (),
        frees_key: bool = False,
        while_open: Incident | None = None,
    ) -> Incident:
        await self._moments.come(f"before {events[0].name}")
        after = await super().append(incident, *events, locks=tuple(locks), frees_key=frees_key, while_open=while_open)
        await self._moments.come(f"after {events[0].name}")
        return after


class RemoteLedger(MemoryLedger):
    """The ledger in memory, as far away as a real one: between its answer and what is done with it others act."""

    async def open_incident(self, key: CorrelationKey) -> IncidentId | None:
        answer = await super().open_incident(key)
        await _others_act()
        return answer


async def _others_act() -> None:
    await asyncio.to_thread(bool)


@dataclass(frozen=True)
class WatchedCluster:
    """A cluster, with a moment before and after each read and each write; its time is the test's."""

    inner: Cluster
    moments: Moments
    clock: Clock

    @property
    def name(self) -> ClusterName:
        return self.inner.name

    async def snapshot(self, namespaces: Collection[str] | None = None) -> Snapshot:
        return (await self.inner.snapshot(namespaces)).but(taken_at=self.clock.now())

    async def read(self, ref: Ref) -> Object:
        await self.moments.come("before read")
        return await self.inner.read(ref)

    async def dry_run(self, patch: Patch, seen: Object, mark: str) -> Object:
        await self.moments.come("before dry run")
        return await self.inner.dry_run(patch, seen, mark)

    async def write(self, patch: Patch, seen: Object, mark: str) -> Object:
        await self.moments.come("before write")
        after = await self.inner.write(patch, seen, mark)
        await self.moments.come("after write")
        return after

    async def mark(self, seen: Object, mark: str) -> Object:
        after = await self.inner.mark(seen, mark)
        await self.moments.come("after mark")
        return after

    async def evict(self, evict: Evict) -> None:
        await self.inner.evict(evict)


@dataclass
class StillCluster:
    """A cluster that shows what the test put there, and that nobody can write to."""

    shown: Snapshot
    fails: Exception | None = None
    asked: int = 0

    @property
    def name(self) -> ClusterName:
        return self.shown.cluster

    async def snapshot(self, namespaces: Collection[str] | None = None) -> Snapshot:
        self.asked += 1
        await _others_act()
        if self.fails is not None:
            raise self.fails
        kept = (seen for seen in self.shown.objects if namespaces is None or seen.ref.namespace in {"", *namespaces})
        return self.shown.but(objects=tuple(kept))

    async def read(self, ref: Ref) -> Object:
        if (seen := self.shown.find(ref)) is None:
            raise ObjectMissing(str(ref))
        return seen

    async def dry_run(self, patch: Patch, seen: Object, mark: str) -> Object:
        raise WriteRefused(f"{patch.ref} stands still; {seen.ref} gets no {mark}")

    async def write(self, patch: Patch, seen: Object, mark: str) -> Object:
        return await self.dry_run(patch, seen, mark)

    async def mark(self, seen: Object, mark: str) -> Object:
        raise WriteRefused(f"{seen.ref} stands still, and gets no {mark}")

    async def evict(self, evict: Evict) -> None:
        raise WriteRefused(f"{evict.ref} stands still")


@dataclass
class KnownMetrics:
    """The port Metrics, answering what the test says; no series for what it does not name."""

    clock: Clock
    levels: dict[str, float] = field(default_factory=dict)
    down: bool = False

    async def query(self, expression: str) -> tuple[Series, ...]:
        if self.down:
            raise MetricsUnavailable("Prometheus did not answer within 5 s")
        level = self.levels.get(expression)
        return () if level is None else (Series(labels={}, value=level, at=self.clock.now()),)


@dataclass(frozen=True)
class Process:
    """One run of a service; `moments` is where a test steps in."""

    holder: HolderId
    moments: Moments
    reconcile: Run


def _always() -> Listening:
    listening = Listening(math.inf)
    listening.spoke(-math.inf)
    return listening


class Core:
    """One ledger, one cluster, and as many runs of the services as a test starts."""

    def __init__(self, lab: Lab, cluster: Cluster) -> None:
        self.lab, self.cluster = lab, cluster
        self.clock = VirtualClock(SystemClock().now())
        self.bus = MemoryBus(self.clock, SeededIdentity(), heartbeat_ttl_s=10)
        self.metrics = KnownMetrics(self.clock, {EXPRESSION: 1.0})
        self._found = {kind: tuple(lab.store.all(kind)) for kind in _CHANGEABLE}

    async def put_the_lab_right(self) -> None:
        """Bring every object that a test may have changed back to what this began with."""
        store = self.lab.store
        self.lab.faults.heal()
        for kind, was in ((kind, found) for kind, known in self._found.items() for found in known):
            place = (was["metadata"].get("namespace", ""), was["metadata"]["name"])
            if (now := store.find(kind, *place)) is None:
                store.create(kind, was)
                continue
            notes = was["metadata"].get("annotations") or {}
            metadata = {**now["metadata"], "labels": was["metadata"].get("labels") or {}}
            metadata["annotations"] = {
                name: said for name, said in (now["metadata"].get("annotations") or {}).items() if name in notes
            }
            store.amend(kind, *place, "test", metadata=metadata, **({"spec": was["spec"]} if "spec" in was else {}))
        await self.tick()
        await self.lab.until(self.lab.complete, timeout_s=20)

    # --- the services

    def mitigator(self, name: str = "mitigator-1", **settings: object) -> Process:
        """Start a mitigator, in act mode unless told otherwise."""
        moments = Moments()
        given: dict[str, object] = {"mode": Mode.ACT, "pace": PACE, "cluster": str(self.cluster.name), **settings}
        context = MitigatorContext(
            ledger=WatchedLedger(self.bus, Owner.MITIGATOR, moments),
            cluster=WatchedCluster(self.cluster, moments, self.clock),
            metrics=self.metrics,
            timers=MemoryTimers(self.bus, Owner.MITIGATOR),
            heartbeats=MemoryHeartbeats(self.bus),
            activities=MemoryActivities(self.bus, name),
            clock=self.clock,
            identity=self.bus.identity,
            holder=HolderId(name),
            catalog=_CATALOG,
            settings=MitigatorSettings.model_validate(given),
            log=structlog.get_logger(),
        )
        return self._process(name, moments, lambda incident: mitigating.reconcile(incident, context))

    def undo(self, name: str = "undo-1", *, listening: Listening | None = None, **settings: object) -> Process:
        """Start an undo service; it has listened for longer than anybody was ever silent, unless told otherwise."""
        moments = Moments()
        context = UndoContext(
            ledger=WatchedLedger(self.bus, Owner.UNDO, moments),
            cluster=WatchedCluster(self.cluster, moments, self.clock),
            metrics=self.metrics,
            timers=MemoryTimers(self.bus, Owner.UNDO),
            heartbeats=MemoryHeartbeats(self.bus),
            listening=listening or _always(),
            activities=MemoryActivities(self.bus, name),
            clock=self.clock,
            holder=HolderId(name),
            settings=UndoSettings.model_validate({"pace": PACE, **settings}),
        )
        return self._process(name, moments, lambda incident: undoing.reconcile(incident, context))

    def _process(self, name: str, moments: Moments, reconcile: Run) -> Process:
        self.bus.beats[name] = self.clock.monotonic_s()

        async def run(incident: IncidentId) -> None:
            for _ in range(RACES):
                try:
                    await reconcile(incident)
                except Conflict:
                    continue
                return
            raise AssertionError(f"{name} lost {RACES} races")

        return Process(HolderId(name), moments, run)

    def falls_silent(self, process: Process) -> None:
        """Its heartbeat's time to live has passed."""
        self.bus.beats.pop(process.holder, None)

    async def killed(self, process: Process, incident: IncidentId, moment: str) -> None:
        """Run it until that moment, and kill it there."""
        process.moments.dies(moment)
        try:
            for _ in range(STEPS):
                await process.reconcile(incident)
                await self.tick()
        except ProcessKilledError:
            self.falls_silent(process)
            return
        raise AssertionError(f"{process.holder} never came to {moment}")

    async def until(self, process: Process, incident: IncidentId, *states: State) -> Incident:
        """Run it, tick by tick of the lab, until the incident stands in one of the states."""
        for _ in range(STEPS):
            await process.reconcile(incident)
            if (folded := await self.fold(incident)).state in states:
                return folded
            await self.tick()
        raise AssertionError(f"{incident} never came to {states}: {await self.names(incident)}")

    async def tick(self) -> None:
        """Let a tick pass in the lab, and as long for the services: their deadlines wait for a machine that is busy."""
        now_s = self.lab.now_s
        await self.lab.until(lambda: self.lab.now_s > now_s, timeout_s=20)
        self.clock.advance(TICK_S)

    # --- the ledger

    def ledger(self, owner: Owner) -> MemoryLedger:
        return MemoryLedger(self.bus, owner)

    async def fold(self, incident: IncidentId) -> Incident:
        return await self.ledger(Owner.GATEWAY).fold(incident)

    async def history(self, incident: IncidentId) -> tuple[Recorded, ...]:
        return tuple(await self.ledger(Owner.GATEWAY).history(incident))

    async def names(self, incident: IncidentId) -> list[str]:
        """The names of its events, oldest first."""
        return [record.event.name for record in await self.history(incident)]

    async def transaction(self, incident: IncidentId) -> Transaction:
        """Return its newest transaction."""
        newest = (await self.fold(incident)).transaction
        assert newest is not None
        return newest

    async def says(self, owner: Owner, incident: IncidentId, *events: Event) -> Incident:
        """Append as that service."""
        folded = await self.fold(incident)
        for event in events:
            folded = await self.ledger(owner).append(folded, event)
        return folded

    def held(self) -> set[Ref]:
        """What is locked now."""
        return {ref for ref, lock in self.bus.locks.items() if lock.held}

    async def diagnosed(self, cause: Cause, name: str = "inc-1", root: Ref | None = None) -> IncidentId:
        """Open an incident with one alert and one cause."""
        incident = IncidentId(name)
        detector, alert = self.ledger(Owner.DETECTOR), an_alert()
        await detector.open(incident, opened(name, alert=alert, root=root or cause.object))
        await detector.note(incident, AlertJoined(alert=alert, because="the test says so"))
        diagnosis = Diagnosed(causes=(cause,), looked_at=("everything",))
        await self.says(Owner.DIAGNOSER, incident, DiagnosisStarted(), diagnosis)
        return incident

    # --- the cluster

    def ref(self, kind: Kind, role: str) -> Ref:
        """Name the Deployment or the Service of a role."""
        shop = self.lab.shop
        return Ref(cluster=self.cluster.name, kind=kind, namespace=shop.namespace, name=shop.services[role])

    def stored(self, ref: Ref) -> JsonObject:
        """Return the object as it stands in the lab's store."""
        found: JsonObject = self.lab.store.get(str(ref.kind), ref.namespace, ref.name)
        return found

    def spec(self, ref: Ref) -> object:
        return self.stored(ref)["spec"]

    def version(self, ref: Ref) -> str:
        """Return its resourceVersion: it moves with every write."""
        return str(self.lab.store.get(str(ref.kind), ref.namespace, ref.name)["metadata"]["resourceVersion"])

    def somebody_edits(self, ref: Ref, **parts: object) -> None:
        """Change an object behind everybody's back."""
        self.lab.store.patch(str(ref.kind), ref.namespace, ref.name, dict(parts))

    def everything(self) -> dict[Ref, object]:
        """Return every Deployment's and Service's spec and labels, to compare a later moment with."""
        return {
            Ref(
                cluster=self.cluster.name,
                kind=kind,
                namespace=found["metadata"]["namespace"],
                name=found["metadata"]["name"],
            ): (found["spec"], found["metadata"].get("labels"))
            for kind in (Kind.DEPLOYMENT, Kind.SERVICE)
            for found in self.lab.store.all(str(kind))
        }

    async def broken_selector(self, role: str = "cart") -> Cause:
        """Break a Service's selector, and return the cause that analysis finds."""
        service = self.ref(Kind.SERVICE, role)
        self.somebody_edits(service, spec={"selector": {"app": "nobody"}})
        for _ in range(STEPS):
            snapshot = await self.cluster.snapshot()
            view = snapshot.service(service)
            ready = 0 if view is None else snapshot.ready_endpoints(view)
            for finding in findings(snapshot) if ready == 0 else ():  # a fault that has not shown yet is no alert's
                if finding.code is CauseCode.SERVICE_SELECTOR_MISMATCH and finding.object == service:
                    return Cause.model_validate(finding.model_dump())
            await self.tick()
        raise AssertionError(f"nobody sees that {service} selects nothing")


@dataclass
class Watcher:
    """A detector on a cluster that stands still."""

    cluster: StillCluster
    bus: MemoryBus
    metrics: KnownMetrics
    context: detecting.Context

    @property
    def ledger(self) -> MemoryLedger:
        return MemoryLedger(self.bus, Owner.DETECTOR)


def a_watcher(
    cluster: StillCluster, clock: Clock, bus: MemoryBus | None = None, *, surroundings_age_s: float = 1
) -> Watcher:
    """Start a detector; it looks at the cluster anew once its last look is a second old."""
    bus, metrics = bus or MemoryBus(clock, SeededIdentity()), KnownMetrics(clock, {EXPRESSION: 1.0})
    chosen = DetectorSettings.model_validate({"surroundings_age_s": surroundings_age_s})
    context = detecting.Context(
        ledger=RemoteLedger(bus, Owner.DETECTOR),
        surroundings=Surroundings(cluster, metrics, clock, chosen),
        metrics=metrics,
        timers=MemoryTimers(bus, Owner.DETECTOR),
        activities=MemoryActivities(bus, Owner.DETECTOR),
        clock=clock,
        identity=bus.identity,
        settings=chosen,
        log=structlog.get_logger(),
    )
    return Watcher(cluster, bus, metrics, context)
