"""`primum bench memory`: thousands of incidents through five real services, and their memory as the kernel counts it.

Alerts go through the gateway; each incident is of a workload that nobody has seen before, is diagnosed, mended and
kept, or taken back, or left to people, and ends in the ledger as it would in production. That is where it is counted.
"""

import json
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import structlog
from nats.aio.client import Client

from eval import stopping
from eval.memory.patients import Patient, admissions, empty_cluster
from eval.memory.process import SLOPE_LIMIT, Sample, course, cpu_s, rss_mb
from eval.memory.starts import HELP_LIMIT_S, READY_LIMIT_S, help_s, starts_to_ready
from eval.storm.alerts import Told
from eval.storm.cluster import Workload
from eval.storm.sender import Pair
from eval.storm.standing import Standing, standing
from services.cli.supervisor import SERVICES, Supervisor, SupervisorSettings
from shared.adapters import nats_events
from shared.adapters.nats_connection import User, connected
from shared.adapters.nats_stream import NatsStream
from shared.adapters.nkey import OPERATOR, load_key, seed_file
from shared.adapters.system import SystemClock
from shared.domain.errors import PrimumError
from shared.domain.events import (
    Closed,
    Kept,
    KeptMoreToDo,
    Merged,
    NoPlanLeft,
    Opened,
    Quiet,
    Undone,
    UndoneForGood,
    UndoStuck,
)
from shared.domain.ids import IncidentId

NATS: Final = "nats"
AT_ONCE: Final = 48
"""Incidents that are open at the same time."""
RUNS_FOR_S: Final = 3.0
"""How long a workload is there before it falls ill: everybody knows it by then."""
SHOWS_FOR_S: Final = 1.0
"""How long an illness shows before its alerts fire: as with rules that wait, every view of the cluster has it."""
UNHEARD: Final = 60
"""Alerts that may wait in the inbox before others fall ill: at this pace an incident is over within seconds, and an
alert that waited for longer would be another's."""
PACE: Final = 30.0
WINDOW_S: Final = 2
_TICK_S: Final = 0.2
_SAY_EVERY_S: Final = 10.0
_STALLED_AFTER_S: Final = 60.0
_TIMEOUT_S: Final = 10.0


@dataclass(frozen=True)
class Options:
    """What `primum bench memory` was asked for."""

    alerts: int = 20_000
    incidents: int = 2_000
    starts: int = 3
    seed: int = 1
    as_json: bool = False


def main(options: Options) -> int:
    """Run it: 0 if memory is flat and starts are fast, 1 if not, 130 after Ctrl-C. Raises PrimumError.

    What was measured until it was stopped, or until nothing went on, is printed like the whole.
    """
    if options.alerts < options.incidents:
        raise PrimumError("an incident needs an alert", advice="give at least as many --alerts as --incidents")
    so_far = Measured()
    try:
        stopping.run(_run(options, so_far))
    except KeyboardInterrupt:
        so_far.ended_by = "stopped"
        sys.stderr.write("stopped\n")
    if so_far.ward is None:
        return stopping.STOPPED
    found = _result(options, so_far, so_far.ward)
    sys.stdout.write((json.dumps(found, indent=2) if options.as_json else _in_words(found)) + "\n")
    if so_far.ended_by == "stopped":
        return stopping.STOPPED
    return 0 if found["ok"] else 1


async def _run(options: Options, so_far: "Measured") -> None:
    rng = random.Random(options.seed)
    async with standing(empty_cluster(), rng) as stands:
        with tempfile.TemporaryDirectory(prefix="primum-memory-", ignore_cleanup_errors=True) as folder:
            _say("starts")
            async with _primum(Path(folder) / "starts", stands) as primum:
                so_far.ready_s = await starts_to_ready(primum, options.starts)
            so_far.help_s = await help_s(2 * options.starts + 1)
            async with (
                _primum(Path(folder) / "run", stands) as primum,
                connected(primum.nats_url, _operator(primum)) as connection,
                httpx.AsyncClient(
                    base_url=primum.gateway_url, headers={"Authorization": f"Bearer {primum.token}"}, trust_env=False
                ) as http,
            ):
                so_far.ward = ward = Ward(stands, primum, connection, http, rng)
                admitted = admissions(rng, options.incidents, options.alerts, WINDOW_S)
                if (stall := await ward.treat(admitted, options.incidents)) is not None:
                    so_far.ended_by = stall
                    _say(stall)


@dataclass
class Measured:
    """What is known so far."""

    ready_s: Mapping[str, float] = field(default_factory=dict)
    help_s: float | None = None
    ward: "Ward | None" = None
    ended_by: str = ""
    """Why it ended before its time; empty if it did not."""


def _primum(data: Path, stands: Standing) -> Supervisor:
    data.mkdir(parents=True)
    everywhere = {
        "PRIMUM_CLUSTER": "lab",
        "PRIMUM_KUBECONFIG": str(stands.kubeconfig(data / "kubeconfig")),
        "PRIMUM_KUBE_CONTEXT": "lab",
        "PRIMUM_PROMETHEUS_URL": stands.prometheus_url,
        "PRIMUM_METRICS_WINDOW_S": str(WINDOW_S),
        "PRIMUM_MODE": "act",
        "PRIMUM_PACE": f"{PACE:g}",
        "PRIMUM_SURROUNDINGS_AGE_S": "0.5",
        "PRIMUM_SYMPTOM_EVERY_S": "45",
        "PRIMUM_SAMPLE_EVERY_S": "30",
        "PRIMUM_LOOK_AGAIN_S": "45",
        "PRIMUM_DEFER_S": "45",
        "PRIMUM_WATCH_S": "60",
        "PRIMUM_RELAPSE_AFTER_S": "300",
        "PRIMUM_VERIFY_EVERY_S": "1",
        "PRIMUM_SWEEP_EVERY_S": "5",
    }
    settings = SupervisorSettings(data_dir=data, port=0, nats_url="", host="127.0.0.1")
    return Supervisor(settings, everywhere=everywhere, log=structlog.wrap_logger(structlog.ReturnLogger()))


def _operator(supervisor: Supervisor) -> User:
    return User(OPERATOR, load_key(seed_file(supervisor.keys_dir, OPERATOR)))


class Ward:
    """The patients that are in treatment, and the ledger that tells how they do."""

    def __init__(
        self, standing: Standing, primum: Supervisor, connection: Client, http: httpx.AsyncClient, rng: random.Random
    ) -> None:
        self._standing, self._primum, self._http, self._rng = standing, primum, http, rng
        self._pair = Pair(primum.gateway_url, primum.token, standing.prometheus_url, rng)
        self._ledger, self._read_to = NatsStream(connection, "LEDGER", _TIMEOUT_S), 0
        self._joined = Joined(connection)
        self._fired = 0
        self._clock = SystemClock()
        self._by_place: dict[tuple[str, str], Patient] = {}
        self._by_incident: dict[IncidentId, Patient] = {}
        self._over: set[IncidentId] = set()
        self._last: dict[IncidentId, str] = {}
        self._stuck: list[IncidentId] = []
        self._began_s = self._clock.monotonic_s()
        self._cpu_s_before = {name: cpu_s(pid) for name, pid in self._pids.items()}
        self.samples: dict[str, list[Sample]] = {name: [] for name in (*SERVICES, NATS)}
        self.cpu_s: dict[str, float] = {}
        """What all incidents together cost so far, by process."""
        self.ends: Counter[str] = Counter()
        self.opened = self.ended = 0
        self.elapsed_s = 0.0

    @property
    def restarts(self) -> Mapping[str, int]:
        return {name: child.restarts for name, child in self._primum.children.items()}

    @property
    def joined(self) -> int:
        """Alerts on record in an incident."""
        return self._joined.count

    @property
    def _pids(self) -> Mapping[str, int]:
        pids = {name: child.pid for name, child in self._primum.children.items()} | {NATS: self._primum.nats_pid}
        return {name: pid for name, pid in pids.items() if pid is not None}

    async def treat(self, admitted: Iterator[Patient], count: int) -> str | None:
        """Let patients fall ill, as many at once as there are beds, until all of them are out again.

        Return who was left if nothing ended for a minute.
        """
        async with self._pair:
            return await self._treat(admitted, count)

    async def _treat(self, admitted: Iterator[Patient], count: int) -> str | None:
        moved_s = said_s = self._began_s
        self._sample()
        while self.ended < count:
            await self._admit(admitted)
            await self._clock.sleep(_TICK_S)
            before = self.ended
            await self._read()
            now_s = self._clock.monotonic_s()
            for patient in tuple(self._by_place.values()):
                patient.live(self._standing, now_s)
            await self._close()
            self._discharge()
            self._sample()
            moved_s = now_s if self.ended > before else moved_s
            if now_s - moved_s > _STALLED_AFTER_S:
                return f"nothing ended for {_STALLED_AFTER_S:g} s: {self.ended} of {count}, {self._left()}"
            if now_s - said_s > _SAY_EVERY_S:
                said_s = now_s
                self._say_how_it_goes(count)
        return None

    def _say_how_it_goes(self, count: int) -> None:
        held = ", ".join(f"{name} {samples[-1].rss_mb:.0f}" for name, samples in self.samples.items() if samples)
        left = f", {self.elapsed_s * (count / self.ended - 1):.0f} s left" if self.ended else ""
        _say(f"{self.ended} of {count} incidents ended, {len(self._by_place)} under way{left}; MB: {held}")

    async def _admit(self, waiting: Iterator[Patient]) -> None:
        """Deploy as many as there are beds, and let those fall ill that have run for a while."""
        while len(self._by_place) < AT_ONCE and (patient := next(waiting, None)) is not None:
            self._standing.add(patient.workload)
            patient.deployed_s = self._clock.monotonic_s()
            self._by_place[patient.workload.where] = patient
        now_s, now = self._clock.monotonic_s(), self._clock.now()
        for patient in self._by_place.values():
            if patient.ill_s is None and patient.deployed_s < now_s - RUNS_FOR_S:
                patient.fall_ill(self._standing, now_s)
        alerts = list[Told]()
        for patient in self._by_place.values():
            shows = patient.ill_s is not None and patient.ill_s < now_s - SHOWS_FOR_S
            if shows and not patient.told_of and self._fired - self._joined.count <= UNHEARD:
                self._fired += patient.told
                alerts += patient.alerts(self._rng, now)
        if alerts:
            await self._pair.fire(alerts)

    async def _close(self) -> None:
        """Close what is stuck, as a person does who has mended it: its locks are kept until then."""
        for incident in self._stuck:
            order = {"by": "ada", "reason": "mended by hand"}
            (await self._http.post(f"/api/incidents/{incident}/close", json=order)).raise_for_status()
        self._stuck.clear()

    async def _read(self) -> None:
        await self._joined.read()
        for stored in await self._ledger.after("primum.ledger.>", self._read_to):
            self._read_to = stored.sequence
            record = nats_events.recorded(stored)
            self._last[record.incident] = record.event.name
            match record.event:
                case Opened():
                    self.opened += 1
                    self._opened(record.incident, record.event)
                case Quiet() | Closed() | Merged():
                    self.ends[record.event.name] += 1
                    self._over.add(record.incident)
                case Kept() | KeptMoreToDo():
                    self.ends[record.event.name] += 1
                case NoPlanLeft() | Undone() | UndoneForGood() | UndoStuck():
                    self.ends[record.event.name] += 1
                    if isinstance(record.event, UndoStuck):
                        self._stuck.append(record.incident)
                    if (patient := self._by_incident.get(record.incident)) is not None:
                        patient.left_to_people = True
                case _:
                    pass

    def _opened(self, incident: IncidentId, event: Opened) -> None:
        root = event.root
        patient = self._by_place.get((root.namespace, root.name)) if root else None
        if patient is None:
            self.ends["unexpected"] += 1
            return
        patient.incidents.add(incident)
        patient.opened_s = self._clock.monotonic_s()
        self._by_incident[incident] = patient

    def _discharge(self) -> None:
        """Let go of who is over, once none of its alerts is still to be heard: it would find nobody there."""
        for patient in tuple(self._by_place.values()):
            if self._joined.of(patient.workload) < patient.told:
                continue
            if not patient.incidents and not patient.well:  # all went to others' incidents; people see to it
                patient.opened_s, patient.left_to_people = patient.opened_s or self._clock.monotonic_s(), True
            elif patient.incidents <= self._over:
                self._standing.remove(patient.workload)
                del self._by_place[patient.workload.where]
                for incident in patient.incidents:
                    del self._by_incident[incident], self._last[incident]
                self.ended += 1

    def _sample(self) -> None:
        self.elapsed_s = self._clock.monotonic_s() - self._began_s
        for name, pid in self._pids.items():
            if (found := rss_mb(pid)) is not None:
                self.samples[name].append(Sample(self.ended, found))
                self.cpu_s[name] = cpu_s(pid) - self._cpu_s_before.get(name, 0.0)

    def _left(self) -> str:
        """Name who does not get out, with the last that happened to each."""
        said = (
            f"{patient.workload.name} ({patient.fate}): {', '.join(self._last[each] for each in patient.incidents)}"
            for patient in self._by_place.values()
        )
        return "; ".join(said)[:1000]


class Joined:
    """Which alerts are on record in an incident, each counted once: a merged incident hands its own on."""

    def __init__(self, connection: Client) -> None:
        self._facts, self._read_to = NatsStream(connection, "FACTS", _TIMEOUT_S), 0
        self._all = set[tuple[str, str]]()
        self._by_name = Counter[tuple[str, str]]()

    @property
    def count(self) -> int:
        return len(self._all)

    def of(self, workload: Workload) -> int:
        """How many of a workload's are: each names its Service or its pod."""
        return sum(self._by_name[workload.namespace, name] for name in (workload.name, *workload.pods))

    async def read(self) -> None:
        for stored in await self._facts.after("primum.fact.*.alert-joined", self._read_to):
            self._read_to = stored.sequence
            alert = json.loads(stored.data)["alert"]
            if (once := (alert["fingerprint"], alert["starts_at"])) not in self._all:
                self._all.add(once)
                labels = alert["labels"]
                self._by_name[labels["namespace"], labels.get("service") or labels["pod"]] += 1


def _result(options: Options, measured: Measured, ward: Ward) -> dict[str, Any]:
    done = max(1, ward.ended)
    courses = {name: course(samples, done) for name, samples in ward.samples.items() if samples}
    flat = all(name in courses and courses[name].flat for name in SERVICES)
    fast = all(each < READY_LIMIT_S for each in measured.ready_s.values())
    fast = fast and measured.help_s is not None and measured.help_s < HELP_LIMIT_S
    whole = (ward.joined, ward.opened, ward.ended) == (options.alerts, options.incidents, options.incidents)
    whole = whole and not measured.ended_by and not any(ward.restarts.values())
    return {
        "ok": flat and fast and whole,
        "whole": whole,
        "ended_by": measured.ended_by,
        "flat": flat,
        "fast": fast,
        "alerts": options.alerts,
        "joined": ward.joined,
        "incidents": options.incidents,
        "opened": ward.opened,
        "ended": ward.ended,
        "events": dict(sorted(ward.ends.items())),
        "seed": options.seed,
        "elapsed_s": round(ward.elapsed_s, 1),
        "criterion": f"slope over the last two thirds of the incidents < {SLOPE_LIMIT:g} MB per 1,000 incidents",
        "memory": {
            name: {
                **asdict(found),
                "flat": found.flat,
                "cpu_ms_an_incident": round(1000 * ward.cpu_s.get(name, 0.0) / done),
                "restarts": ward.restarts.get(name, 0),
            }
            for name, found in courses.items()
        },
        "start_to_ready_s": dict(measured.ready_s),
        "start_to_ready_limit_s": READY_LIMIT_S,
        "starts": options.starts,
        "help_s": measured.help_s,
        "help_limit_s": HELP_LIMIT_S,
    }


def _in_words(found: Mapping[str, Any]) -> str:
    lines = [f"{found['ended']} incidents of {found['joined']} alerts in {found['elapsed_s']} s", found["criterion"]]
    lines += [found["ended_by"]] if found["ended_by"] else []
    for name, memory in found["memory"].items():
        mark = "" if name == NATS else ("flat" if memory["flat"] else "NOT FLAT")
        figures = (f"{memory[key]:6.1f}" for key in ("start_mb", "third_mb", "two_thirds_mb", "end_mb"))
        lines.append(
            f"{name:<10} {' '.join(figures)} MB  {memory['slope_mb_per_1000']:+.2f} MB per 1,000  {mark:<8}"
            f" {memory['cpu_ms_an_incident']} ms of CPU an incident"
        )
    lines += [f"{name:<10} {took:.2f} s to ready" for name, took in found["start_to_ready_s"].items()]
    return "\n".join([*lines, f"primum --help {found['help_s']:.2f} s", "ok" if found["ok"] else "RED"])


def _say(what: str) -> None:
    sys.stderr.write(f"{what}\n")
