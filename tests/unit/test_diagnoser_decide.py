"""Which findings are causes of an incident, and in which order."""

from collections.abc import Sequence
from datetime import timedelta

import pytest

from services.diagnoser.decide import elsewhere, rank, worth_another_look
from shared.analyzers.topology import Topology
from shared.domain.alert import Alert
from shared.domain.cause import Cause, CauseCode, Finding
from shared.domain.cluster import Kind, Object, Ref
from shared.domain.frozen import Json
from shared.domain.health import Traffic
from shared.domain.incident import Incident, State
from shared.domain.transaction import Outcome
from shared.testing.builders import (
    T0,
    a_cause,
    a_deployment,
    a_plan,
    a_pod,
    a_ref,
    a_replica_set,
    a_service,
    a_snapshot,
    a_template,
    an_alert,
    an_endpoint_slice,
    an_incident,
)

CONFIDENCE = {
    CauseCode.IMAGE_PULL_FAILED: 0.95,
    CauseCode.MEMORY_LIMIT_TOO_LOW: 0.95,
    CauseCode.CRASH_LOOP: 0.85,
    CauseCode.SLOW_DEPENDENCY: 0.8,
    CauseCode.CONNECTIONS_EXHAUSTED: 0.75,
    CauseCode.RECENT_ROLLOUT: 0.7,
    CauseCode.SCALED_TOO_LOW: 0.65,
    CauseCode.CPU_SATURATED: 0.6,
    CauseCode.UNHEALTHY_PROCESS: 0.6,
    CauseCode.SERVICE_TARGET_PORT_MISMATCH: 0.85,
}


def finding(code: CauseCode, ref: Ref | str = "back", **fields: object) -> Finding:
    """A finding about a Deployment of that name, or another object."""
    about = a_ref(ref) if isinstance(ref, str) else ref
    made = a_cause(code, about, confidence=CONFIDENCE[code])
    return Finding(
        **{name: getattr(made, name) for name in Finding.model_fields} | {"remedy": {"revision": 1}} | fields
    )


def serving(name: str, *addresses: str, ready: int = 2) -> list[Object]:
    """A workload and its Service; its environment names others."""
    env = {f"A{index}": address for index, address in enumerate(addresses)}
    deployment = a_deployment(name, replicas=2, ready=ready, template=a_template(name, env=env))
    return [deployment, a_replica_set(deployment), a_service(name), an_endpoint_slice(name, ready=ready)]


def a_shop(*, back_ready: int = 2) -> Topology:
    """`front` calls `middle`, which calls `back`; `alone` calls nobody."""
    return Topology.of(
        a_snapshot(
            serving("front", "middle:80"),
            serving("middle", "back:80"),
            serving("back", ready=back_ready),
            serving("alone"),
        )
    )


def incident(root: Ref | str | None = "back") -> Incident:
    """An incident under diagnosis, with this root."""
    return an_incident(State.DIAGNOSING).model_copy(update={"root": a_ref(root) if isinstance(root, str) else root})


def ranked(
    *findings: Finding, of: Incident | None = None, topology: Topology | None = None, alerts: Sequence[Alert] = ()
) -> list[str]:
    """The causes in order, as `code name`."""
    causes = rank(findings, of or incident(), topology or a_shop(), alerts)
    return [f"{cause.code} {cause.object.name}" for cause in causes]


def reasons(*findings: Finding, of: Incident | None = None, topology: Topology | None = None) -> list[str]:
    """The reasons for each cause's rank, joined."""
    return ["; ".join(cause.rank_reasons) for cause in rank(findings, of or incident(), topology or a_shop())]


# --- what is a cause of this incident at all


def test_trouble_elsewhere_is_somebody_elses_incident() -> None:
    """However sure it is: nothing is mended by acting on what is not involved."""
    assert ranked(finding(CauseCode.IMAGE_PULL_FAILED, "alone"), finding(CauseCode.CPU_SATURATED, "back")) == [
        "cpu-saturated back"
    ]


def test_a_caller_in_trouble_is_no_cause_of_what_it_calls() -> None:
    """Faults travel up and not down."""
    assert ranked(finding(CauseCode.IMAGE_PULL_FAILED, "front")) == []


def test_what_an_alerted_workload_needs_may_be_its_cause() -> None:
    """An incident whose root looks well, and a direct finding further down."""
    assert ranked(finding(CauseCode.MEMORY_LIMIT_TOO_LOW, "back"), of=incident("front")) == [
        "memory-limit-too-low back"
    ]


def test_the_service_in_front_of_the_root_is_one_with_it() -> None:
    """A wrong port is a fault of the Service; the incident is the workload's."""
    service = a_ref("back", Kind.SERVICE)
    assert ranked(finding(CauseCode.SERVICE_TARGET_PORT_MISMATCH, service)) == ["service-target-port-mismatch back"]


def test_alerts_that_joined_say_what_it_is_about_too() -> None:
    """The root may have been something else when it opened."""
    alert = an_alert(deployment="alone")
    assert ranked(finding(CauseCode.IMAGE_PULL_FAILED, "alone"), of=incident("back"), alerts=[alert]) == [
        "image-pull-failed alone"
    ]


def test_what_shows_that_it_is_unwell_itself_is_not_explained_by_what_its_callers_need_besides() -> None:
    """Nobody knows why its requests fail; what else the callers depend on is another incident's cause."""
    alert = an_alert(deployment="alone")
    shop = a_shop(back_ready=0)
    assert ranked(finding(CauseCode.IMAGE_PULL_FAILED, "alone"), topology=shop, alerts=[alert]) == []


def test_where_no_object_is_named_only_direct_findings_of_the_namespace_count_and_ask() -> None:
    """Their confidence is below what is acted upon unasked; a rollout is nothing to go by then."""
    found = [finding(CauseCode.IMAGE_PULL_FAILED), finding(CauseCode.RECENT_ROLLOUT, "alone")]
    other = finding(CauseCode.IMAGE_PULL_FAILED, a_ref("x", namespace="other"))
    causes = rank([*found, other], incident(None), a_shop(), [an_alert(job="batch")])
    assert [(str(cause.object), cause.confidence) for cause in causes] == [("Deployment/shop/back", 0.475)]


def test_an_incident_that_names_nothing_has_no_cause() -> None:
    """No object and no alert."""
    assert rank([finding(CauseCode.IMAGE_PULL_FAILED)], incident(None), a_shop(), []) == ()


# --- a rollout further down


def test_a_rollout_far_downstream_is_hardly_suspected() -> None:
    """Where nobody measured its requests: a person is asked."""
    (cause,) = rank([finding(CauseCode.RECENT_ROLLOUT, "back")], incident("front"), a_shop())
    assert cause.confidence == 0.45
    assert "was not measured" in cause.rank_reasons[0]


def test_a_rollout_whose_requests_go_well_is_no_suspect() -> None:
    """They were measured."""
    well = a_shop().snapshot.but(recent={"shop/back": Traffic(requests=100, errors=0)})
    assert rank([finding(CauseCode.RECENT_ROLLOUT, "back")], incident("front"), Topology.of(well)) == ()


@pytest.mark.parametrize(
    ("requests", "errors", "confidence"),
    [(100, 0, 0.45), (100, 50, 0.7), (5, 0, 0.7)],
    ids=["they go well", "they fail", "too few to say"],
)
def test_a_rollout_at_the_root_is_hardly_suspected_once_its_requests_go_well(
    requests: float, errors: float, confidence: float
) -> None:
    """What its timing says is not acted upon unasked when the measurement says otherwise."""
    shop = a_shop().snapshot.but(recent={"shop/back": Traffic(requests=requests, errors=errors)})
    (cause,) = rank([finding(CauseCode.RECENT_ROLLOUT)], incident(), Topology.of(shop))
    assert cause.confidence == confidence


# --- the order


def test_most_incidents_follow_a_change() -> None:
    """A rollout of the root goes before its load."""
    assert ranked(finding(CauseCode.CPU_SATURATED), finding(CauseCode.RECENT_ROLLOUT)) == [
        "recent-rollout back",
        "cpu-saturated back",
    ]


@pytest.mark.parametrize(
    "code", [CauseCode.IMAGE_PULL_FAILED, CauseCode.MEMORY_LIMIT_TOO_LOW, CauseCode.SCALED_TOO_LOW]
)
def test_a_direct_fault_explains_the_rest_of_the_same_object(code: CauseCode) -> None:
    """The rollout that brought it, the crash loop that it makes, the load on what is left; also if it is less sure."""
    rest = [CauseCode.RECENT_ROLLOUT, CauseCode.CPU_SATURATED, CauseCode.CRASH_LOOP]
    found = [finding(each) for each in (*rest, code)]
    assert ranked(*found)[0] == f"{code} back"
    assert all(f"steps back: {code} of Deployment/shop/back explains it" in why for why in reasons(*found)[1:])


def test_a_crash_loop_with_a_way_back_explains_the_rollout() -> None:
    """They are one thing, and the crash is the evidence."""
    found = [finding(CauseCode.RECENT_ROLLOUT), finding(CauseCode.CRASH_LOOP), finding(CauseCode.CPU_SATURATED)]
    assert ranked(*found) == ["crash-loop back", "cpu-saturated back", "recent-rollout back"]


def test_a_crash_loop_without_one_does_not() -> None:
    """What ran for days crashes for another reason."""
    found = [finding(CauseCode.RECENT_ROLLOUT), finding(CauseCode.CRASH_LOOP, remedy={}, confidence=0.5)]
    assert ranked(*found) == ["recent-rollout back", "crash-loop back"]


def test_a_broken_dependency_explains_what_its_callers_do() -> None:
    """Even a surer finding of a caller steps back behind the root's."""
    found = [finding(CauseCode.CRASH_LOOP, "front"), finding(CauseCode.UNHEALTHY_PROCESS, "back")]
    assert ranked(*found, of=incident("front"), topology=a_shop(back_ready=0)) == [
        "unhealthy-process back",
        "crash-loop front",
    ]


def test_a_fault_of_its_own_is_explained_by_nobody() -> None:
    """A caller whose image is missing is broken, whatever its dependency does."""
    found = [finding(CauseCode.IMAGE_PULL_FAILED, "front"), finding(CauseCode.CPU_SATURATED, "back")]
    order = ranked(*found, of=incident("front"), topology=a_shop(back_ready=0))
    assert order == ["image-pull-failed front", "cpu-saturated back"]


def test_what_was_tried_and_taken_back_comes_last() -> None:
    """Whatever its confidence; and the reason says so."""
    tried = _with_transaction(Outcome.UNDONE)
    found = [finding(CauseCode.RECENT_ROLLOUT), finding(CauseCode.CPU_SATURATED)]
    assert ranked(*found, of=tried) == ["cpu-saturated back", "recent-rollout back"]
    assert "it was tried and taken back" in reasons(*found, of=tried)[1]


@pytest.mark.parametrize(("outcome", "untried"), [(Outcome.UNDONE, True), (Outcome.KEPT, False)])
def test_what_was_never_judged_or_kept_is_not_held_against_it(outcome: Outcome, *, untried: bool) -> None:
    """A holder that died proved nothing."""
    found = [finding(CauseCode.RECENT_ROLLOUT), finding(CauseCode.CPU_SATURATED)]
    assert ranked(*found, of=_with_transaction(outcome, untried=untried))[0] == "recent-rollout back"


def _with_transaction(outcome: Outcome, *, untried: bool = False) -> Incident:
    plan = a_plan(cause=a_cause(CauseCode.RECENT_ROLLOUT, a_ref("back")))
    judged = an_incident(State.VALIDATING, plan=plan)
    (transaction,) = judged.transactions
    ended = transaction.model_copy(update={"outcome": outcome, "untried": untried})
    return judged.model_copy(update={"root": a_ref("back"), "transactions": (ended,)})


def test_every_rank_has_its_reasons() -> None:
    """Where it lies, how sure it is, and that a rollout is circumstantial."""
    (why,) = reasons(finding(CauseCode.RECENT_ROLLOUT))
    assert why.startswith("at the root: ")
    assert "confidence 0.70; named by its timing alone" in why


def test_what_is_no_cause_is_told() -> None:
    """A person sees that it was seen."""
    found = [finding(CauseCode.IMAGE_PULL_FAILED, "alone"), finding(CauseCode.CPU_SATURATED)]
    causes = rank(found, incident(), a_shop())
    assert elsewhere(found, causes) == ("not related: image-pull-failed at Deployment/shop/alone",)


# --- another look


@pytest.mark.parametrize(
    ("codes", "ready", "again"),
    [
        ([], 2, True),
        ([CauseCode.RECENT_ROLLOUT], 0, True),
        ([CauseCode.RECENT_ROLLOUT], 2, False),
        ([CauseCode.RECENT_ROLLOUT, CauseCode.CPU_SATURATED], 0, False),
        ([CauseCode.IMAGE_PULL_FAILED], 0, False),
    ],
    ids=["nothing", "a rollout whose pods are not well", "a rollout of good pods", "and a cause", "a direct cause"],
)
def test_the_cluster_is_looked_at_again_where_it_will_say_more(
    codes: list[CauseCode], ready: int, *, again: bool
) -> None:
    """Alerts come ahead of the state that explains them; but not for ever."""
    topology = a_shop(back_ready=ready)
    about = incident()
    causes: tuple[Cause, ...] = rank([finding(code) for code in codes], about, topology)
    assert about.updated_at is not None
    for waited_s, worth in ((0, again), (14, again), (15, False), (600, False)):
        now = about.updated_at + timedelta(seconds=waited_s)
        assert worth_another_look(causes, topology, about, now, grace_s=15, window_s=0) is worth
    assert not worth_another_look(causes, topology, Incident(id=about.id), T0, grace_s=15, window_s=0)


@pytest.mark.parametrize("code", [CauseCode.SLOW_DEPENDENCY, CauseCode.CONNECTIONS_EXHAUSTED])
@pytest.mark.parametrize(
    ("remedy", "beside", "again"),
    [({}, [], True), ({"revision": 1}, [], False), ({}, [CauseCode.CPU_SATURATED], False)],
    ids=["nothing to go back to", "a revision to go back to", "and a cause"],
)
def test_what_load_may_do_to_anybody_is_not_given_up_at_once(
    code: CauseCode, remedy: dict[str, Json], beside: list[CauseCode], *, again: bool
) -> None:
    """A neighbour of what is mended right now is slow as well, and well a moment later: nobody is woken for it."""
    topology, about = a_shop(), incident()
    assert about.updated_at is not None
    felt = finding(code, remedy=remedy)
    causes = rank([felt, *(finding(code) for code in beside)], about, topology)
    assert worth_another_look(causes, topology, about, about.updated_at, grace_s=15, window_s=0) is again


@pytest.mark.parametrize(
    ("code", "outcome", "again"),
    [
        (CauseCode.SLOW_DEPENDENCY, Outcome.UNDONE, True),
        (CauseCode.SLOW_DEPENDENCY, Outcome.KEPT, False),
        (CauseCode.CPU_SATURATED, Outcome.UNDONE, False),
    ],
    ids=["blamed by another name", "it helped", "another cause"],
)
def test_a_rollout_that_was_taken_back_in_vain_is_not_blamed_at_once_by_another_name(
    code: CauseCode, outcome: Outcome, *, again: bool
) -> None:
    """Its pods are new, and what they use is not measured yet: that it is load shows a moment later."""
    topology, about = a_shop(), _with_transaction(outcome)
    assert about.updated_at is not None
    causes: tuple[Cause, ...] = rank([finding(code)], about, topology)
    assert worth_another_look(causes, topology, about, about.updated_at, grace_s=15, window_s=0) is again
    later = about.updated_at + timedelta(seconds=15)
    assert not worth_another_look(causes, topology, about, later, grace_s=15, window_s=0)


@pytest.mark.parametrize(
    ("codes", "age_s", "again"),
    [
        ([CauseCode.RECENT_ROLLOUT], 59, True),
        ([CauseCode.RECENT_ROLLOUT], 60, False),
        ([CauseCode.RECENT_ROLLOUT, CauseCode.CPU_SATURATED], 59, False),
    ],
    ids=["rates of before it", "rates of its own", "and a cause"],
)
def test_rates_that_are_older_than_its_pods_say_nothing_of_a_rollout(
    codes: list[CauseCode], age_s: float, *, again: bool
) -> None:
    """They hold the errors of those that ended: a good release of what ends abruptly was taken back."""
    deployment = a_deployment("back")
    revision = a_replica_set(deployment)
    pod = a_pod("back-1-a", owner=revision)
    metadata = pod.at("/metadata")
    assert isinstance(metadata, dict)
    made = {**metadata, "creationTimestamp": str(T0 - timedelta(seconds=age_s))}
    topology = Topology.of(a_snapshot(deployment, revision, pod.but(body={**pod.body, "metadata": made})))
    about = incident()
    assert about.updated_at is not None
    causes = rank([finding(code) for code in codes], about, topology)
    assert worth_another_look(causes, topology, about, about.updated_at, grace_s=120, window_s=60) is again
