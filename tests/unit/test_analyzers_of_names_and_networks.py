"""What keeps workloads from one another although each is well: names that nobody finds, and who is not let through."""

from collections.abc import Collection, Iterable
from datetime import timedelta
from typing import Any, Final

import pytest

from services.diagnoser.decide import rank
from shared.analyzers.corefile import service_zones
from shared.analyzers.dns_misconfigured import dns_misconfigured
from shared.analyzers.dns_policy_wrong import dns_policy_wrong
from shared.analyzers.network_policy_blocks import network_policy_blocks
from shared.analyzers.recent_rollout import recent_rollout
from shared.analyzers.topology import Topology
from shared.domain.cause import CauseCode, Finding
from shared.domain.cluster import Kind, Object
from shared.domain.frozen import Json, JsonObject
from shared.domain.health import Traffic
from shared.domain.ids import IncidentId
from shared.domain.incident import Incident
from shared.domain.path import Present, write
from shared.domain.snapshot import Snapshot, Usage
from shared.testing.builders import (
    CLUSTER,
    T0,
    Rollout,
    a_deployment,
    a_ref,
    a_rollout,
    a_service,
    a_snapshot,
    a_template,
    a_workload,
    an_endpoint_slice,
    an_object,
)

DNS: Final = "198.19.0.10"
CALLS_STORE: Final = {"STORE_URL": "http://store.shop:8080"}


def only(found: Iterable[Finding]) -> Finding:
    """The one finding."""
    (finding,) = found
    return finding


def named(found: Iterable[Finding], root: Object, snapshot: Snapshot) -> list[tuple[CauseCode, str]]:
    """What an incident with this root is put down to, the best first."""
    incident = Incident(id=IncidentId("inc-1"), cluster=CLUSTER, root=root.ref)
    return [(cause.code, cause.object.name) for cause in rank([*found], incident, Topology.of(snapshot))]


# --- dns-policy-wrong

NOT_FOUND: Final = (
    'ERROR upstream STORE_URL: Get "http://store.shop:8080/find": dial tcp: lookup store.shop on 127.0.0.1:53: '
    "read udp 127.0.0.1:40000->127.0.0.1:53: read: connection refused (12 more since)"
)
ASKS_ITS_NODE: Final[dict[str, Any]] = {"dnsPolicy": "Default"}


def resolving(env: dict[str, str] | None = None, **spec: Any) -> JsonObject:
    """A template whose pods resolve names so."""
    template = a_template(env=CALLS_STORE if env is None else env)
    pod = template["spec"]
    assert isinstance(pod, dict)
    return {**template, "spec": {"dnsPolicy": "ClusterFirst", **pod, **spec}}


def resolves_since(minutes: float = 2, before: JsonObject | None = None, **spec: Any) -> Rollout:
    """A workload that resolves names so since its newest revision."""
    at = T0 - timedelta(minutes=minutes)
    return a_rollout(before=before or resolving(), after=resolving(**spec), at=at)


def the_clusters_dns() -> Object:
    """The Service that kubelets tell pods to ask."""
    ref = a_ref("kube-dns", Kind.SERVICE, "kube-system")
    return an_object(ref, {"spec": {"clusterIP": DNS, "ports": [{"port": 53}]}}, labels={"k8s-app": "kube-dns"})


def calling(rollout: Rollout, *lines: str, errors: float = 90, requests: float = 100) -> Snapshot:
    """The cart calls the store, of whose requests so many fail, and its pod writes these lines."""
    pods = rollout.pods()
    mine = (*rollout.objects, *pods, a_service(), an_endpoint_slice())
    snapshot = a_snapshot(mine, a_workload("store"), the_clusters_dns())
    return snapshot.but(
        recent={
            "shop/cart": Traffic(requests=requests, errors=errors),
            "shop/store": Traffic(requests=requests, errors=errors / 2),
        },
        logs={f"shop/{pods[0].ref.name}/main": lines} if lines else {},
    )


def test_pods_that_ask_their_node_for_the_names_of_services() -> None:
    """Both policies and the line are evidence; the revision that asked the cluster's DNS is the way back."""
    found = only(dns_policy_wrong(calling(resolves_since(**ASKS_ITS_NODE), "INFO starting", NOT_FOUND)))
    assert (found.code, found.object, found.remedy) == (CauseCode.DNS_POLICY_WRONG, a_ref("cart"), {"revision": 1})
    assert [(each.pointer, each.value) for each in found.evidence[:2]] == [
        ("Deployment/shop/cart#/spec/template/spec/dnsPolicy", "Default"),
        ("ReplicaSet/shop/cart-1#/spec/template/spec/dnsPolicy", "ClusterFirst"),
    ]
    assert found.evidence[2].pointer == "Pod/shop/cart-2-a/main"
    assert found.confidence > 0.9


def test_whom_they_call_in_vain_is_not_at_fault() -> None:
    """Requests that do not arrive are counted where they should have: the store looks ill, and is not the root."""
    snapshot = calling(resolves_since(**ASKS_ITS_NODE), "INFO ready")
    topology = Topology.of(snapshot)
    for ref in (a_ref("store"), a_ref("store", Kind.SERVICE), a_ref("cart", Kind.SERVICE)):
        assert topology.root_of(ref).ref == a_ref("cart")
    found = [*dns_policy_wrong(snapshot), *recent_rollout(snapshot)]
    cart = snapshot.deployments[0].object
    assert named(found, cart, snapshot) == [(CauseCode.DNS_POLICY_WRONG, "cart"), (CauseCode.RECENT_ROLLOUT, "cart")]


def test_who_asks_his_node_is_the_root_also_while_he_is_busy() -> None:
    """To fail again and again costs CPU, too: that is no reason to look further down."""
    snapshot = calling(resolves_since(**ASKS_ITS_NODE))
    pods = [each for each in snapshot.pods if each.metadata.name.startswith("cart")]
    busy = {f"shop/{each.metadata.name}": Usage(cpu_cores=0.5, memory_bytes=1) for each in pods}
    topology = Topology.of(snapshot.but(usage=busy))
    assert {topology.root_of(a_ref(name, Kind.SERVICE)).ref for name in ("cart", "store")} == {a_ref("cart")}


def test_each_whom_they_call_in_vain_leads_to_them() -> None:
    """One fault is one incident, however many Services err for it."""
    rollout = resolves_since(env={**CALLS_STORE, "BASKET_URL": "http://basket:80"}, **ASKS_ITS_NODE)
    snapshot = calling(rollout)
    snapshot = snapshot.but(
        objects=(*snapshot.objects, *a_workload("basket")),
        recent={**snapshot.recent, "shop/basket": Traffic(requests=100, errors=100)},
    )
    topology = Topology.of(snapshot)
    assert {topology.root_of(a_ref(name, Kind.SERVICE)).ref for name in ("store", "basket")} == {a_ref("cart")}
    assert topology.kin(a_ref("cart")) == (a_ref("cart", Kind.SERVICE),)
    assert topology.kin(a_ref("store", Kind.SERVICE)) == (a_ref("store"),)


def test_a_callee_that_is_down_itself_stays_the_root() -> None:
    """That its callers do not find it, either, is another fault."""
    snapshot = calling(resolves_since(**ASKS_ITS_NODE))
    down, *_ = a_workload("store", replicas=0)
    body = write(down.body, "/spec/replicas", Present(value=3))
    rest = [each for each in snapshot.objects if not each.ref.name.startswith("store-1") and each.ref != down.ref]
    snapshot = snapshot.but(objects=(*rest, down.but(body=body)))
    assert Topology.of(snapshot).root_of(a_ref("cart", Kind.SERVICE)).ref == a_ref("store")


def test_how_sure_it_is_depends_on_what_their_log_says() -> None:
    """That they say it, that nobody listened, that they write of other things."""
    rollout = resolves_since(**ASKS_ITS_NODE)
    said, unheard, silent = (
        only(dns_policy_wrong(calling(rollout, *lines))).confidence for lines in ([NOT_FOUND], [], ["INFO ready"])
    )
    assert said > unheard > silent > 0.5


@pytest.mark.parametrize(
    "spec",
    [
        {"dnsPolicy": "None", "dnsConfig": {"nameservers": ["192.0.2.53"]}},
        {"hostNetwork": True},
    ],
    ids=["servers of its own", "on its node's network"],
)
def test_there_is_more_than_one_way_not_to_ask_the_cluster(spec: dict[str, Any]) -> None:
    """On a node's network `ClusterFirst` means `Default`."""
    assert only(dns_policy_wrong(calling(resolves_since(**spec)))).remedy == {"revision": 1}


@pytest.mark.parametrize(
    "snapshot",
    [
        calling(resolves_since(dnsPolicy="ClusterFirst", priority=1)),
        calling(resolves_since(**ASKS_ITS_NODE), errors=0),
        calling(resolves_since(**ASKS_ITS_NODE), errors=5, requests=5),
        calling(resolves_since(env={}, **ASKS_ITS_NODE)),
        calling(resolves_since(env={"MAIL_URL": "https://mail.example.com"}, **ASKS_ITS_NODE)),
        calling(resolves_since(env={"SELF_URL": "http://cart:80"}, **ASKS_ITS_NODE)),
        calling(resolves_since(hostNetwork=True, dnsPolicy="ClusterFirstWithHostNet")),
        calling(resolves_since(dnsPolicy="None", dnsConfig={"nameservers": [DNS]})),
        calling(resolves_since(dnsPolicy="None", dnsConfig={"nameservers": ["169.254.20.10"]})),
        calling(resolves_since(minutes=90, **ASKS_ITS_NODE)),
        calling(resolves_since(before=resolving(priority=1, **ASKS_ITS_NODE), **ASKS_ITS_NODE)),
    ],
    ids=[
        "it asks the cluster",
        "its requests go well",
        "a few requests say nothing",
        "it calls nobody",
        "it calls nobody in the cluster",
        "it only names itself",
        "on its node's network, and told to ask the cluster",
        "the cluster's own server",
        "a cache on its node",
        "since long",
        "the revision before did the same",
    ],
)
def test_pods_that_find_whom_they_call_or_call_nobody(snapshot: Snapshot) -> None:
    """A node may know the cluster's names, and many a workload needs none."""
    assert not list(dns_policy_wrong(snapshot))


def test_what_it_says_itself_counts_however_long_it_asks_its_node() -> None:
    """The node's own resolver may have changed."""
    assert only(dns_policy_wrong(calling(resolves_since(minutes=90, **ASKS_ITS_NODE), NOT_FOUND)))


def test_where_the_clusters_dns_was_not_looked_at_other_servers_are_not_blamed() -> None:
    """Nobody knows then whose they are."""
    rollout = resolves_since(dnsPolicy="None", dnsConfig={"nameservers": ["192.0.2.53"]})
    snapshot = calling(rollout)
    unseen = [each for each in snapshot.objects if each.ref.namespace != "kube-system"]
    assert not list(dns_policy_wrong(snapshot.but(objects=tuple(unseen))))


@pytest.mark.parametrize(
    "line",
    [
        "Error: getaddrinfo ENOTFOUND store.shop",
        "java.net.UnknownHostException: store.shop.svc.cluster.local: Name or service not known",
        "curl: (6) Could not resolve host: store.shop",
        "NameResolutionError: Failed to resolve 'store' ([Errno -3] Temporary failure in name resolution)",
        "dial tcp: lookup store.shop on 198.19.0.10:53: server misbehaving",
        "wget: bad address 'store'",
    ],
)
def test_many_resolvers_say_it_in_their_own_words(line: str) -> None:
    """Of a Service by any of its names."""
    snapshot = calling(resolves_since(minutes=90, **ASKS_ITS_NODE), line)
    assert only(dns_policy_wrong(snapshot)).evidence[2].pointer == "Pod/shop/cart-2-a/main"


@pytest.mark.parametrize(
    "line",
    [
        "dial tcp: lookup api.example.com on 127.0.0.1:53: no such host",
        'ERROR upstream STORE_URL: Get "http://store.shop:8080/find": connection refused',
        "Error: getaddrinfo ENOTFOUND other.shop",
    ],
    ids=["somebody outside", "another trouble", "no Service that it calls"],
)
def test_lines_that_speak_of_no_service_that_it_does_not_find(line: str) -> None:
    """They are no evidence for anything here."""
    assert not list(dns_policy_wrong(calling(resolves_since(minutes=90, **ASKS_ITS_NODE), line)))


# --- network-policy-blocks

CALLERS: Final[Json] = {"podSelector": {"matchLabels": {"role": "store-caller"}}}
CART: Final[Json] = {"podSelector": {"matchLabels": {"app": "cart"}}}
AT_HTTP: Final[Json] = [{"protocol": "TCP", "port": 8080}]


def a_policy(
    name: str = "callers-only", *, namespace: str = "shop", app: str = "store", minutes: float | None = 5, **spec: Json
) -> Object:
    """A policy about the pods of that application, written so many minutes ago."""
    managed: Json = []
    if minutes is not None:
        at = (T0 - timedelta(minutes=minutes)).isoformat()
        managed = [{"manager": "kubectl-create", "time": at, "fieldsV1": {"f:spec": {"f:ingress": {}}}}]
    body: JsonObject = {
        "apiVersion": "networking.k8s.io/v1",
        "spec": {"podSelector": {"matchLabels": {"app": app}}, "policyTypes": ["Ingress"], **spec},
    }
    return an_object(a_ref(name, Kind.NETWORK_POLICY, namespace), body, managedFields=managed)


def letting_in(*peers: Json, ports: Json = AT_HTTP, **more: Any) -> Object:
    """A policy that lets only these peers in to the store, on these ports."""
    rule: Json = {"from": list(peers), "ports": ports}
    return a_policy(ingress=[rule], **more)


def to_the_outside(*peers: Json, ports: Json = AT_HTTP, **more: Any) -> Object:
    """A policy that lets the cart call only these peers, on these ports."""
    rule: Json = {"to": list(peers), "ports": ports}
    return a_policy(app="cart", policyTypes=["Egress"], egress=[rule], **more)


def shop(
    *policies: Object, errors: float = 100, store: JsonObject | None = None, cart: JsonObject | None = None
) -> Snapshot:
    """The cart calls the store, under these policies; so many of a hundred requests fail."""
    env = {"STORE_URL": "http://store.shop:80"}
    snapshot = a_snapshot(
        a_workload("cart", template=cart or a_template("cart", env=env)), a_workload("store", template=store), policies
    )
    counted = Traffic(requests=100, errors=errors)
    return snapshot.but(recent={"shop/cart": counted, "shop/store": counted})


def test_a_policy_that_lets_in_a_label_that_nobody_has() -> None:
    """What it says, who wrote it when, and the labels on both sides are evidence; to open it again is a person's."""
    found = only(network_policy_blocks(shop(letting_in(CALLERS))))
    assert (found.code, found.object) == (
        CauseCode.NETWORK_POLICY_BLOCKS,
        a_ref("callers-only", Kind.NETWORK_POLICY),
    )
    assert found.summary == (
        "NetworkPolicy/shop/callers-only keeps Deployment/shop/cart from Deployment/shop/store at port 8080"
    )
    assert [each.pointer for each in found.evidence] == [
        "NetworkPolicy/shop/callers-only#/spec/ingress",
        "NetworkPolicy/shop/callers-only#/spec",
        "Deployment/shop/store#/spec/template/metadata/labels",
        "Deployment/shop/cart#/spec/template/metadata/labels",
        "requests to Deployment/shop/store",
        "requests to Deployment/shop/cart",
    ]
    assert found.evidence[1].value == "written by kubectl-create at 2026-01-01T11:55:00Z"
    assert (found.remedy, found.confidence) == ({}, 0.9)


@pytest.mark.parametrize(
    "policy",
    [
        a_policy(),
        a_policy(ingress=[]),
        letting_in({"podSelector": {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["cart"]}]}}),
        letting_in({"podSelector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["edge"]}]}}),
        letting_in({"podSelector": {"matchExpressions": [{"key": "role", "operator": "Exists"}]}}),
        letting_in({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "other"}}}),
        letting_in(CART, ports=[{"port": 9090}]),
        letting_in(CART, ports=[{"port": 8081, "endPort": 8090}]),
        letting_in(CART, ports=[{"port": "metrics"}]),
        letting_in(CART, ports=[{"port": 8080, "protocol": "UDP"}]),
        letting_in(CART, ports=[{"port": 80}]),
        to_the_outside(CALLERS),
        to_the_outside({"namespaceSelector": {}}, ports=[{"port": 53, "protocol": "UDP"}]),
    ],
    ids=[
        "no rule",
        "no rule is left",
        "everybody but the caller",
        "others by an expression",
        "whoever has a label",
        "another namespace",
        "another port",
        "other ports",
        "a port by another name",
        "another protocol",
        "the Service's port, which is not the pods'",
        "the caller may call others only",
        "the caller may only ask for names",
    ],
)
def test_there_is_more_than_one_way_to_let_nobody_through(policy: Object) -> None:
    """On either side."""
    assert only(network_policy_blocks(shop(policy))).object == policy.ref


@pytest.mark.parametrize(
    "policies",
    [
        [a_policy(ingress=[{}])],
        [letting_in(CART)],
        [letting_in(CALLERS), letting_in(CART, name="and-the-cart")],
        [letting_in({"podSelector": {}})],
        [letting_in({"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "cart"}}})],
        [letting_in({"namespaceSelector": {"matchLabels": {"team": "one"}}})],
        [letting_in({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "shop"}}})],
        [letting_in({"ipBlock": {"cidr": "10.0.0.0/8"}})],
        [letting_in(CART, ports=[{"port": 8000, "endPort": 8090}])],
        [letting_in(CART, ports=[{"port": "http"}])],
        [letting_in(CART, ports=[])],
        [letting_in({"podSelector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["cart"]}]}})],
        [a_policy(app="payment")],
        [a_policy(namespace="other")],
        [a_policy(policyTypes=["Egress"])],
        [to_the_outside(CALLERS), to_the_outside(ports=AT_HTTP, name="to-all")],
        [a_policy(app="cart", egress=[{"to": [CALLERS]}])],
        [],
    ],
    ids=[
        "everybody",
        "the caller",
        "another one lets it in",
        "all pods",
        "pods of any namespace with its labels",
        "namespaces whose labels nobody looked at",
        "its namespace",
        "addresses",
        "a range of ports",
        "a port by its name",
        "every port",
        "labels by an expression",
        "it is about other pods",
        "it is of another namespace",
        "it is about what goes out of whom nobody keeps",
        "another one lets it out",
        "what goes out is none of its types",
        "there is none",
    ],
)
def test_policies_that_let_the_caller_through(policies: list[Object]) -> None:
    """All that choose a pod add up, and what is not known is no reason to blame one."""
    assert not list(network_policy_blocks(shop(*policies)))


@pytest.mark.parametrize(
    ("peer", "kept"),
    [
        ({"podSelector": {}}, 1),
        ({"namespaceSelector": {}}, 0),
        ({"namespaceSelector": {"matchLabels": {"team": "front"}}}, 0),
        ({"ipBlock": {"cidr": "10.0.0.0/8"}}, 0),
    ],
    ids=["pods of the policy's namespace", "all namespaces", "some namespaces", "addresses"],
)
def test_a_caller_of_another_namespace(peer: Json, kept: int) -> None:
    """Pods that are let in are of the policy's own namespace, unless it says of which."""
    cart = a_workload("cart", namespace="front", template=a_template("cart", env={"STORE_URL": "http://store.shop:80"}))
    snapshot = a_snapshot(cart, a_workload("store"), letting_in(peer))
    snapshot = snapshot.but(recent={"shop/store": Traffic(requests=100, errors=100)})
    assert len(list(network_policy_blocks(snapshot))) == kept


def test_a_policy_harms_nobody_whose_requests_go_well() -> None:
    """The address may be in a manifest for nothing."""
    assert not list(network_policy_blocks(shop(letting_in(CALLERS), errors=0)))


def test_pods_on_their_nodes_network_are_none_of_a_policys_business() -> None:
    """They come as the node itself."""
    cart = a_template("cart", env={"STORE_URL": "http://store.shop:80"})
    spec = cart["spec"]
    assert isinstance(spec, dict)
    assert not list(network_policy_blocks(shop(a_policy(), cart={**cart, "spec": {**spec, "hostNetwork": True}})))


def test_labels_that_admission_added_count() -> None:
    """Pods are let in for what they bear, whatever their template says."""
    snapshot = shop(letting_in(CALLERS))
    with_role = [
        each.but(body=write(each.body, "/metadata/labels/role", Present(value="store-caller")))
        if each.ref.kind is Kind.POD and each.ref.name.startswith("cart")
        else each
        for each in snapshot.objects
    ]
    assert not list(network_policy_blocks(snapshot.but(objects=tuple(with_role))))


@pytest.mark.parametrize("minutes", [90, None], ids=["since long", "nobody knows since when"])
def test_a_policy_that_nobody_wrote_just_now_is_less_likely(minutes: float | None) -> None:
    """It may have been so for ever: it is named where the callee is the root, and is no root itself."""
    snapshot = shop(letting_in(CALLERS, minutes=minutes))
    store = a_ref("store", Kind.SERVICE)
    assert Topology.of(snapshot).root_of(store).ref == a_ref("store")
    found = only(network_policy_blocks(snapshot))
    assert (found.confidence, found.harms) == (0.6, a_ref("store"))


def test_both_sides_are_one_incident_rooted_in_the_policy() -> None:
    """Nothing is wrong with either."""
    snapshot = shop(letting_in(CALLERS))
    topology, policy = Topology.of(snapshot), a_ref("callers-only", Kind.NETWORK_POLICY)
    sides = [a_ref(name, kind) for name in ("cart", "store") for kind in (Kind.DEPLOYMENT, Kind.SERVICE)]
    assert {topology.root_of(ref).ref for ref in sides} == {policy}
    blamed = snapshot.network_policies[0].object
    assert named(network_policy_blocks(snapshot), blamed, snapshot) == [
        (CauseCode.NETWORK_POLICY_BLOCKS, "callers-only")
    ]


def test_of_several_that_let_nobody_through_the_last_one_written_is_blamed() -> None:
    """The others were there while all was well."""
    older = letting_in(CALLERS, name="older", minutes=30)
    assert only(network_policy_blocks(shop(older, letting_in(CALLERS, name="newer")))).object.name == "newer"


@pytest.mark.parametrize(
    ("minutes", "blamed"), [(10, 0), (None, 0), (1, 1)], ids=["before it", "nobody knows when", "after it"]
)
def test_who_went_to_labels_that_are_not_let_in_changed_itself(minutes: float | None, blamed: int) -> None:
    """A policy that was written before the rollout is as it was; one that came after it knew the labels."""
    env = {"STORE_URL": "http://store.shop:80"}
    before = a_template("cart", env=env, labels={"app": "cart", "role": "store-caller"})
    rollout = a_rollout(before=before, after=a_template("cart", env=env), at=T0 - timedelta(minutes=5))
    snapshot = shop(letting_in(CALLERS, minutes=minutes))
    rest = [each for each in snapshot.objects if not each.ref.name.startswith("cart")]
    objects = (*rest, *rollout.objects, *rollout.pods(), a_service(), an_endpoint_slice())
    assert len(list(network_policy_blocks(snapshot.but(objects=objects)))) == blamed


def test_who_is_kept_from_several_is_said_of_each() -> None:
    """A policy is one cause, whomever it harms."""
    snapshot = shop(a_policy("closed", app="cart", policyTypes=["Egress"]))
    calling_both = a_template("cart", env={"STORE_URL": "http://store.shop:80", "BASKET_URL": "http://basket:80"})
    objects = [each for each in snapshot.objects if not each.ref.name.startswith("cart")]
    snapshot = snapshot.but(
        objects=(*objects, *a_workload("cart", template=calling_both), *a_workload("basket")),
        recent={**snapshot.recent, "shop/basket": Traffic(requests=100, errors=100)},
    )
    found = list(network_policy_blocks(snapshot))
    assert {each.harms for each in found} == {a_ref("store"), a_ref("basket")}
    (said,) = {each.summary for each in found}
    assert said == (
        "NetworkPolicy/shop/closed keeps Deployment/shop/cart from Deployment/shop/basket at port 8080; "
        "Deployment/shop/cart from Deployment/shop/store at port 8080"
    )


# --- dns-misconfigured

COREDNS: Final = """
.:53 {
    errors
    ready
    kubernetes ZONE {
        pods insecure
    }
    forward . /etc/resolv.conf
}
"""
NO_SUCH_HOST: Final = (
    'ERROR upstream STORE_URL: Get "http://store.shop:8080/find": dial tcp: lookup store.shop on 198.19.0.10:53: '
    "server misbehaving"
)


def told(zone: str, minutes: float | None = 3) -> Object:
    """What CoreDNS is told to serve, written so many minutes ago."""
    managed: Json = []
    if minutes is not None:
        at = (T0 - timedelta(minutes=minutes)).isoformat()
        managed = [{"manager": "kubectl-edit", "time": at, "fieldsV1": {"f:data": {"f:Corefile": {}}}}]
    ref = a_ref("coredns", Kind.CONFIG_MAP, "kube-system")
    body: JsonObject = {"apiVersion": "v1", "data": {"Corefile": COREDNS.replace("ZONE", zone)}}
    return an_object(ref, body, managedFields=managed)


def asking(
    *config: Object, says: Collection[str] = (), errors: float = 100, env: dict[str, str] | None = None
) -> Snapshot:
    """The cart and the orders call the store by name; these of them say that they do not find it."""
    template = {name: a_template(name, env=env or CALLS_STORE) for name in ("cart", "orders")}
    callers = [a_workload(name, template=each) for name, each in template.items()]
    snapshot = a_snapshot(*callers, a_workload("store"), a_workload("quiet"), the_clusters_dns(), config)
    counted = Traffic(requests=100, errors=errors)
    return snapshot.but(
        recent={f"shop/{name}": counted for name in ("cart", "orders", "store")},
        logs={f"shop/{name}-1-a/main": (NO_SUCH_HOST,) for name in says},
    )


def test_a_dns_that_was_told_to_serve_another_zone() -> None:
    """Which zones it has, who wrote that when, and who says so are evidence; what it must be is a person's to say."""
    found = list(dns_misconfigured(asking(told("cluster.locale"), says=["cart"])))
    assert {(each.code, str(each.object)) for each in found} == {
        (CauseCode.DNS_MISCONFIGURED, "ConfigMap/kube-system/coredns")
    }
    assert {each.harms for each in found} == {a_ref("cart"), a_ref("orders"), a_ref("store")}
    assert [each.value for each in found[0].evidence[:2]] == [
        "zones of Services: cluster.locale",
        "written by kubectl-edit at 2026-01-01T11:57:00Z",
    ]
    assert found[0].evidence[2].pointer == "Pod/shop/cart-1-a/main"
    assert (found[0].remedy, found[0].confidence) == ({}, 0.95)
    assert found[0].summary.endswith("serves Services under cluster.locale, and not under cluster.local")


def test_one_fault_of_the_dns_is_one_incident() -> None:
    """Whoever calls somebody, and whoever is called, is ill for it; before anybody has read a log."""
    snapshot = asking(told("cluster.locale"))
    topology, config = Topology.of(snapshot), a_ref("coredns", Kind.CONFIG_MAP, "kube-system")
    ill = [a_ref(name, kind) for name in ("cart", "orders", "store") for kind in (Kind.DEPLOYMENT, Kind.SERVICE)]
    assert {topology.root_of(ref).ref for ref in ill} == {config}
    assert topology.root_of(a_ref("quiet")).ref == a_ref("quiet")
    blamed = snapshot.config_maps[0].object
    assert named(dns_misconfigured(snapshot), blamed, snapshot) == [(CauseCode.DNS_MISCONFIGURED, "coredns")]


def test_a_corefile_of_long_ago_is_blamed_only_for_what_is_said() -> None:
    """A cluster's own domain may be any word: then it is no root, and named for whom it harms."""
    assert not list(dns_misconfigured(asking(told("cluster.locale", minutes=90))))
    snapshot = asking(told("cluster.locale", minutes=90), says=["cart"])
    assert {each.confidence for each in dns_misconfigured(snapshot)} == {0.8}
    assert Topology.of(snapshot).root_of(a_ref("cart")).ref == a_ref("store")
    store = next(each.object for each in snapshot.deployments if each.metadata.name == "store")
    assert named(dns_misconfigured(snapshot), store, snapshot) == [(CauseCode.DNS_MISCONFIGURED, "coredns")]


@pytest.mark.parametrize(
    "snapshot",
    [
        asking(told("cluster.local")),
        asking(told("cluster.local"), says=["cart", "orders"]),
        asking(told("example.org cluster.local in-addr.arpa ip6.arpa")),
        asking(told("corp.example"), env={"STORE_URL": "http://store.shop.svc.corp.example:80"}),
        asking(told("cluster.local"), env={"STORE_URL": "http://store.shop.svc.other.example:80"}),
        asking(told("")),
        asking(told("{$DOMAIN}")),
        asking(told("cluster.locale"), errors=0),
        asking(told("cluster.locale"), env={"MAIL_URL": "https://mail.example.com"}),
        asking(says=["cart"]),
        asking(),
    ],
    ids=[
        "it serves the cluster's domain",
        "it does, whoever finds no names",
        "among others",
        "a domain of its own, as addresses say",
        "an address of another cluster",
        "all that its server block is for",
        "a word from its environment",
        "requests go well",
        "nobody calls anybody by name",
        "one workload alone, and no Corefile",
        "nothing is known",
    ],
)
def test_a_dns_that_is_not_at_fault(snapshot: Snapshot) -> None:
    """A change that is wrong is one that somebody feels."""
    assert not list(dns_misconfigured(snapshot))


@pytest.mark.parametrize("config", [[], [told("{$DOMAIN}")]], ids=["not read", "does not say it all"])
def test_where_it_is_not_known_what_the_dns_is_told_the_word_of_several_counts(config: list[Object]) -> None:
    """Less: the Service that they all ask is named, and that it is not known."""
    found = list(dns_misconfigured(asking(*config, says=["cart", "orders"])))
    assert {str(each.object) for each in found} == {"Service/kube-system/kube-dns"}
    assert {each.harms for each in found} == {a_ref("cart"), a_ref("orders")}
    assert found[0].confidence == 0.5
    assert "is not known" in found[0].summary


def test_who_asks_his_node_says_nothing_of_the_clusters_dns() -> None:
    """That one is at fault himself."""
    snapshot = calling(resolves_since(**ASKS_ITS_NODE), NOT_FOUND)
    snapshot = snapshot.but(objects=(*snapshot.objects, told("cluster.locale", minutes=90)))
    assert not list(dns_misconfigured(snapshot))


def down(*config: Object, ready: int = 0) -> Snapshot:
    """The same while none of CoreDNS's pods is ready, or so many."""
    template = a_template(labels={"k8s-app": "kube-dns"})
    dns = a_deployment("coredns", namespace="kube-system", ready=ready, template=template)
    service = the_clusters_dns()
    selecting = write(service.body, "/spec/selector", Present(value={"k8s-app": "kube-dns"}))
    snapshot = asking(*config)
    rest = [each for each in snapshot.objects if each.ref != service.ref]
    return snapshot.but(objects=(*rest, dns, service.but(body=selecting)))


def test_a_dns_that_is_down_is_where_it_starts_for_all_who_need_names() -> None:
    """Whatever keeps it down is found there; who calls nobody is not concerned."""
    topology = Topology.of(down(told("cluster.local", minutes=90)))
    dns = a_ref("coredns", namespace="kube-system")
    assert {topology.root_of(a_ref(name)).ref for name in ("cart", "orders", "store")} == {dns}
    assert topology.root_of(a_ref("quiet")).ref == a_ref("quiet")
    assert not list(dns_misconfigured(down(told("cluster.local", minutes=90))))


def test_a_dns_that_answers_with_one_pod_is_not_where_it_starts() -> None:
    """Names are found as before."""
    snapshot = down(told("cluster.local"), ready=1)
    assert Topology.of(snapshot).root_of(a_ref("cart")).ref == a_ref("store")
    assert not list(dns_misconfigured(snapshot))


def test_a_dns_that_does_not_come_up_with_what_was_just_written() -> None:
    """Which word of it is wrong is not known."""
    snapshot = down(told("cluster.local"))
    found = list(dns_misconfigured(snapshot))
    assert {(str(each.object), each.confidence) for each in found} == {("ConfigMap/kube-system/coredns", 0.7)}
    assert "Deployment/kube-system/coredns does not come up since" in found[0].summary
    topology = Topology.of(snapshot)
    ill = (a_ref("store"), a_ref("coredns", namespace="kube-system"))
    assert {topology.root_of(ref).ref for ref in ill} == {a_ref("coredns", Kind.CONFIG_MAP, "kube-system")}


@pytest.mark.parametrize(
    ("corefile", "zones"),
    [
        (COREDNS.replace("ZONE", "cluster.local in-addr.arpa"), {"cluster.local", "in-addr.arpa"}),
        ("cluster.local:53 {\n  kubernetes\n}\n", {"cluster.local"}),
        ("dns://Cluster.Local. {\n  kubernetes\n}\nexample.org {\n  forward . 1.1.1.1\n}\n", {"cluster.local"}),
        (".:53 {\n  errors # kubernetes cluster.local\n}\n", set()),
        (".:53 {\n  # kubernetes cluster.local\n  kubernetes b.c { # d\n  }\n}\n", {"b.c"}),
        (".:53 {\n  template IN A {\n    kubernetes b.c\n  }\n}\n", set()),
        ("", set()),
        (".:53 {\n  import custom/*.override\n}\n", None),
        ("import custom/*.server\n", None),
        (".:53 {\n  kubernetes {$DOMAIN}\n}\n", None),
    ],
)
def test_which_zones_a_corefile_answers_from_services(corefile: str, zones: set[str] | None) -> None:
    """Those of the plugin, else those of its block; what it includes may say more."""
    assert service_zones(corefile) == zones
