"""What is wrong between workloads: who is not let in, and who makes the others wait."""

from collections.abc import Iterable, Mapping
from datetime import timedelta

import pytest

from services.diagnoser.decide import rank
from shared.analyzers.certificate_expired import certificate_expired
from shared.analyzers.connections_exhausted import connections_exhausted
from shared.analyzers.credentials_refused import credentials_refused
from shared.analyzers.dependency_address_wrong import dependency_address_wrong
from shared.analyzers.recent_rollout import recent_rollout
from shared.analyzers.registry import findings
from shared.analyzers.retry_storm import retry_storm
from shared.analyzers.service_port_mismatch import service_port_mismatch
from shared.analyzers.slow_dependency import slow_dependency
from shared.analyzers.suspects import suspects
from shared.analyzers.topology import Topology
from shared.domain.cause import CauseCode, Finding
from shared.domain.cluster import Kind, Object
from shared.domain.frozen import Json, JsonObject
from shared.domain.health import Latency, Traffic
from shared.domain.ids import IncidentId
from shared.domain.incident import Incident
from shared.domain.path import Present, write
from shared.domain.snapshot import Snapshot, Usage
from shared.testing.builders import (
    CLUSTER,
    T0,
    Rollout,
    a_ref,
    a_rollout,
    a_service,
    a_snapshot,
    a_template,
    a_workload,
    an_endpoint_slice,
)

REFUSED = 'ERROR upstream STORE_URL: http://store:8080 answered 401 Unauthorized: wrong user or password for "shop"'


def only(found: Iterable[Finding]) -> Finding:
    """The one finding."""
    (finding,) = found
    return finding


# --- credentials-refused


def signing_in(with_this: str = "old", **env: str) -> JsonObject:
    """A template that signs in somewhere."""
    return a_template(env={"STORE_USER": "shop", "STORE_PASSWORD": with_this, **env})


def a_new_password(at_minutes: float = 2, **env: str) -> Rollout:
    """A rollout that changed the password, and nothing else unless told."""
    return a_rollout(
        before=signing_in(), after=signing_in("new-and-wrong", **env), at=T0 - timedelta(minutes=at_minutes)
    )


def hearing(rollout: Rollout, *lines: str, errors: float = 50, ready: bool = True) -> Snapshot:
    """Its pods run and write these lines, while so many of a hundred requests fail."""
    pods = rollout.pods(1, ready=ready)
    snapshot = a_snapshot(rollout.objects, pods, a_service(), an_endpoint_slice(ready=1))
    return snapshot.but(
        recent={"shop/cart": Traffic(requests=100, errors=errors)},
        logs={f"shop/{pods[0].ref.name}/main": lines},
    )


def test_who_is_refused_since_its_password_changed() -> None:
    """Evidence is the line and the place of the change; neither says the password."""
    found = only(credentials_refused(hearing(a_new_password(), "INFO starting", REFUSED)))
    assert (found.code, found.object, found.remedy) == (
        CauseCode.CREDENTIALS_REFUSED,
        a_ref("cart"),
        {"revision": 1},
    )
    assert [each.pointer for each in found.evidence[:2]] == [
        "Pod/shop/cart-2-a/main",
        "Deployment/shop/cart#/spec/template/spec/containers/main/env/STORE_PASSWORD",
    ]
    assert "new-and-wrong" not in found.model_dump_json()
    assert found.confidence > 0.8


@pytest.mark.parametrize(
    "line",
    [
        'FATAL:  password authentication failed for user "shop"',
        "Access denied for user 'shop'@'10.1.2.3' (using password: YES)",
        "WRONGPASS invalid username-password pair or user is disabled.",
        "javax.security.sasl: Authentication failed: Invalid credentials",
        'level=error msg="upstream answered" code=401 err=Unauthorized',
        '{"level":"error","msg":"401 Unauthorized"}',
    ],
)
def test_many_clients_say_it_in_their_own_words(line: str) -> None:
    """Databases, caches, queues and HTTP."""
    assert only(credentials_refused(hearing(a_new_password(), line))).remedy == {"revision": 1}


@pytest.mark.parametrize(
    "line",
    [
        "INFO GET /login 401 Unauthorized 1.2ms",
        '{"level":"info","msg":"GET /login","error":"401 Unauthorized"}',
        "2026-01-01T12:00:00Z DEBUG 401 unauthorized: no token",
        "ERROR took 401 ms",
        "ERROR upstream STORE_URL: http://store:8080 answered 503",
    ],
)
def test_lines_that_speak_of_something_else(line: str) -> None:
    """An access log tells of callers' mistakes; a number is a number."""
    assert not list(credentials_refused(hearing(a_new_password(), line)))


def test_who_answers_well_is_not_refused() -> None:
    """Whatever its log says: anybody may make a service write a line."""
    assert not list(credentials_refused(hearing(a_new_password(), REFUSED, errors=0)))


def test_without_a_change_of_its_own_there_is_no_way_back() -> None:
    """The other side changed: named with less confidence, and for a person."""
    rollout = a_rollout(before=signing_in(), after=signing_in(LOG_LEVEL="debug"))
    found = only(credentials_refused(hearing(rollout, REFUSED)))
    assert (found.remedy, found.confidence) == ({}, 0.6)


def test_a_change_of_yesterday_did_not_break_it_now() -> None:
    """It was let in for a day."""
    assert only(credentials_refused(hearing(a_new_password(at_minutes=60 * 24), REFUSED))).remedy == {}


def test_a_password_in_a_line_is_not_repeated() -> None:
    """Logs hold what they should not."""
    line = f"{REFUSED} (password=hunter2, dsn postgres://shop:hunter2@store/db)"
    assert "hunter2" not in only(credentials_refused(hearing(a_new_password(), line))).model_dump_json()


def test_the_refusal_says_more_than_the_timing_of_the_rollout() -> None:
    """Both name the same workload; the rollout steps back, and says behind what."""
    snapshot = hearing(a_new_password(), REFUSED)
    found = [*credentials_refused(snapshot), *recent_rollout(snapshot)]
    incident = Incident(id=IncidentId("inc-1"), cluster=CLUSTER, root=a_ref("cart"))
    causes = rank(found, incident, Topology.of(snapshot))
    assert [cause.code for cause in causes] == [CauseCode.CREDENTIALS_REFUSED, CauseCode.RECENT_ROLLOUT]
    assert "credentials-refused" in causes[1].rank_reasons[-1]


def test_logs_are_read_of_those_whose_requests_fail() -> None:
    """The worst first; who is well is left alone."""
    shop = a_snapshot(a_workload("front"), a_workload("back"), a_workload("other")).but(
        recent={
            "shop/front": Traffic(requests=100, errors=10),
            "shop/back": Traffic(requests=100, errors=90),
            "shop/other": Traffic(requests=100, errors=1),
        }
    )
    assert [ref.name for ref in suspects(shop)] == ["back", "front"]


# --- slow-dependency

SLOW, WAITS, QUICK = (
    Latency(now_s=0.8, before_s=0.01),
    Latency(now_s=0.9, before_s=0.04),
    Latency(now_s=0.01, before_s=0.01),
)


def chain(*more: Object, **latency: Latency) -> Snapshot:
    """The front calls middle, middle calls back; back was rolled out a moment ago."""
    back = a_rollout("back", before=a_template("back"), after=a_template("back", env={"LATENCY_MS": "800"}))
    front = a_workload("front", template=a_template("front", env={"A": "http://middle:80"}))
    middle = a_workload("middle", template=a_template("middle", env={"B": "http://back:80"}))
    of_back = (*back.objects, *back.pods(), a_service("back"), an_endpoint_slice("back"))
    return measured(a_snapshot(front, middle, of_back, more), latency)


def measured(shop: Snapshot, latency: Mapping[str, Latency], requests: float = 100) -> Snapshot:
    """The same, with how long answers take, and so many requests each."""
    named = {f"shop/{name}": one for name, one in latency.items()}
    return shop.but(latency=named, recent=dict.fromkeys(named, Traffic(requests=requests, errors=0)))


def test_who_makes_the_others_wait_is_named_and_they_are_not() -> None:
    """Two victims, one culprit; the rollout that came before it is the way back."""
    found = only(slow_dependency(chain(front=WAITS, middle=WAITS, back=SLOW)))
    assert (found.code, found.object, found.remedy) == (CauseCode.SLOW_DEPENDENCY, a_ref("back"), {"revision": 1})
    said = [each.pointer for each in found.evidence]
    assert [each.partition("service=")[2] for each in said[:3]] == ['"back"}', '"front"}', '"middle"}']


def test_the_slow_ones_are_one_incident_rooted_in_the_culprit() -> None:
    """The way goes on from who waits to what it waits for, and ends there."""
    topology = Topology.of(chain(front=WAITS, middle=WAITS, back=SLOW))
    assert {topology.root_of(a_ref(name)).ref for name in ("front", "middle", "back")} == {a_ref("back")}
    assert topology.root_of(a_ref("front", Kind.SERVICE)).ref == a_ref("back")


def test_what_waits_for_something_that_is_quick_is_slow_itself() -> None:
    """The middle one; nothing was rolled out there, so a person is told."""
    found = only(slow_dependency(chain(front=WAITS, middle=SLOW, back=QUICK)))
    assert (found.object, found.remedy, found.confidence) == (a_ref("middle"), {}, 0.6)


@pytest.mark.parametrize(
    "latency",
    [
        Latency(now_s=0.8, before_s=0.7),  # always was
        Latency(now_s=0.08, before_s=0.01),  # nobody feels it
        Latency(now_s=0.01, before_s=0.8),
    ],
)
def test_what_takes_as_long_as_before_is_not_slow(latency: Latency) -> None:
    """Twice as long and a tenth of a second more."""
    assert not list(slow_dependency(chain(front=QUICK, middle=QUICK, back=latency)))


def test_who_is_sick_is_slow_for_that() -> None:
    """Too few replicas share the load: that is named, its latency is not."""
    back = a_rollout("back", ready=1)
    objects = (*back.objects, *back.pods(), a_service("back"), an_endpoint_slice("back"))
    assert not list(slow_dependency(measured(a_snapshot(objects), {"back": SLOW})))


def test_while_nobody_knows_whether_it_has_cpu_left_nothing_is_said() -> None:
    """Pods that were just replaced have no rate yet: a load would be taken for a slow release."""
    shop = chain(front=WAITS, middle=WAITS, back=SLOW)
    of_front, of_all = ({pod: Usage(cpu_cores=0.01, memory_bytes=1) for pod in pods} for pods in _measured_pods(shop))
    assert not list(slow_dependency(shop.but(usage=of_front)))
    assert list(slow_dependency(shop.but(usage=of_all)))


def _measured_pods(shop: Snapshot) -> tuple[list[str], list[str]]:
    pods = [f"{pod.ref.namespace}/{pod.metadata.name}" for pod in shop.pods]
    return [name for name in pods if "front" in name], pods


def test_a_few_requests_say_nothing_of_an_average() -> None:
    """One of three that took a second is no slow service."""
    back = a_workload("back")
    assert list(slow_dependency(measured(a_snapshot(back), {"back": SLOW})))
    assert not list(slow_dependency(measured(a_snapshot(back), {"back": SLOW}, requests=5)))


def test_being_slow_says_more_than_the_timing_of_the_rollout() -> None:
    """Both name the same workload and the same way back."""
    snapshot = chain(front=WAITS, middle=WAITS, back=SLOW)
    found = [*slow_dependency(snapshot), *recent_rollout(snapshot)]
    incident = Incident(id=IncidentId("inc-1"), cluster=CLUSTER, root=a_ref("back"))
    causes = rank(found, incident, Topology.of(snapshot))
    assert [cause.code for cause in causes] == [CauseCode.SLOW_DEPENDENCY, CauseCode.RECENT_ROLLOUT]


# --- dependency-address-wrong


def calling(address: str) -> JsonObject:
    """A template that calls somebody."""
    return a_template(env={"BACK_URL": address})


def looking(before: str, after: str, errors: float = 50) -> Snapshot:
    """The cart calls another address since its rollout; there is a back, and so many of a hundred requests fail."""
    rollout = a_rollout(before=calling(before), after=calling(after))
    snapshot = a_snapshot(rollout.objects, rollout.pods(), a_service(), an_endpoint_slice(), a_workload("back"))
    return snapshot.but(recent={"shop/cart": Traffic(requests=100, errors=errors)})


def test_an_address_that_nobody_has_where_the_one_before_was_somebodys() -> None:
    """Both addresses are evidence; the revision before is the way back."""
    found = only(dependency_address_wrong(looking("http://back:80", "http://back-staging.shop:80")))
    assert (found.code, found.object, found.remedy) == (
        CauseCode.DEPENDENCY_ADDRESS_WRONG,
        a_ref("cart"),
        {"revision": 1},
    )
    assert [each.value for each in found.evidence[:2]] == [
        '{"name": "BACK_URL", "value": "http://back-staging.shop:80"}',
        '{"name": "BACK_URL", "value": "http://back:80"}',
    ]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("http://back:80", "http://back.shop.svc:80"),  # another word for the same
        ("http://api.example:80", "http://api2.example:80"),  # never was a Service
        ("http://gone:80", "http://back-staging:80"),  # nor was this: the way back would lead nowhere
        ("http://back:80", "http://back.elsewhere:80"),  # a namespace that was not looked at
        ("http://back:80", "https://www.example.com"),
    ],
)
def test_an_address_that_may_be_right(before: str, after: str) -> None:
    """What is not known to be nobody's is not said to be."""
    assert not list(dependency_address_wrong(looking(before, after)))


def test_a_wrong_address_that_harms_nobody_is_not_told() -> None:
    """Whoever has it answers well."""
    assert not list(dependency_address_wrong(looking("http://back:80", "http://back-staging:80", errors=0)))


# --- certificate-expired

EXPIRED = (
    'ERROR upstream STORE_URL: Get "https://store.shop:8443/find": tls: failed to verify certificate: x509: '
    "certificate has expired or is not yet valid: current time 2026-01-01T12:00:00Z is after 2025-12-31T00:00:00Z"
)


def calling_over_tls(*lines: str) -> Snapshot:
    """A caller of a Service that writes these lines."""
    return hearing(a_rollout(), *lines).but(
        objects=(*hearing(a_rollout()).objects, *a_workload("store")),
    )


@pytest.mark.parametrize(
    "line",
    [
        EXPIRED,
        "Error: certificate has expired, code: 'CERT_HAS_EXPIRED', url: 'https://store.shop.svc.cluster.local:8443/x'",
        "SSLError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: certificate has expired') https://store/",
    ],
)
def test_a_certificate_that_callers_say_has_expired(line: str) -> None:
    """The Service that presents it is at fault, its callers' words are the evidence, and there is no way back."""
    found = only(certificate_expired(calling_over_tls("INFO starting", line)))
    assert (found.code, found.object) == (CauseCode.CERTIFICATE_EXPIRED, a_ref("store", Kind.SERVICE))
    assert found.evidence[0].pointer == "Pod/shop/cart-2-a/main"
    assert found.remedy == {}


@pytest.mark.parametrize(
    "line",
    [
        EXPIRED.replace("store.shop", "api.example.com"),
        EXPIRED.replace("store.shop", "ledger.shop"),
        'ERROR upstream STORE_URL: Get "https://store.shop:8443/find": connection refused',
        "ERROR certificate has expired",
    ],
    ids=["elsewhere", "no Service", "another trouble", "nobody is named"],
)
def test_certificates_of_nobody_here(line: str) -> None:
    """Only a Service of this cluster can be at fault in it."""
    assert not list(certificate_expired(calling_over_tls(line)))


# --- service-port-mismatch


def dialling(port: int, name: str = "cart") -> JsonObject:
    """A template that looks for the store at this port."""
    return a_template(name, env={"STORE_URL": f"http://store.shop:{port}"})


def a_store_at(
    port: int, *callers: Rollout, errors: float = 90, written_min: float | None = 5, **spec: Json
) -> Snapshot:
    """A Service at this port, written so many minutes ago, and who calls it; so many of a hundred requests fail."""
    deployment, current, pod, service, slices = a_workload("store", replicas=1)
    ports: Json = [{"name": "http", "port": port, "targetPort": 8080}]
    body = write(service.body, "/spec", Present(value={"selector": {"app": "store"}, "ports": ports, **spec}))
    if written_min is not None:
        body = write(body, "/metadata/managedFields", Present(value=[ports_written(written_min)]))
    objects = [each for caller in callers for each in caller.objects]
    snapshot = a_snapshot(deployment, current, pod, service.but(body=body), slices, objects)
    return snapshot.but(recent={"shop/store": Traffic(requests=100, errors=errors)})


def ports_written(minutes_ago: float) -> Json:
    """Who wrote a Service's ports, and when, as an API server keeps it."""
    at = (T0 - timedelta(minutes=minutes_ago)).isoformat()
    return {"manager": "kubectl-edit", "time": at, "fieldsV1": {"f:spec": {"f:ports": {}}}}


def always(port: int, name: str = "cart") -> Rollout:
    """A caller that dialled this port in its revision before, too."""
    return a_rollout(
        name, before=a_template(name, env={"STORE_URL": f"http://store:{port}"}), after=dialling(port, name)
    )


def test_a_service_that_serves_another_port_than_its_callers_dial() -> None:
    """What they have as its address is the evidence, and says which number was meant."""
    found = only(service_port_mismatch(a_store_at(9090, always(8080), always(8080, "orders"))))
    assert (found.code, found.object) == (CauseCode.SERVICE_PORT_MISMATCH, a_ref("store", Kind.SERVICE))
    assert found.remedy == {"port": "http", "number": 8080}
    assert [each.pointer for each in found.evidence[:4]] == [
        "Service/shop/store#/spec/ports/http/port",
        "Service/shop/store#/spec/ports",
        "Deployment/shop/cart#/spec/template/spec/containers",
        "Deployment/shop/orders#/spec/template/spec/containers",
    ]


@pytest.mark.parametrize(
    "snapshot",
    [
        a_store_at(8080, always(8080)),
        a_store_at(9090, always(8080), errors=0),
        a_store_at(9090),
        a_store_at(8080, a_rollout(before=dialling(8080), after=dialling(9090))),
        a_store_at(9090, always(8080), always(9090, "orders")),
        a_store_at(9090, always(8080), clusterIP="None"),
    ],
    ids=[
        "it is right",
        "its requests go well",
        "nobody dials it",
        "its caller changed, not the Service",
        "somebody dials the port that it has",
        "it is headless",
    ],
)
def test_services_whose_port_is_not_at_fault(snapshot: Snapshot) -> None:
    """Whoever has dialled another port before has changed himself."""
    assert not list(service_port_mismatch(snapshot))


@pytest.mark.parametrize(
    "snapshot",
    [
        a_store_at(9090, always(8080), always(8081, "orders")),
        a_store_at(9090, always(8080), type="LoadBalancer"),
    ],
    ids=["callers disagree", "others may dial it from outside"],
)
def test_which_port_was_meant_is_never_guessed(snapshot: Snapshot) -> None:
    """It is found, and a person must say."""
    assert only(service_port_mismatch(snapshot)).remedy == {}


def test_it_is_found_also_where_only_its_callers_are_seen_to_fail() -> None:
    """A request to a port that is not there is no request to the Service: many a mesh counts it nowhere."""
    caller = always(8080)
    snapshot = a_store_at(9090, caller).but(objects=(*a_store_at(9090, caller).objects, a_service()))
    snapshot = snapshot.but(recent={"shop/cart": Traffic(requests=100, errors=50)})
    found = only(service_port_mismatch(snapshot))
    assert "50% of the recent ones failed" in found.evidence[-1].value
    assert Topology.of(snapshot).root_of(a_ref("cart")).ref == a_ref("store", Kind.SERVICE)


def test_who_wrote_the_ports_lately_is_evidence() -> None:
    """For a person who wants to ask."""
    found = only(service_port_mismatch(a_store_at(9090, always(8080))))
    assert found.evidence[1].value == "written by kubectl-edit at 2026-01-01T11:55:00Z"


@pytest.mark.parametrize("written_min", [90, None], ids=["since long", "nobody knows since when"])
def test_an_address_that_did_not_lead_nowhere_just_now_is_not_what_fails_now(written_min: float | None) -> None:
    """Somebody forgot it in a manifest."""
    assert not list(service_port_mismatch(a_store_at(9090, always(8080), written_min=written_min)))


# --- connections-exhausted

FULL = "ERROR upstream STORE_URL: http://store:8080 answered 503 Service Unavailable: too many connections: all taken"


def turned_away(*callers: Rollout, line: str = FULL) -> Snapshot:
    """A store that turns its callers away, as the first of them writes."""
    store = a_workload("store", replicas=1)
    pods = callers[0].pods(1)
    objects = [each for caller in callers for each in caller.objects]
    snapshot = a_snapshot(store, objects, pods)
    return snapshot.but(
        recent={"shop/store": Traffic(requests=100, errors=50)}, logs={f"shop/{pods[0].ref.name}/main": (line,)}
    )


def old(port: int, name: str) -> Rollout:
    """A caller that was rolled out yesterday."""
    rollout = always(port, name)
    return rollout._replace(current=a_rollout(name, after=dialling(port, name), at=T0 - timedelta(days=1)).current)


def test_the_only_caller_that_changed_is_who_may_hold_all_connections() -> None:
    """Nothing is wrong with the store, where the incident has its root: the caller is what is put back."""
    snapshot = turned_away(old(8080, "orders"), always(8080))
    found = only(connections_exhausted(snapshot))
    assert (found.code, found.object, found.harms, found.remedy) == (
        CauseCode.CONNECTIONS_EXHAUSTED,
        a_ref("cart"),
        a_ref("store"),
        {"revision": 1},
    )
    incident = Incident(id=IncidentId("inc-1"), cluster=CLUSTER, root=a_ref("store"))
    assert [(cause.code, cause.object) for cause in rank([found], incident, Topology.of(snapshot))] == [
        (CauseCode.CONNECTIONS_EXHAUSTED, a_ref("cart"))
    ]


@pytest.mark.parametrize(
    "callers",
    [(always(8080), always(8080, "orders")), (old(8080, "cart"), old(8080, "orders"))],
    ids=["two changed", "nobody changed"],
)
def test_who_holds_the_connections_is_never_guessed(callers: tuple[Rollout, ...]) -> None:
    """The store is named, and a person must look."""
    found = only(connections_exhausted(turned_away(*callers)))
    assert (found.object, found.remedy, found.harms) == (a_ref("store"), {}, None)


def test_whom_a_caller_does_not_harm_it_is_no_cause_for() -> None:
    """Another incident's root is nobody whom it calls."""
    snapshot = turned_away(always(8080))
    incident = Incident(id=IncidentId("inc-1"), cluster=CLUSTER, root=a_ref("ledger"))
    assert not rank(list(connections_exhausted(snapshot)), incident, Topology.of(snapshot))


def test_other_words_are_no_want_of_connections() -> None:
    """Nor is a line without an address."""
    for line in ("ERROR upstream STORE_URL: http://store:8080 answered 503: overloaded", "ERROR too many connections"):
        assert not list(connections_exhausted(turned_away(always(8080), line=line)))


# --- retry-storm

CALM = {"BACK_URL": "http://store:8080", "BACK_TIMEOUT_MS": "800", "RETRIES": "2"}


def asking(now: Mapping[str, str], before: Mapping[str, str] = CALM, *, name: str = "cart") -> Rollout:
    """A caller of the store whose rollout changed its settings."""
    return a_rollout(name, before=a_template(name, env=dict(before)), after=a_template(name, env=dict(now)))


def overloaded(*callers: Rollout, errors: float = 40) -> Snapshot:
    """A store that cannot answer all that it is asked."""
    objects = [each for caller in callers for each in caller.objects]
    fronts = [a_service(caller.deployment.ref.name) for caller in callers]
    recent = {f"shop/{caller.deployment.ref.name}": Traffic(requests=30, errors=20) for caller in callers}
    return a_snapshot(a_workload("store", replicas=1), objects, fronts).but(
        recent={"shop/store": Traffic(requests=900, errors=errors), **recent}
    )


def test_a_caller_that_was_told_to_ask_more_often_is_who_overloads_what_it_calls() -> None:
    """Evidence is what was changed, and how many requests became of each; the caller is what is put back."""
    hasty = asking({**CALM, "BACK_TIMEOUT_MS": "3", "RETRIES": "40"})
    snapshot = overloaded(hasty)
    found = only(retry_storm(snapshot))
    assert (found.code, found.object, found.harms, found.remedy) == (
        CauseCode.RETRY_STORM,
        a_ref("cart"),
        a_ref("store"),
        {"revision": 1},
    )
    assert [each.value for each in found.evidence] == [
        '{"name": "RETRIES", "value": "40"}',
        '{"name": "RETRIES", "value": "2"}',
        '{"name": "BACK_TIMEOUT_MS", "value": "3"}',
        '{"name": "BACK_TIMEOUT_MS", "value": "800"}',
        "900 lately, and 30 to all who call it",
    ]
    incident = Incident(id=IncidentId("inc-1"), cluster=CLUSTER, root=a_ref("store"))
    assert rank([found], incident, Topology.of(snapshot))[0].is_same(found)


def test_a_caller_that_harms_two_is_one_cause() -> None:
    """A person reads it once."""
    settings = {**CALM, "DEPTH_URL": "http://depth:8080"}
    snapshot = overloaded(asking({**settings, "RETRIES": "40"}, settings))
    deeper = a_snapshot(a_workload("depth", replicas=1))
    both = snapshot.but(
        objects=(*snapshot.objects, *deeper.objects),
        recent={**snapshot.recent, "shop/depth": Traffic(requests=900, errors=100)},
    )
    found = findings(both)
    storms = [each for each in found if each.code is CauseCode.RETRY_STORM]
    assert {each.harms for each in storms} == {a_ref("store"), a_ref("depth")}
    incident = Incident(id=IncidentId("inc-1"), cluster=CLUSTER, root=a_ref("cart"))
    named = [(cause.code, cause.object) for cause in rank(found, incident, Topology.of(both))]
    assert named.count((CauseCode.RETRY_STORM, a_ref("cart"))) == 1


@pytest.mark.parametrize(
    ("now", "before"),
    [
        ({**CALM, "RETRIES": "1"}, CALM),
        ({**CALM, "BACK_TIMEOUT_MS": "700"}, CALM),  # less patient, but it does not ask again for that
        ({**CALM, "RETRY_DELAY": "5s"}, {**CALM, "RETRY_DELAY": "100ms"}),
        ({**CALM, "RETRIES": "many"}, CALM),
        ({**CALM, "LOG_LEVEL": "debug"}, CALM),
    ],
)
def test_a_release_beside_a_load_is_no_storm_of_retries(now: Mapping[str, str], before: Mapping[str, str]) -> None:
    """Whoever asks as often as before did not make the load."""
    assert not list(retry_storm(overloaded(asking(now, before))))


def test_retries_that_harm_nobody_are_not_told() -> None:
    """What is asked more often keeps up with it."""
    assert not list(retry_storm(overloaded(asking({**CALM, "RETRIES": "40"}), errors=0)))


def test_of_two_who_ask_more_often_none_is_picked() -> None:
    """Which of them makes the load is for a person to say."""
    storm = {**CALM, "RETRIES": "40"}
    assert not list(retry_storm(overloaded(asking(storm), asking(storm, name="orders"))))
