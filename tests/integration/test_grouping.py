"""Which incident an alert belongs to, and when an incident is over: the detector on a cluster that stands still."""

import asyncio
import dataclasses
from collections.abc import Sequence
from datetime import timedelta

import pytest

from services.detector.handlers import on_alerts, reconcile
from shared.domain.alert import AlertStatus
from shared.domain.cluster import Kind, Object
from shared.domain.errors import ClusterUnavailable, Conflict
from shared.domain.events import AlertJoined, Diagnosed, DiagnosisStarted, Fact, Merged, Opened, Owner, Quiet
from shared.domain.ids import IncidentId
from shared.domain.incident import State
from shared.domain.snapshot import Unread
from shared.testing.builders import (
    T0,
    a_cause,
    a_deployment,
    a_node,
    a_pod,
    a_ref,
    a_replica_set,
    a_service,
    a_snapshot,
    a_template,
    a_workload,
    an_alert,
    an_endpoint_slice,
    story_to,
)
from shared.testing.memory_ledger import MemoryLedger
from shared.testing.virtual_clock import VirtualClock
from tests.integration.the_core import EXPRESSION, RemoteLedger, StillCluster, Watcher, a_watcher

CALLS_CART = a_template("front", env={"CART_URL": "http://cart.shop:80"})


def a_broken_workload(name: str = "cart") -> tuple[Object, ...]:
    """Pods that cannot start, and so no endpoint."""
    deployment = a_deployment(name, ready=0)
    current = a_replica_set(deployment)
    pods = (a_pod(f"{name}-1-{letter}", owner=current, ready=False, waiting="CrashLoopBackOff") for letter in "abc")
    return (deployment, current, *pods, a_service(name), an_endpoint_slice(name, ready=0, unready=3))


def a_broken_shop() -> StillCluster:
    """`cart` is broken, `front` depends on it, `stock` is another matter."""
    return StillCluster(a_snapshot(a_broken_workload(), a_workload("front", template=CALLS_CART), a_workload("stock")))


def a_well_shop() -> StillCluster:
    return StillCluster(a_snapshot(a_workload(), a_workload("front", template=CALLS_CART), a_workload("stock")))


async def open_ones(watcher: Watcher) -> list[IncidentId]:
    return list(await watcher.ledger.open_incidents())


async def joined(watcher: Watcher, incident: IncidentId) -> list[str]:
    facts = await watcher.ledger.facts(incident)
    return [fact.alert.fingerprint for fact in facts if isinstance(fact, AlertJoined)]


async def the_state(watcher: Watcher, incident: IncidentId) -> State | None:
    return (await watcher.ledger.fold(incident)).state


async def an_open_one(watcher: Watcher) -> IncidentId:
    """Open an incident about `cart`."""
    await on_alerts([an_alert()], watcher.context)
    (incident,) = await open_ones(watcher)
    return incident


async def a_resolved_one(watcher: Watcher) -> IncidentId:
    """Open one, and see its symptom leave."""
    incident = await an_open_one(watcher)
    watcher.metrics.levels.clear()
    await reconcile(incident, watcher.context)
    assert await the_state(watcher, incident) is State.RESOLVED
    return incident


async def test_the_same_alert_twice_joins_once() -> None:
    """A redelivery is no news; the same condition that begins to fire again is."""
    watcher = a_watcher(a_broken_shop(), VirtualClock())
    incident = await an_open_one(watcher)
    await on_alerts([an_alert()], watcher.context)
    await on_alerts([an_alert(starts_at=T0 + timedelta(minutes=1))], watcher.context)
    assert await joined(watcher, incident) == ["f1", "f1"]


async def test_a_detector_that_died_between_opening_and_joining_is_made_good() -> None:
    """The alert is delivered again: it finds its incident by the key, and joins."""
    watcher = a_watcher(a_broken_shop(), VirtualClock())
    incident = await an_open_one(watcher)
    watcher.bus.facts.clear()
    again = a_watcher(watcher.cluster, watcher.bus.clock, bus=watcher.bus)
    await on_alerts([an_alert()], again.context)
    assert (await open_ones(watcher), await joined(watcher, incident)) == ([incident], ["f1"])


async def test_an_alert_for_a_caller_joins_the_incident_of_what_it_depends_on() -> None:
    """The caller is well itself; what is broken is downstream of it, and that is the root of both."""
    watcher = a_watcher(a_broken_shop(), VirtualClock())
    incident = await an_open_one(watcher)
    await on_alerts([an_alert("RequestErrorRatioHigh", fingerprint="f2", service="front")], watcher.context)
    assert (await open_ones(watcher), await joined(watcher, incident)) == ([incident], ["f1", "f2"])
    assert (await watcher.ledger.fold(incident)).root == a_ref("cart")


async def test_a_callers_alert_that_comes_first_opens_the_incident_of_the_root() -> None:
    """Whichever alert comes first, the incident is about what is broken."""
    watcher = a_watcher(a_broken_shop(), VirtualClock())
    await on_alerts([an_alert("RequestErrorRatioHigh", fingerprint="f2", deployment="front")], watcher.context)
    (incident,) = await open_ones(watcher)
    assert (await watcher.ledger.fold(incident)).root == a_ref("cart")


async def test_a_second_unrelated_fault_opens_an_incident_of_its_own() -> None:
    """Also in the middle of the first one's storm."""
    snapshot = a_snapshot(a_broken_workload(), a_workload("front", template=CALLS_CART), a_broken_workload("stock"))
    watcher = a_watcher(StillCluster(snapshot), VirtualClock())
    for number in range(5):
        await on_alerts([an_alert(fingerprint=f"a{number}")], watcher.context)
        await on_alerts([an_alert(fingerprint=f"b{number}", deployment="stock")], watcher.context)
    first, second = await open_ones(watcher)
    assert [len(await joined(watcher, each)) for each in (first, second)] == [5, 5]


async def test_ten_alerts_at_once_with_one_root_open_one_incident() -> None:
    """Who loses the race for the key joins the winner's incident: no alert is lost."""
    watcher = a_watcher(a_broken_shop(), VirtualClock())
    alerts = [an_alert(fingerprint=f"f{number}", deployment="cart" if number % 2 else "front") for number in range(10)]
    await asyncio.gather(*(on_alerts([alert], watcher.context) for alert in alerts))
    (incident,) = await open_ones(watcher)
    assert len(watcher.bus.opened) == 1
    assert sorted(await joined(watcher, incident)) == [f"f{number}" for number in range(10)]


async def test_alerts_that_come_together_are_handled_in_one_look() -> None:
    """Two causes, thirty alerts, one call: each goes where it would have gone alone, and each incident is read once."""
    snapshot = a_snapshot(a_broken_workload(), a_workload("front", template=CALLS_CART), a_broken_workload("stock"))
    watcher = a_watcher(StillCluster(snapshot), VirtualClock())
    places = ("cart", "front", "stock")
    alerts = [an_alert(fingerprint=f"f{number}", deployment=places[number % 3]) for number in range(30)]
    await on_alerts(alerts, watcher.context)
    first, second = await open_ones(watcher)
    assert (len(await joined(watcher, first)), len(await joined(watcher, second))) == (20, 10)
    assert watcher.cluster.asked == 1


async def test_without_the_cluster_alerts_are_grouped_by_their_names_and_it_is_said() -> None:
    """Nothing is lost and nothing is guessed; and what nobody could look at is not called healed."""
    cluster = a_broken_shop()
    cluster.fails = ClusterUnavailable("no answer within 10 s")
    watcher = a_watcher(cluster, VirtualClock())
    watcher.metrics.levels.clear()
    await on_alerts([an_alert()], watcher.context)
    await on_alerts([an_alert(fingerprint="f2")], watcher.context)
    await on_alerts([an_alert("Another", fingerprint="f3")], watcher.context)
    first, second = await open_ones(watcher)
    opened = (await watcher.ledger.history(first))[0].event
    assert isinstance(opened, Opened)
    assert "grouped by shop/HighErrorRate" in opened.grouped_because
    assert (await joined(watcher, first), await joined(watcher, second)) == (["f1", "f2"], ["f3"])
    assert await the_state(watcher, first) is State.DETECTED


async def test_a_cluster_that_hangs_is_asked_once_for_the_many_alerts_that_wait() -> None:
    """One time-out, not one for each: the last of them would be taken for a handler that hangs."""
    cluster = a_broken_shop()
    cluster.fails = ClusterUnavailable("no answer within 10 s")
    watcher = a_watcher(cluster, VirtualClock(), surroundings_age_s=10)
    await asyncio.gather(*(on_alerts([an_alert(fingerprint=f"f{number}")], watcher.context) for number in range(10)))
    (incident,) = await open_ones(watcher)
    assert (cluster.asked, len(await joined(watcher, incident))) == (1, 10)


async def test_what_healed_before_the_alert_came_is_opened_and_cleared_in_one_batch() -> None:
    """Nobody sees it open in between, so nobody starts anything."""
    watcher = a_watcher(a_well_shop(), VirtualClock())
    watcher.metrics.levels.clear()
    seen: list[str] = []
    watcher.bus.wake = lambda record: seen.append(record.event.name)
    incident = await an_open_one(watcher)
    assert (seen, await the_state(watcher, incident)) == (["Opened", "Cleared"], State.RESOLVED)


async def test_what_healed_with_its_caller_is_one_incident_with_it() -> None:
    """The caller's alert opens it, and what it calls belongs to it; what it has nothing to do with does not."""
    watcher = a_watcher(a_well_shop(), VirtualClock())
    watcher.metrics.levels.clear()
    places = {"f1": "front", "f2": "cart", "f3": "stock"}
    late = [an_alert(fingerprint=each, deployment=name) for each, name in places.items()]
    await on_alerts(late, watcher.context)
    first, second = await open_ones(watcher)
    assert [await joined(watcher, each) for each in (first, second)] == [["f1", "f2"], ["f3"]]
    assert [await the_state(watcher, each) for each in (first, second)] == [State.RESOLVED, State.RESOLVED]


async def test_a_root_that_may_not_be_looked_at_is_not_called_well() -> None:
    """The symptom is gone, and of the pods nobody knows: the incident stays open."""
    shop = a_well_shop()
    shop.shown = shop.shown.but(unread=(Unread(kind=Kind.POD, namespace=None, reason="403"),))
    watcher = a_watcher(shop, VirtualClock())
    watcher.metrics.levels.clear()
    assert await the_state(watcher, await an_open_one(watcher)) is State.DETECTED


async def test_a_symptom_that_is_gone_while_the_root_ails_is_not_over() -> None:
    """A crash loop between two crashes shows no error rate."""
    watcher = a_watcher(a_broken_shop(), VirtualClock())
    watcher.metrics.levels.clear()
    incident = await an_open_one(watcher)
    await reconcile(incident, watcher.context)
    assert await the_state(watcher, incident) is State.DETECTED


async def test_a_failed_query_is_never_gone() -> None:
    """Neither when the alert comes, nor while it is watched; it is looked at again."""
    watcher = a_watcher(a_well_shop(), VirtualClock())
    watcher.metrics.levels.clear()
    watcher.metrics.down = True
    incident = await an_open_one(watcher)
    await reconcile(incident, watcher.context)
    assert await the_state(watcher, incident) is State.DETECTED
    assert (Owner.DETECTOR, incident) in watcher.bus.timers


async def test_a_resolved_notice_only_makes_us_look() -> None:
    """It trails the fact; the symptom is measured."""
    watcher = a_watcher(a_well_shop(), VirtualClock())
    incident = await an_open_one(watcher)
    await on_alerts([an_alert(status=AlertStatus.RESOLVED, ends_at=T0 + timedelta(minutes=1))], watcher.context)
    assert await the_state(watcher, incident) is State.DETECTED
    assert (Owner.DETECTOR, incident) in watcher.bus.due()
    assert await joined(watcher, incident) == ["f1"]


async def test_a_resolved_notice_without_an_incident_opens_none() -> None:
    """It is news of something that is over."""
    watcher = a_watcher(a_well_shop(), VirtualClock())
    await on_alerts([an_alert(status=AlertStatus.RESOLVED, ends_at=T0)], watcher.context)
    assert await open_ones(watcher) == []


async def test_a_symptom_that_lingers_is_no_relapse_and_one_that_stays_is() -> None:
    """Rates trail a fix; after a while they have no excuse."""
    clock = VirtualClock()
    watcher = a_watcher(a_well_shop(), clock)
    incident = await a_resolved_one(watcher)
    watcher.metrics.levels[EXPRESSION] = 1.0
    clock.advance(100)
    await reconcile(incident, watcher.context)
    assert await the_state(watcher, incident) is State.RESOLVED
    clock.advance(30)
    await reconcile(incident, watcher.context)
    assert await the_state(watcher, incident) is State.DIAGNOSING


async def test_an_outage_of_the_cluster_is_no_relapse_and_no_quiet() -> None:
    """What could not be looked at is neither ill nor well: the watch goes on."""
    clock = VirtualClock()
    watcher = a_watcher(a_well_shop(), clock)
    incident = await a_resolved_one(watcher)
    watcher.cluster.fails = ClusterUnavailable("no answer within 10 s")
    for _ in range(3):
        clock.advance(400)
        await reconcile(incident, watcher.context)
    assert await the_state(watcher, incident) is State.RESOLVED
    assert (Owner.DETECTOR, incident) in watcher.bus.timers
    watcher.cluster.fails = None
    clock.advance(2)
    await reconcile(incident, watcher.context)
    assert await the_state(watcher, incident) is State.CLOSED


async def test_a_root_that_ails_again_is_a_relapse_whatever_the_metrics_say() -> None:
    """Its pods cannot start: that needs no Prometheus."""
    clock = VirtualClock()
    watcher = a_watcher(a_well_shop(), clock)
    incident = await a_resolved_one(watcher)
    watcher.cluster.shown = a_broken_shop().shown
    watcher.metrics.down = True
    clock.advance(130)
    await reconcile(incident, watcher.context)
    assert await the_state(watcher, incident) is State.DIAGNOSING


async def test_quiet_closes_the_incident_and_frees_its_key() -> None:
    """The next alert of the same kind opens another one."""
    clock = VirtualClock()
    watcher = a_watcher(a_well_shop(), clock)
    incident = await a_resolved_one(watcher)
    clock.advance(601)
    await reconcile(incident, watcher.context)
    assert (await the_state(watcher, incident), await open_ones(watcher)) == (State.CLOSED, [])
    watcher.metrics.levels[EXPRESSION] = 1.0
    later = an_alert(starts_at=clock.now())
    await on_alerts([later], watcher.context)
    (another,) = await open_ones(watcher)
    assert another != incident


async def test_two_groups_that_prove_to_be_one_are_merged_and_exactly_one_stays_open() -> None:
    """Opened apart while both looked well; then the root shows. The alerts go with the merge, once each."""
    clock = VirtualClock()
    watcher = a_watcher(a_well_shop(), clock)
    await on_alerts([an_alert(fingerprint="f1")], watcher.context)
    await on_alerts([an_alert(fingerprint="f2", deployment="stock")], watcher.context)
    first, second = await open_ones(watcher)
    template = a_template("stock", env={"CART_URL": "http://cart.shop:80"})
    watcher.cluster.shown = a_snapshot(a_broken_workload(), a_workload("stock", template=template))
    clock.advance(2)
    await asyncio.gather(*(reconcile(each, watcher.context) for each in (first, second)))
    assert await open_ones(watcher) == [first]
    assert isinstance((await watcher.ledger.history(second))[-1].event, Merged)
    assert sorted(await joined(watcher, first)) == ["f1", "f2"]
    await reconcile(second, watcher.context)
    assert await joined(watcher, first) == ["f1", "f2"]


def on_one_node(*, ready: bool) -> StillCluster:
    """Two workloads with all their pods on one node; when it is not ready, nor are they, as controllers have it."""
    objects: list[Object] = [a_node("node-1", ready=ready)]
    for name in ("cart", "stock"):
        deployment = a_deployment(name, replicas=1, ready=int(ready))
        current = a_replica_set(deployment)
        objects += [deployment, current, a_pod(f"{name}-1-a", owner=current, ready=ready), a_service(name)]
        objects += [an_endpoint_slice(name, ready=int(ready), unready=int(not ready))]
    return StillCluster(a_snapshot(objects))


@pytest.mark.parametrize("of_the_node", [True, False], ids=["the node's own alert comes, too", "it does not"])
async def test_what_came_before_a_node_was_known_to_be_lost_ends_as_one_incident(*, of_the_node: bool) -> None:
    """Targets go down at once; that the node is not ready shows when its lease has run out."""
    clock = VirtualClock()
    watcher = a_watcher(on_one_node(ready=True), clock)
    early = [an_alert("TargetDown", fingerprint=name, pod=f"{name}-1-a", node="node-1") for name in ("cart", "stock")]
    await on_alerts(early, watcher.context)
    assert len(await open_ones(watcher)) == 2
    watcher.cluster.shown = on_one_node(ready=False).shown
    clock.advance(40)
    late = an_alert("KubeNodeNotReady", fingerprint="node", namespace="", node="node-1")
    joins = an_alert("DeploymentReplicasMismatch", fingerprint="late", deployment="stock")
    await on_alerts([late, joins] if of_the_node else [], watcher.context)
    for incident in await open_ones(watcher):
        await reconcile(incident, watcher.context)
    (whole,) = await open_ones(watcher)
    expected = ["cart", "late", "node", "stock"] if of_the_node else ["cart", "stock"]
    assert sorted(await joined(watcher, whole)) == expected
    if of_the_node:
        assert (await watcher.ledger.fold(whole)).root == a_ref("node-1", Kind.NODE)


async def test_a_lost_nodes_incident_is_not_over_while_nodes_cannot_be_read() -> None:
    """What cannot be seen may be as it was."""
    clock = VirtualClock()
    watcher = a_watcher(on_one_node(ready=False), clock)
    await on_alerts([an_alert("KubeNodeNotReady", namespace="", node="node-1")], watcher.context)
    (incident,) = await open_ones(watcher)
    watcher.metrics.levels.clear()
    unread = Unread(kind=Kind.NODE, namespace=None, reason="forbidden")
    shown = (seen for seen in watcher.cluster.shown.objects if seen.ref.kind is not Kind.NODE)
    watcher.cluster.shown = watcher.cluster.shown.but(objects=tuple(shown), unread=(unread,))
    clock.advance(2)
    await reconcile(incident, watcher.context)
    assert await the_state(watcher, incident) is State.DETECTED


async def test_of_two_that_explain_each_other_the_root_stays_and_the_other_goes() -> None:
    """Whichever is looked at first: never both, and never none."""
    clock = VirtualClock()
    watcher = a_watcher(a_well_shop(), clock)
    await on_alerts([an_alert(fingerprint="f1", deployment="front")], watcher.context)
    await on_alerts([an_alert(fingerprint="f2")], watcher.context)
    first, second = await open_ones(watcher)
    watcher.cluster.shown = a_broken_shop().shown
    clock.advance(2)
    diagnoser = MemoryLedger(watcher.bus, Owner.DIAGNOSER)
    diagnosed = Diagnosed(causes=(a_cause(ref=a_ref("cart")),), looked_at=("everything",))
    for event in (DiagnosisStarted(), diagnosed):
        await diagnoser.append(await diagnoser.fold(first), event)
    await asyncio.gather(*(reconcile(each, watcher.context) for each in (second, first)))
    assert await open_ones(watcher) == [second]


async def test_what_was_opened_without_the_cluster_goes_to_the_incident_that_explains_it() -> None:
    """Nobody comes back to an alert that was grouped by its name: its incident itself must find home."""
    clock = VirtualClock()
    watcher = a_watcher(a_broken_shop(), clock)
    watcher.cluster.fails = ClusterUnavailable("down")
    await on_alerts([an_alert(fingerprint="f1", deployment="front")], watcher.context)
    (blind,) = await open_ones(watcher)
    watcher.cluster.fails = None
    clock.advance(30)
    await on_alerts([an_alert("KubePodCrashLooping", fingerprint="f2")], watcher.context)
    (seeing,) = set(await open_ones(watcher)) - {blind}
    await asyncio.gather(*(reconcile(each, watcher.context) for each in (seeing, blind)))
    assert await open_ones(watcher) == [seeing]
    assert sorted(await joined(watcher, seeing)) == ["f1", "f2"]


class ShutByAnother(RemoteLedger):
    """A ledger where another detector closes an incident in the middle of what this one does."""

    def __init__(self, watcher: Watcher, closes: IncidentId) -> None:
        super().__init__(watcher.bus, Owner.DETECTOR)
        self._closes: IncidentId | None = closes

    async def _close(self) -> None:
        closes, self._closes = self._closes, None
        if closes is not None:
            await self.append(await self.fold(closes), Quiet(reason="quiet"), frees_key=True)


class ShutBeforeTheNote(ShutByAnother):
    """Just before a note is taken of it."""

    async def note(self, incident: IncidentId, *facts: Fact) -> None:
        await self._close()
        await super().note(incident, *facts)


class ShutBeforeTheList(ShutByAnother):
    """Just before the open ones are listed."""

    async def open_incidents(self) -> Sequence[IncidentId]:
        await self._close()
        return await super().open_incidents()


async def test_an_incident_that_closes_while_the_look_goes_on_is_known_to_be_lately_over() -> None:
    """It was open for the first alert of the batch; the second, late as well, opens nothing of its own."""
    watcher = a_watcher(a_well_shop(), VirtualClock())
    incident = await a_resolved_one(watcher)
    context = dataclasses.replace(watcher.context, ledger=ShutBeforeTheList(watcher, incident))
    late = [an_alert(fingerprint="f2"), an_alert(fingerprint="f3"), an_alert(fingerprint="f4", deployment="front")]
    with pytest.raises(Conflict):  # the loop calls again
        await on_alerts(late, context)
    await on_alerts(late, context)
    assert (await open_ones(watcher), await joined(watcher, incident)) == ([], ["f1", "f2", "f3", "f4"])


async def test_an_alert_that_joins_what_closes_in_that_moment_is_not_lost() -> None:
    """Its own symptom is there, and nobody looks at an incident that is closed: it is handled again."""
    watcher = a_watcher(a_well_shop(), VirtualClock())
    incident = await a_resolved_one(watcher)
    watcher.metrics.levels[EXPRESSION] = 1.0
    context = dataclasses.replace(watcher.context, ledger=ShutBeforeTheNote(watcher, incident))
    with pytest.raises(Conflict):
        await on_alerts([an_alert(fingerprint="f2")], context)
    await on_alerts([an_alert(fingerprint="f2")], context)
    (another,) = await open_ones(watcher)
    assert (another == incident, await joined(watcher, another)) == (False, ["f2"])


async def test_while_a_transaction_is_under_way_the_verdict_decides() -> None:
    """The symptom leaves, and the detector says nothing."""
    watcher = a_watcher(a_well_shop(), VirtualClock())
    incident = await an_open_one(watcher)
    for event in story_to(State.MITIGATING)[1:]:
        owner = Owner.MITIGATOR if event.name == "TransactionOpened" else Owner.DIAGNOSER
        ledger = MemoryLedger(watcher.bus, owner)
        await ledger.append(await ledger.fold(incident), event)
    watcher.metrics.levels.clear()
    await reconcile(incident, watcher.context)
    assert await the_state(watcher, incident) is State.MITIGATING
