"""The diagnoser over the lab's HTTP API: it starts, looks, says, waits for what will show, and gives up in words."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import structlog
from nats.aio.client import Client
from structlog.testing import capture_logs

from eval.lab.lab import Lab
from services.diagnoser import app
from services.diagnoser.handlers import Context, reconcile
from services.diagnoser.settings import Settings
from shared.adapters.kubernetes_api import KubernetesCluster, connect
from shared.adapters.nats_ledger import NatsLedger, Writer
from shared.adapters.nats_server import EmbeddedNats
from shared.adapters.prometheus import Prometheus
from shared.adapters.system import RandomIdentity, SystemClock
from shared.analyzers.registry import ANALYZERS
from shared.bus.service import run
from shared.bus.setup import Plan, set_up
from shared.domain.alert import Alert
from shared.domain.cause import CauseCode
from shared.domain.cluster import Kind, Ref
from shared.domain.errors import Retry
from shared.domain.events import CouldNotLook, Diagnosed, Event, NothingFound, Opened, Owner, Stale
from shared.domain.ids import ClusterName, CorrelationKey, IncidentId
from shared.domain.incident import State
from shared.ports.cluster import Cluster
from shared.ports.metrics import Metrics
from shared.testing.builders import an_alert, recorded, story_to
from shared.testing.http_server import nobody_listening
from shared.testing.keys import seal_of, settings_of, write_keys
from shared.testing.memory_ledger import MemoryActivities, MemoryBus, MemoryLedger, MemoryTimers
from shared.testing.running import until
from shared.testing.virtual_clock import SeededIdentity, VirtualClock

INCIDENT = IncidentId("inc-1")
SETTINGS = Settings()
Made = Callable[..., Context]


@pytest.fixture
def clock() -> VirtualClock:
    """Time in the test's hand: the cluster is real, the waiting is not."""
    return VirtualClock()


@pytest.fixture
def bus(clock: VirtualClock) -> MemoryBus:
    """The ledger's fake, which keeps its contract."""
    return MemoryBus(clock, SeededIdentity())


def context(bus: MemoryBus, cluster: Cluster, metrics: Metrics | None = None, settings: Settings = SETTINGS) -> Context:
    """What the handlers work with."""
    return Context(
        ledger=MemoryLedger(bus, Owner.DIAGNOSER),
        cluster=cluster,
        metrics=metrics,
        timers=MemoryTimers(bus, Owner.DIAGNOSER),
        activities=MemoryActivities(bus, Owner.DIAGNOSER),
        clock=bus.clock,
        settings=settings,
        log=structlog.get_logger(),
    )


def about(lab: Lab, role: str = "payment") -> Alert:
    """An alert about a workload of the shop."""
    return an_alert(namespace=lab.shop.namespace, deployment=lab.shop.services[role])


def opening(lab: Lab, alert: Alert) -> Opened:
    """The first event of the incident, rooted in the workload."""
    name = alert.labels["deployment"]
    return Opened(
        cluster=ClusterName("lab"),
        key=CorrelationKey(name),
        root=Ref(cluster=ClusterName("lab"), kind=Kind.DEPLOYMENT, namespace=lab.shop.namespace, name=name),
        title=f"something on {name}",
        alert=alert,
        grouped_because="the alert names it",
    )


async def open_incident(bus: MemoryBus, lab: Lab, role: str = "payment") -> None:
    """As the detector does."""
    await MemoryLedger(bus, Owner.DETECTOR).open(INCIDENT, opening(lab, about(lab, role)))


async def break_image(lab: Lab, role: str = "payment") -> None:
    """Deploy an image that nobody pushed, and wait for its pods to say so."""
    container = {"name": "app", "image": lab.shop.missing_image(role)}
    change = {"spec": {"template": {"spec": {"containers": [container]}}}}
    lab.store.patch_strategic("Deployment", lab.shop.namespace, lab.shop.services[role], change)

    def says_so() -> bool:
        reasons = {event["reason"] for event in lab.store.list("Event", lab.shop.namespace)}
        return "BackOff" in reasons

    await lab.until(says_so, timeout_s=20)


async def last(bus: MemoryBus) -> tuple[State | None, Event]:
    """The state, and the last event."""
    ledger = MemoryLedger(bus, Owner.DIAGNOSER)
    return (await ledger.fold(INCIDENT)).state, (await ledger.history(INCIDENT))[-1].event


async def test_an_opened_incident_is_diagnosed_in_one_go(bus: MemoryBus, cluster: KubernetesCluster, lab: Lab) -> None:
    """Started and diagnosed: the cause with its evidence and remedy, and what was looked at."""
    await break_image(lab)
    await open_incident(bus, lab)
    await reconcile(INCIDENT, context(bus, cluster))
    state, event = await last(bus)
    assert state is State.PLANNING
    assert isinstance(event, Diagnosed)
    assert (event.causes[0].code, event.causes[0].object.name) == (CauseCode.IMAGE_PULL_FAILED, lab.shop.payment)
    assert event.causes[0].remedy == {"revision": 3}
    assert "not read: metrics (no Prometheus is configured)" in event.looked_at
    assert any(said.startswith(f"1 alerts, with {len(ANALYZERS)} analyzers over ") for said in event.looked_at)
    assert bus.activities["diagnoser"][1] == "idle"


async def test_a_second_run_changes_nothing(bus: MemoryBus, cluster: KubernetesCluster, lab: Lab) -> None:
    """Wake-ups come twice."""
    await break_image(lab)
    await open_incident(bus, lab)
    for _ in range(3):
        await reconcile(INCIDENT, context(bus, cluster))
    assert [type(record.event).__name__ for record in bus.events[INCIDENT]] == [
        "Opened",
        "DiagnosisStarted",
        "Diagnosed",
    ]


async def test_a_diagnosis_that_aged_is_made_again(bus: MemoryBus, cluster: KubernetesCluster, lab: Lab) -> None:
    """From wherever the incident came back to diagnosing."""
    await break_image(lab)
    await open_incident(bus, lab)
    await reconcile(INCIDENT, context(bus, cluster))
    mitigator = MemoryLedger(bus, Owner.MITIGATOR)
    await mitigator.append(await mitigator.fold(INCIDENT), Stale(reason="it is old"))
    await reconcile(INCIDENT, context(bus, cluster))
    assert (await last(bus))[0] is State.PLANNING


async def test_trouble_elsewhere_is_told_and_not_blamed(
    bus: MemoryBus, clock: VirtualClock, cluster: KubernetesCluster, lab: Lab
) -> None:
    """Another workload's fault is in what was looked at, once the grace is over."""
    await break_image(lab, "shipping")
    await open_incident(bus, lab, "payment")
    waited_s = 0.0
    while (await last(bus))[0] in {State.DETECTED, State.DIAGNOSING}:
        await reconcile(INCIDENT, context(bus, cluster))
        clock.advance(SETTINGS.look_again_s)
        waited_s += SETTINGS.look_again_s
    state, event = await last(bus)
    assert state is State.ESCALATED
    assert isinstance(event, NothingFound)
    assert waited_s == SETTINGS.looks * SETTINGS.look_again_s
    assert any("not related" in said and lab.shop.shipping in said for said in event.looked_at)


async def test_the_alert_may_be_ahead_of_the_state(
    bus: MemoryBus, clock: VirtualClock, cluster: KubernetesCluster, lab: Lab
) -> None:
    """Nothing shows yet: it looks again by its timer, and then says what shows."""
    await open_incident(bus, lab)
    await reconcile(INCIDENT, context(bus, cluster))
    assert (await last(bus))[0] is State.DIAGNOSING
    assert bus.due() == []
    clock.advance(SETTINGS.look_again_s)
    assert bus.due() == [(Owner.DIAGNOSER, INCIDENT)]
    await break_image(lab)
    await reconcile(INCIDENT, context(bus, cluster))
    assert isinstance((await last(bus))[1], Diagnosed)


async def test_a_silent_cluster_is_asked_again_until_the_deadline(
    bus: MemoryBus, clock: VirtualClock, lab: Lab, tmp_path: Path
) -> None:
    """Then a person is told that nobody could look: that is not `nothing found`."""
    lab.faults.hang("pods")
    await open_incident(bus, lab)
    async with connect(lab.kubeconfig(tmp_path / "kubeconfig"), None, ClusterName("lab"), timeout_s=0.2) as cluster:
        with pytest.raises(Retry, match="the cluster cannot be looked at") as later:
            await reconcile(INCIDENT, context(bus, cluster))
        assert later.value.after_s == SETTINGS.look_again_s
        assert (await last(bus))[0] is State.DIAGNOSING
        clock.advance(SETTINGS.look_deadline_s)
        await reconcile(INCIDENT, context(bus, cluster))
    state, event = await last(bus)
    assert state is State.ESCALATED
    assert isinstance(event, CouldNotLook)
    assert "for 60 s" in event.reason


async def test_while_the_cluster_is_silent_it_says_that_it_waits_for_it(
    bus: MemoryBus, clock: VirtualClock, lab: Lab, cluster: KubernetesCluster, tmp_path: Path
) -> None:
    """To whoever asks what it does, and once as a warning in its log; until the cluster answers, or it gives up."""
    await open_incident(bus, lab)
    asked = MemoryActivities(bus, Owner.DIAGNOSER)
    async with connect(lab.kubeconfig(tmp_path / "hasty"), None, ClusterName("lab"), timeout_s=0.2) as hasty:
        with capture_logs() as said:
            of_it = replace(context(bus, hasty), log=structlog.get_logger())
            lab.faults.hang("pods")
            for _ in range(2):
                with pytest.raises(Retry):
                    await reconcile(INCIDENT, of_it)
                assert await asked.all() == {Owner.DIAGNOSER: f"waiting-for-the-cluster:{INCIDENT}"}
        assert [line["log_level"] for line in said if "cannot be looked at" in line["event"]] == ["warning"]
        lab.faults.heal()
        await reconcile(INCIDENT, replace(of_it, cluster=cluster))
        assert await asked.all() == {Owner.DIAGNOSER: "idle"}
        lab.faults.hang("pods")
        with pytest.raises(Retry):
            await reconcile(INCIDENT, of_it)
        clock.advance(SETTINGS.look_deadline_s)
        await reconcile(INCIDENT, of_it)
        assert await asked.all() == {Owner.DIAGNOSER: "idle"}


async def test_without_metrics_it_goes_on_and_says_so(bus: MemoryBus, cluster: KubernetesCluster, lab: Lab) -> None:
    """A Prometheus that is down costs evidence and not the diagnosis."""
    await break_image(lab)
    await open_incident(bus, lab)
    async with nobody_listening() as url, Prometheus(url, timeout_s=1) as prometheus:
        await reconcile(INCIDENT, context(bus, cluster, prometheus))
    state, event = await last(bus)
    assert state is State.PLANNING
    assert isinstance(event, Diagnosed)
    assert any(said.startswith("not read: request metrics") for said in event.looked_at)


def deploy(lab: Lab, role: str, **pod: Any) -> None:
    """Change what the pods of a role are made of."""
    change = {"spec": {"template": {"spec": pod}}}
    lab.store.patch_strategic("Deployment", lab.shop.namespace, lab.shop.services[role], change)


async def test_what_was_deployed_wrongly_is_named_each_for_itself(
    clock: VirtualClock, cluster: KubernetesCluster, lab: Lab
) -> None:
    """Four faults at once, over HTTP: by states, events, metrics and log lines."""
    env = {"name": "LOG_LEVEL", "valueFrom": {"configMapKeyRef": {"name": "flags", "key": "level"}}}
    deploy(lab, "shipping", containers=[{"name": "app", "env": [{**env, "value": None}]}])
    deploy(lab, "payment", nodeSelector={"disk": "ssd"})
    deploy(lab, "catalog", containers=[{"name": "app", "readinessProbe": {"httpGet": {"path": "/ready", "port": 9}}}])
    deploy(lab, "orders", containers=[{"name": "app", "env": [{"name": "STORE_PASSWORD", "value": "changed"}]}])
    await lab.until(lambda: "401" in lab_lines(lab, "orders"), timeout_s=20)
    began_s = lab.now_s
    await lab.until(lambda: lab.now_s > began_s + 30, timeout_s=20)
    named = {}
    async with Prometheus(lab.prometheus_url, timeout_s=5) as prometheus:
        for role in ("shipping", "payment", "catalog", "orders"):
            bus = MemoryBus(clock, SeededIdentity())
            await open_incident(bus, lab, role)
            with_all = replace(context(bus, cluster, prometheus, Settings(metrics_window_s=0.5)), logs=cluster.logs)
            await reconcile(INCIDENT, with_all)
            event = (await last(bus))[1]
            assert isinstance(event, Diagnosed), (role, event)
            named[role] = event.causes[0].code
            assert event.causes[0].remedy == {"revision": 3}
    assert named == {
        "shipping": CauseCode.CONFIG_MAP_MISSING,
        "payment": CauseCode.UNSCHEDULABLE,
        "catalog": CauseCode.READINESS_PROBE_MISCONFIGURED,
        "orders": CauseCode.CREDENTIALS_REFUSED,
    }


def lab_lines(lab: Lab, role: str) -> str:
    """What all containers of a role have written."""
    runs = lab.kubelet.runs.items()
    name = lab.shop.services[role]
    mine = [uid for uid, run in runs if run.pod["metadata"]["name"].startswith(name)]
    return "".join(text for uid in mine for _, text in lab.kubelet.lines(uid, "app"))


async def test_it_owes_nothing_in_other_states(bus: MemoryBus, cluster: KubernetesCluster) -> None:
    """Whatever wakes it."""
    for state in set(State) - {State.DETECTED, State.DIAGNOSING}:
        story = list(recorded(INCIDENT, story_to(state)))
        bus.events[INCIDENT] = list(story)
        await reconcile(INCIDENT, context(bus, cluster))
        assert bus.events[INCIDENT] == story


async def test_the_service_diagnoses_what_the_ledger_holds(
    nats_server: EmbeddedNats, connection: Client, lab: Lab, tmp_path: Path
) -> None:
    """The whole of it on a real nats-server: opened by one service, diagnosed by another, ready and stopped."""
    await break_image(lab)
    settings = Settings(
        nats_url=nats_server.url,
        cluster="lab",
        kubeconfig=lab.kubeconfig(tmp_path / "kubeconfig"),
        prometheus_url=lab.prometheus_url,
        metrics_window_s=1,
        grace_s=1,
        **settings_of(Owner.DIAGNOSER, write_keys(tmp_path / "keys")),
    )
    stop, clock = asyncio.Event(), SystemClock()
    log = structlog.get_logger()
    await set_up(connection, Plan.of({Owner.DIAGNOSER: settings}))
    service = asyncio.create_task(run(Owner.DIAGNOSER, settings, lambda bus: app.duties(settings, bus), stop, log))
    ledger = NatsLedger(connection, Writer(seal_of(Owner.DETECTOR), clock, RandomIdentity()), 5)
    await ledger.open(INCIDENT, opening(lab, about(lab)))

    async def planned() -> bool:
        return (await ledger.fold(INCIDENT)).state is State.PLANNING

    await until(planned, clock, within_s=20)
    assert (await ledger.fold(INCIDENT)).causes[0].code is CauseCode.IMAGE_PULL_FAILED
    stop.set()
    assert await service == 0
