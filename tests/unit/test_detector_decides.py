"""The detector's decisions: where an alert belongs, and what a reading of the symptom means."""

from datetime import timedelta

import pytest

from services.detector import decide
from shared.analyzers.topology import Topology
from shared.domain.cause import Cause, CauseCode
from shared.domain.cluster import Kind, Object, Ref
from shared.domain.events import Cleared, Quiet, Relapsed
from shared.domain.health import Symptom
from shared.domain.incident import Incident, State
from shared.testing.builders import (
    T0,
    a_cause,
    a_deployment,
    a_pod,
    a_reading,
    a_ref,
    a_replica_set,
    a_service,
    a_snapshot,
    a_template,
    a_workload,
    an_alert,
    an_endpoint_slice,
    an_incident,
)

CART, FRONT, STOCK = a_ref("cart"), a_ref("front"), a_ref("stock")


def broken(name: str) -> tuple[Object, ...]:
    deployment = a_deployment(name, ready=0)
    current = a_replica_set(deployment)
    pods = (a_pod(f"{name}-1-{letter}", owner=current, ready=False, waiting="CrashLoopBackOff") for letter in "abc")
    return (deployment, current, *pods, a_service(name), an_endpoint_slice(name, ready=0, unready=3))


FRONT_CALLS_CART = a_workload("front", template=a_template("front", env={"CART_URL": "http://cart.shop:80"}))
CART_IS_BROKEN = Topology.of(a_snapshot(broken("cart"), FRONT_CALLS_CART, a_workload("stock")))
BOTH_ARE_BROKEN = Topology.of(a_snapshot(broken("cart"), FRONT_CALLS_CART, broken("stock")))
ALL_IS_WELL = Topology.of(a_snapshot(a_workload("cart"), FRONT_CALLS_CART, a_workload("stock")))


def about(root: Ref, state: State = State.DIAGNOSING, **changes: object) -> Incident:
    return an_incident(state).but(root=root, causes=(), transactions=(), **changes)


def group(about_: Ref, topology: Topology) -> decide.Group:
    return decide.group_of(an_alert(deployment=about_.name), topology)


# --- where it belongs


def test_alerts_of_one_root_have_one_key() -> None:
    """Whatever they are called, and whatever they are about."""
    own, callers = group(CART, CART_IS_BROKEN), group(FRONT, CART_IS_BROKEN)
    assert (own.root, callers.root, own.key) == (CART, CART, callers.key)
    assert callers.about == FRONT


def test_alerts_of_two_roots_have_two_keys() -> None:
    """Two faults are two incidents."""
    assert group(CART, BOTH_ARE_BROKEN).key != group(STOCK, BOTH_ARE_BROKEN).key


def test_two_clusters_never_share_a_key() -> None:
    """The same names elsewhere are other things."""
    alert = an_alert("Watchdog", tier="edge")
    assert decide.group_of(alert, None).key != decide.group_of(alert.but(cluster="other"), None).key


@pytest.mark.parametrize("topology", [None, ALL_IS_WELL], ids=["without the cluster", "about nothing that is known"])
def test_without_a_workload_it_goes_by_namespace_and_name(topology: Topology | None) -> None:
    """And says so."""
    grouped = decide.group_of(an_alert("Watchdog", tier="edge"), topology)
    assert (grouped.root, grouped.because) == (None, "no workload is known for it: grouped by shop/Watchdog")


def a_little(label: str = "tier", value: str = "edge", topology: Topology = CART_IS_BROKEN) -> decide.Group:
    alert = an_alert("NamespacePodsNotReady")
    return decide.group_of(alert.but(labels={**alert.labels, "deployment": "", label: value}), topology)


def test_an_alert_that_names_only_a_namespace_belongs_to_the_one_root_there() -> None:
    """All that is unhealthy there comes from one thing: it is what the alert is about, whatever it is called."""
    found = a_little()
    assert (found.root, found.key) == (CART, group(CART, CART_IS_BROKEN).key)
    assert found.because == f"all that is unhealthy in shop comes from {CART}"


@pytest.mark.parametrize("topology", [BOTH_ARE_BROKEN, ALL_IS_WELL], ids=["two roots", "no root"])
def test_where_a_namespace_shows_no_one_root_nothing_is_guessed(topology: Topology) -> None:
    """Nobody could say whose it is: by its name, then."""
    little = a_little(topology=topology)
    assert (little.root, little.because.endswith("grouped by shop/NamespacePodsNotReady")) == (None, True)


def test_an_alert_about_what_the_graph_does_not_know_is_not_its_namespaces() -> None:
    """A volume that fills up is not the crash loop beside it; nor is a Deployment that nobody knows."""
    assert (a_little("persistentvolumeclaim", "data-0").root, a_little("deployment", "gone").root) == (None, None)


def test_what_is_rooted_in_an_incidents_fault_belongs_to_it() -> None:
    """Its root, its best cause's object, or what its transactions lock."""
    for incident in (
        about(CART),
        about(STOCK).but(causes=(a_cause(ref=CART),)),
        an_incident(State.VALIDATING).but(root=STOCK, causes=()),
    ):
        home = decide.home_of(group(CART, CART_IS_BROKEN), T0, CART_IS_BROKEN, [incident])
        assert home is not None
        assert home.incident == incident.id


def test_a_second_best_cause_claims_nothing() -> None:
    """Only what an incident is about explains others."""
    incident = about(STOCK).but(causes=(a_cause(ref=STOCK), a_cause(ref=CART)))
    assert decide.home_of(group(CART, CART_IS_BROKEN), T0, CART_IS_BROKEN, [incident]) is None


def test_what_a_caller_harms_belongs_to_that_callers_fault() -> None:
    """It asks all that it calls too often, and not only the one where it was found; what cannot start has its own."""
    storm = a_cause(CauseCode.RETRY_STORM, ref=FRONT)
    about_stock = about(STOCK).but(causes=(storm.but(harms=STOCK),))
    home = decide.home_of(group(CART, ALL_IS_WELL), T0, ALL_IS_WELL, [about_stock])
    assert home is not None
    assert home.because == f"{FRONT} calls {CART}, which shows no fault of its own"
    assert decide.home_of(group(CART, CART_IS_BROKEN), T0, CART_IS_BROKEN, [about_stock]) is None
    assert decide.home_of(group(CART, ALL_IS_WELL), T0, ALL_IS_WELL, [about(STOCK).but(causes=(storm,))]) is None


def test_two_that_have_the_same_best_cause_are_one() -> None:
    """A caller that harms two things is found at the root of neither; of what is over it is no news."""
    asks_too_much = a_cause(CauseCode.RETRY_STORM, ref=FRONT)
    cart, stock = (about(ref).but(id=f"inc-{ref.name}", causes=(asks_too_much,)) for ref in (CART, STOCK))
    home = decide.home_by_cause(cart, T0, [about(FRONT), stock])
    assert home is not None
    assert (home.incident, home.because) == (stock.id, f"both come of retry-storm of {FRONT}")
    over = stock.but(state=State.RESOLVED, updated_at=T0)
    assert decide.home_by_cause(cart, T0 + timedelta(seconds=1), [over]) is None


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        ((), ()),
        ((a_cause(CauseCode.CRASH_LOOP, ref=FRONT),), (a_cause(CauseCode.CRASH_LOOP, ref=CART),)),
        ((a_cause(CauseCode.CRASH_LOOP, ref=FRONT),), (a_cause(ref=CART), a_cause(CauseCode.CRASH_LOOP, ref=FRONT))),
        ((a_cause(CauseCode.RECENT_ROLLOUT, ref=FRONT),), (a_cause(CauseCode.RECENT_ROLLOUT, ref=FRONT),)),
    ],
    ids=["no cause", "another object", "a second best one", "its timing alone"],
)
def test_what_may_have_another_cause_stays_an_incident_of_its_own(
    mine: tuple[Cause, ...], theirs: tuple[Cause, ...]
) -> None:
    """Two faults at once are two."""
    assert decide.home_by_cause(about(CART).but(causes=mine), T0, [about(STOCK).but(causes=theirs)]) is None


def test_what_depends_on_the_fault_and_looks_well_belongs_to_it() -> None:
    """Errors and load are passed on."""
    home = decide.home_of(group(FRONT, ALL_IS_WELL), T0, ALL_IS_WELL, [about(CART)])
    assert home is not None
    assert "depends on" in home.because


def test_what_depends_on_the_fault_but_has_one_of_its_own_does_not() -> None:
    """A pod that cannot start was not passed on."""
    template = a_template("stock", env={"CART_URL": "http://cart.shop:80"})
    deployment = a_deployment("stock", ready=0, template=template)
    pods = [a_pod("stock-1-a", owner=a_replica_set(deployment), ready=False, waiting="ErrImagePull")]
    topology = Topology.of(a_snapshot(a_workload("cart"), deployment, a_replica_set(deployment), *pods))
    assert decide.home_of(group(STOCK, topology), T0, topology, [about(CART)]) is None


def test_an_unrelated_fault_has_no_home() -> None:
    """It opens an incident of its own."""
    assert decide.home_of(group(STOCK, BOTH_ARE_BROKEN), T0, BOTH_ARE_BROKEN, [about(CART)]) is None


def test_of_two_homes_the_older_one_is_taken() -> None:
    """By when it was opened, not by the order in which they are asked."""
    older = about(CART, opened_at=T0 - timedelta(minutes=5)).but(id="inc-older")
    home = decide.home_of(group(CART, CART_IS_BROKEN), T0, CART_IS_BROKEN, [about(CART), older])
    assert home is not None
    assert home.incident == "inc-older"


def test_what_began_after_the_fault_was_over_is_not_its_doing() -> None:
    """What began before it was over is, however late the alert comes."""
    over = about(CART, State.RESOLVED, updated_at=T0)
    grouped = group(CART, CART_IS_BROKEN)
    assert decide.home_of(grouped, T0 + timedelta(seconds=1), CART_IS_BROKEN, [over]) is None
    assert decide.home_of(grouped, T0 - timedelta(seconds=1), CART_IS_BROKEN, [over]) is not None
    assert decide.may_hold(over, T0)
    assert not decide.may_hold(over, T0 + timedelta(seconds=1))
    assert not decide.may_hold(about(CART, State.CLOSED), T0)


@pytest.mark.parametrize("state", list(State))
def test_what_a_root_needs_may_have_been_its_beginning_when_both_are_well_again(state: State) -> None:
    """While an incident is not over its root shows, or will show, what it suffers from."""
    home = decide.healed_with(group(CART, ALL_IS_WELL), T0, ALL_IS_WELL, [about(FRONT, state, updated_at=T0)])
    assert (home is not None) == (state in (State.RESOLVED, State.CLOSED))
    assert home is None or home.over == (state is State.CLOSED)


def test_what_healed_has_not_begun_with_what_has_nothing_to_do_with_it() -> None:
    """What began afterwards, what its root does not need, and what somebody acted on: that is judged by its own."""
    front = about(FRONT, State.RESOLVED, updated_at=T0)
    (acted,) = an_incident(State.RESOLVED).transactions
    cart, stock = group(CART, ALL_IS_WELL), group(STOCK, ALL_IS_WELL)
    assert decide.healed_with(cart, T0 + timedelta(seconds=1), ALL_IS_WELL, [front]) is None
    assert decide.healed_with(stock, T0, ALL_IS_WELL, [front]) is None
    assert decide.healed_with(cart, T0, ALL_IS_WELL, [front.but(transactions=(acted,))]) is None


def test_a_group_without_a_root_joins_by_its_key_alone() -> None:
    """Nothing is known of what it depends on."""
    assert decide.home_of(decide.group_of(an_alert(), None), T0, CART_IS_BROKEN, [about(CART)]) is None


# --- of two that are one


@pytest.mark.parametrize("state", list(State))
def test_what_only_waits_may_be_merged(state: State) -> None:
    """Also what waits for a person who did not come yet: one page less that leads nowhere."""
    waits = {State.DETECTED, State.DIAGNOSING, State.PLANNING, State.AWAITING_APPROVAL, State.ESCALATED}
    assert decide.may_merge(about(FRONT, state)) == (state in waits)


def test_what_a_person_took_or_where_a_plan_was_judged_is_not_merged() -> None:
    """The one is not Primum's to close; the other remembers what must not be tried again."""
    escalated = about(FRONT, State.ESCALATED)
    (judged,) = an_incident(State.RESOLVED).transactions
    assert not decide.may_merge(escalated.but(taken_by="ann"))
    assert not decide.may_merge(escalated.but(transactions=(judged,)))
    assert decide.may_merge(escalated.but(transactions=(judged.but(untried=True),)))


def test_an_open_incident_belongs_to_what_explains_its_own_root_now() -> None:
    """Its first alert, of a caller, may have had two ways down; the errors of its root prove to be the Service's."""
    calls_two = a_template("front", env={"A_URL": "http://a-stock.shop:80", "CART_URL": "http://cart.shop:80"})
    served = [each for each in a_workload("cart") if each.ref.kind not in (Kind.SERVICE, Kind.ENDPOINT_SLICE)]
    selects_nothing = (a_service("cart", selector={"app": "card"}), an_endpoint_slice("cart", ready=0))
    topology = Topology.of(
        a_snapshot(served, selects_nothing, a_workload("front", template=calls_two), broken("a-stock"))
    )
    assert group(FRONT, topology).root == a_ref("a-stock")
    now = decide.group_now(about(CART), an_alert(deployment=FRONT.name), topology)
    assert (now.root, now.about) == (a_ref("cart", Kind.SERVICE), CART)


def test_where_nothing_explains_its_root_any_more_its_first_alert_decides() -> None:
    """Its root was a guess of before the fault showed."""
    assert decide.group_now(about(STOCK), an_alert(deployment=FRONT.name), CART_IS_BROKEN).root == CART


def test_of_two_that_are_one_the_root_stays() -> None:
    """Though it was opened later; and exactly one of the two stays."""
    caller, root = about(FRONT, opened_at=T0), about(CART, opened_at=T0 + timedelta(minutes=1)).but(id="inc-root")
    assert decide.keeps(root, caller, CART_IS_BROKEN)
    assert not decide.keeps(caller, root, CART_IS_BROKEN)


def test_of_two_the_one_that_is_rooted_in_the_others_cause_stays() -> None:
    """Though it was opened later: whatever names a cause is about less than what is rooted in it."""
    named = about(STOCK, opened_at=T0).but(causes=(a_cause(ref=CART),))
    rooted = about(CART, opened_at=T0 + timedelta(minutes=1)).but(id="inc-root", causes=(a_cause(ref=CART),))
    assert decide.keeps(rooted, named, BOTH_ARE_BROKEN)
    assert not decide.keeps(named, rooted, BOTH_ARE_BROKEN)


def test_what_was_opened_without_a_look_at_the_cluster_yields_though_it_is_older() -> None:
    """It has no root that anything else could be explained by."""
    blind, seeing = about(CART).but(root=None), about(CART).but(opened_at=T0 + timedelta(minutes=1))
    assert decide.keeps(seeing, blind, CART_IS_BROKEN)
    assert not decide.keeps(blind, seeing, CART_IS_BROKEN)


def test_where_neither_is_the_others_root_the_older_stays() -> None:
    """And of two of the same moment exactly one."""
    older, newer = about(CART, opened_at=T0), about(CART, opened_at=T0 + timedelta(minutes=1)).but(id="inc-newer")
    assert decide.keeps(older, newer, ALL_IS_WELL)
    assert not decide.keeps(newer, older, ALL_IS_WELL)
    twin = older.but(id="inc-twin")
    assert decide.keeps(older, twin, ALL_IS_WELL) != decide.keeps(twin, older, ALL_IS_WELL)


# --- is it over

WELL, AILING = decide.Seen(looked=True), decide.Seen(looked=True, ailing="Deployment/shop/cart: it has no pod")
UNSEEN = decide.Seen(looked=False)


@pytest.mark.parametrize("symptom", list(Symptom))
@pytest.mark.parametrize("seen", [WELL, AILING, UNSEEN], ids=["well", "ailing", "unseen"])
def test_it_is_over_when_the_symptom_is_gone_and_the_root_was_seen_to_be_well(
    symptom: Symptom, seen: decide.Seen
) -> None:
    """A query that failed, or a cluster that could not be looked at, is never `over`."""
    assert decide.over(a_reading(symptom), seen) == (symptom is Symptom.GONE and seen is WELL)


@pytest.mark.parametrize("state", [State.DETECTED, State.DIAGNOSING, State.PLANNING, State.ESCALATED])
def test_an_open_incident_that_is_over_is_cleared(state: State) -> None:
    """Also one that was given to a person."""
    assert isinstance(watched(state, Symptom.GONE, WELL, 0), Cleared)
    assert watched(state, Symptom.GONE, AILING, 0) is None


def test_what_got_stuck_is_a_persons_to_end() -> None:
    """It keeps its locks until a person decides: were it cleared and closed by itself, it would keep them for ever."""
    stuck = about(CART, State.ESCALATED, updated_at=T0).but(transactions=an_incident(State.STUCK).transactions)
    assert look_at(stuck, Symptom.GONE, WELL, 0) is None


@pytest.mark.parametrize(
    ("symptom", "seen", "after_s", "means"),
    [
        (Symptom.PRESENT, WELL, 119, None),
        (Symptom.PRESENT, WELL, 120, Relapsed),
        (Symptom.PRESENT, UNSEEN, 120, Relapsed),
        (Symptom.RECEDING, AILING, 599, None),
        (Symptom.RECEDING, AILING, 600, Relapsed),
        (Symptom.RECEDING, WELL, 600, Relapsed),
        (Symptom.GONE, AILING, 119, None),
        (Symptom.GONE, AILING, 120, Relapsed),
        (Symptom.UNKNOWN, AILING, 120, Relapsed),
        (Symptom.GONE, WELL, 599, None),
        (Symptom.GONE, WELL, 600, Quiet),
        (Symptom.UNKNOWN, WELL, 600, Quiet),
        (Symptom.GONE, UNSEEN, 9999, None),
        (Symptom.UNKNOWN, UNSEEN, 9999, None),
    ],
)
def test_a_resolved_incident_is_watched(
    symptom: Symptom, seen: decide.Seen, after_s: float, means: type | None
) -> None:
    """Rates trail a fix, so what lingers has its time, and no more than that; quiet is only what was looked at."""
    said = watched(State.RESOLVED, symptom, seen, after_s)
    assert said is None if means is None else isinstance(said, means)


def watched(state: State, symptom: Symptom, seen: decide.Seen, after_s: float) -> Cleared | Relapsed | Quiet | None:
    return look_at(about(CART, state, updated_at=T0), symptom, seen, after_s)


def look_at(
    incident: Incident, symptom: Symptom, seen: decide.Seen, after_s: float
) -> Cleared | Relapsed | Quiet | None:
    return decide.watch(
        incident,
        a_reading(symptom),
        seen,
        T0 + timedelta(seconds=after_s),
        relapse_after_s=120,
        watch_s=600,
    )


def test_a_relapse_by_structure_says_which() -> None:
    """The reason is the cluster's, not the metrics'."""
    relapsed = watched(State.RESOLVED, Symptom.UNKNOWN, AILING, 200)
    assert isinstance(relapsed, Relapsed)
    assert relapsed.reading.reason.startswith("Deployment/shop/cart: it has no pod")


def test_a_pods_alert_is_about_its_workload() -> None:
    """Kinds that come and go are never a root."""
    grouped = decide.group_of(an_alert(pod="cart-1-a"), CART_IS_BROKEN)
    assert grouped.root is not None
    assert (grouped.root.kind, grouped.root) == (Kind.DEPLOYMENT, CART)
