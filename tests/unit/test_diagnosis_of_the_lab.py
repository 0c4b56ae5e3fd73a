"""Diagnosis against the lab's own faults, on virtual time: one root, the right cause first, and the plan heals it."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import pytest

from eval.lab.errors import ApiError
from eval.lab.rehearsal import Rehearsal
from eval.lab.store import Deletion, Writer
from services.diagnoser.decide import rank
from shared.analyzers.registry import findings
from shared.analyzers.suspects import suspects
from shared.analyzers.topology import Topology
from shared.domain.alert import Alert, AlertStatus
from shared.domain.cause import Cause, CauseCode
from shared.domain.change import Patch
from shared.domain.cluster import Kind, Object, Ref
from shared.domain.errors import ClusterUnavailable
from shared.domain.ids import ClusterName, Fingerprint, IncidentId
from shared.domain.incident import Incident
from shared.domain.runbook import Plan
from shared.domain.snapshot import Snapshot
from shared.measure.enrich import with_metrics
from shared.measure.listen import with_logs
from shared.ports.metrics import Series
from shared.runbooks.catalog import load
from shared.runbooks.planning import plans

LAB: Final = ClusterName("lab")
KINDS: Final = (
    Kind.DEPLOYMENT,
    Kind.REPLICA_SET,
    Kind.POD,
    Kind.SERVICE,
    Kind.ENDPOINT_SLICE,
    Kind.EVENT,
    Kind.NODE,
)
CATALOG: Final = load()
SEEDS: Final = (1, 2)


class LabMetrics:
    """The port Metrics on the lab's own query engine, without the HTTP in between."""

    def __init__(self, lab: Rehearsal) -> None:
        self._lab = lab

    async def query(self, expression: str) -> tuple[Series, ...]:
        at = self._lab.wall()
        found = self._lab.queries.instant(expression, at.timestamp())
        vector = found if isinstance(found, dict) else {}
        return tuple(Series(labels=dict(pairs), value=value, at=at) for pairs, value in vector.items())


class LabLogs:
    """The port Logs on the lab's own kubelets."""

    def __init__(self, lab: Rehearsal) -> None:
        self._lab = lab

    async def tail(self, pod: Ref, container: str, *, since_s: float, lines: int) -> tuple[str, ...]:
        query = {"container": container, "sinceSeconds": f"{since_s:.0f}", "tailLines": str(lines)}
        try:
            said = self._lab.kubelet.read_log(self._lab.store.get("Pod", pod.namespace, pod.name), query)
        except ApiError:  # it has not started
            return ()
        return tuple(said.splitlines())


class HalfDeafLogs(LabLogs):
    """The same, where the kubelet of `node-b` stands still: every request for it takes its whole time, and fails."""

    def __init__(self, lab: Rehearsal) -> None:
        super().__init__(lab)
        self.asked_in_vain = 0

    async def tail(self, pod: Ref, container: str, *, since_s: float, lines: int) -> tuple[str, ...]:
        if self._lab.store.get("Pod", pod.namespace, pod.name)["spec"].get("nodeName") == "node-b":
            self.asked_in_vain += 1
            raise ClusterUnavailable("no answer within 10 s")
        return await super().tail(pod, container, since_s=since_s, lines=lines)


def stored(lab: Rehearsal, ref: Ref) -> Object:
    """The object as the lab has it."""
    body = lab.store.get(str(ref.kind), ref.namespace, ref.name)
    metadata = body["metadata"]
    return Object(ref=ref, uid=metadata["uid"], resource_version=metadata["resourceVersion"], body=body)


async def look(lab: Rehearsal, *, metrics: bool = True) -> Snapshot:
    """A snapshot of the whole lab."""
    refs = [
        Ref(cluster=LAB, kind=kind, namespace=body["metadata"].get("namespace", ""), name=body["metadata"]["name"])
        for kind in KINDS
        for body in lab.store.list(str(kind))
    ]
    snapshot = Snapshot(cluster=LAB, taken_at=lab.wall(), objects=tuple(stored(lab, ref) for ref in refs))
    if not metrics:
        return snapshot
    snapshot = await with_metrics(snapshot, LabMetrics(lab), window_s=30)
    return await with_logs(snapshot, LabLogs(lab), suspects(snapshot), since_s=30)


def firing(lab: Rehearsal) -> list[Alert]:
    """The alerts that the lab's rules fire now."""
    return [
        Alert(
            cluster=LAB,
            fingerprint=Fingerprint(f"f{index}"),
            status=AlertStatus.FIRING,
            labels=alert.labels,
            starts_at=alert.fired_at,
        )
        for index, alert in enumerate(lab.rules.active.values())
        if alert.fired_at is not None and alert.firing
    ]


def roots(alerts: list[Alert], snapshot: Snapshot) -> set[Ref]:
    """Where the alerts start."""
    topology = Topology.of(snapshot)
    about = (topology.workload_of(alert.labels) for alert in alerts)
    return {topology.root_of(ref).ref for ref in about if ref is not None}


def diagnose(alerts: list[Alert], root: Ref, snapshot: Snapshot) -> tuple[Cause, ...]:
    """The causes of an incident with this root."""
    incident = Incident(id=IncidentId("inc-1"), cluster=LAB, root=root)
    return rank(findings(snapshot), incident, Topology.of(snapshot), alerts)


def carry_out(lab: Rehearsal, plan: Plan) -> None:
    """Write a plan as the mitigator would."""
    for change in plan.changes:
        ref = change.ref
        if isinstance(change, Patch):
            operations = change.to_json_patch(stored(lab, ref))
            lab.store.patch(str(ref.kind), ref.namespace, ref.name, operations, Writer("primum-mitigator"))
        else:
            lab.store.delete(str(ref.kind), ref.namespace, ref.name)


# --- the faults, as scenarios inject them


def wrong_image(lab: Rehearsal, role: str) -> None:
    """Deploy an image that nobody pushed."""
    lab.edit_container(lab.shop.services[role], image=lab.shop.missing_image(role))


def memory_limit(lab: Rehearsal, role: str) -> None:
    """Half of what the process needs."""
    low = f"{lab.shop.memory_mib[role] // 2}Mi"
    resources = {"requests": {"cpu": "200m", "memory": low}, "limits": {"cpu": "500m", "memory": low}}
    lab.edit_container(lab.shop.services[role], resources=resources)


def wrong_selector(lab: Rehearsal, role: str) -> None:
    """A label that no pod carries."""
    name = lab.shop.services[role]
    lab.store.patch("Service", lab.shop.namespace, name, {"spec": {"selector": {"app": f"{name}-v2"}}})


def wrong_port(lab: Rehearsal, role: str) -> None:
    """A port where nobody listens."""
    name = lab.shop.services[role]
    ports = [{**port, "targetPort": 9} for port in lab.store.get("Service", lab.shop.namespace, name)["spec"]["ports"]]
    lab.store.patch("Service", lab.shop.namespace, name, {"spec": {"ports": ports}})


def scaled_away(lab: Rehearsal, role: str) -> None:
    """No replica."""
    lab.scale(lab.shop.services[role], 0)


def gray_node(lab: Rehearsal, _: str) -> None:
    """A node that drops packets and says Ready."""
    lab.break_node("node-b")


def busy_after_a_rollout(lab: Rehearsal, role: str) -> None:
    """An innocent rollout, and then two and a half times the load."""
    name = lab.shop.services[role]
    env = lab.deployment(name)["spec"]["template"]["spec"]["containers"][0].get("env", [])
    lab.edit_container(name, env=[*env, {"name": "LOG_LEVEL", "value": "debug"}])
    lab.until(lab.complete)
    lab.traffic.surge(name, 2.5)


def container(lab: Rehearsal, role: str) -> dict[str, Any]:
    """The one container of a role, as its template has it."""
    found: dict[str, Any] = lab.deployment(lab.shop.services[role])["spec"]["template"]["spec"]["containers"][0]
    return found


def missing_config_map(lab: Rehearsal, role: str) -> None:
    """A deploy that was to come with a ConfigMap."""
    source = {"valueFrom": {"configMapKeyRef": {"name": f"{lab.shop.services[role]}-flags", "key": "flags"}}}
    env = [*container(lab, role)["env"], {"name": "FLAGS", **source}]
    lab.edit_container(lab.shop.services[role], env=env)


def wrong_probe(lab: Rehearsal, role: str) -> None:
    """A probe at the port of the version to come."""
    probe = {"httpGet": {"path": "/ready", "port": 9090}, "periodSeconds": 5}
    lab.edit_container(lab.shop.services[role], readinessProbe=probe)


def wrong_node(lab: Rehearsal, role: str) -> None:
    """A label that another cluster's nodes have."""
    patch = {"spec": {"template": {"spec": {"nodeSelector": {"disk": "ssd"}}}}}
    lab.store.patch("Deployment", lab.shop.namespace, lab.shop.services[role], patch)


def quota_beside_a_larger_request(lab: Rehearsal, role: str) -> None:
    """A quota that the shop fits into, and a deploy that asks for ten times as much."""
    place = {"name": "team", "namespace": lab.shop.namespace}
    lab.store.create("ResourceQuota", {"metadata": place, "spec": {"hard": {"requests.cpu": "6"}}})
    resources = container(lab, role)["resources"]
    more = {"requests": {**resources["requests"], "cpu": "2"}, "limits": {**resources["limits"], "cpu": "2"}}
    lab.edit_container(lab.shop.services[role], resources=more)


Fault = Callable[[Rehearsal, str], None]
FAULTS: Final[Mapping[str, tuple[Fault, CauseCode, str]]] = {
    "wrong image": (wrong_image, CauseCode.IMAGE_PULL_FAILED, "roll-back-deployment"),
    "memory limit": (memory_limit, CauseCode.MEMORY_LIMIT_TOO_LOW, "restore-resources"),
    "wrong selector": (wrong_selector, CauseCode.SERVICE_SELECTOR_MISMATCH, "fix-service-selector"),
    "wrong port": (wrong_port, CauseCode.SERVICE_TARGET_PORT_MISMATCH, "fix-service-port"),
    "scaled away": (scaled_away, CauseCode.SCALED_TOO_LOW, "scale-deployment"),
    "gray node": (gray_node, CauseCode.NODE_GRAY_FAILURE, "drain-node"),
}
ROLES: Final = ("edge", "cart", "catalog", "checkout", "payment", "shipping", "orders", "store")


def standing(seed: int) -> Rehearsal:
    """A shop with nothing wrong."""
    lab = Rehearsal(seed=seed)
    lab.until(lab.settled)
    return lab


async def test_a_healthy_shop_has_no_findings() -> None:
    """In ten minutes of traffic, either."""
    lab = standing(3)
    lab.run(600)
    assert findings(await look(lab)) == ()


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("seed", SEEDS)
async def test_a_fault_has_one_root_its_cause_comes_first_and_its_plan_heals_it(seed: int, name: str) -> None:
    """With metrics and without, at the first alert and in the storm; when it is healed nothing is found any more."""
    inject, code, runbook = FAULTS[name]
    lab = standing(seed)
    inject(lab, ROLES[seed % len(ROLES)])
    lab.until(lambda: bool(lab.firing()))
    for _ in range(2):
        alerts = firing(lab)
        for metrics in (False, True):
            snapshot = await look(lab, metrics=metrics)
            (root,) = roots(alerts, snapshot)
            assert diagnose(alerts, root, snapshot)[0].code is code
        lab.run(30)
    made, _ = plans(CATALOG, diagnose(alerts, root, snapshot), snapshot)
    assert made[0].runbook.name == runbook
    carry_out(lab, made[0])
    lab.until(lambda: lab.complete() and not lab.firing())
    lab.run(30)
    assert findings(await look(lab)) == ()


@pytest.mark.parametrize("role", ["payment", "shipping", "store"])
async def test_the_rollout_is_suspected_before_the_load_that_is_to_blame(role: str) -> None:
    """Most incidents follow a change; with metrics all alerts have one root, and the second cause is the right one."""
    lab = standing(4)
    busy_after_a_rollout(lab, role)
    lab.until(lambda: bool(lab.firing()))
    lab.run(30)
    alerts, snapshot = firing(lab), await look(lab)
    (root,) = roots(alerts, snapshot)
    causes = diagnose(alerts, root, snapshot)
    assert [cause.code for cause in causes[:2]] == [CauseCode.RECENT_ROLLOUT, CauseCode.CPU_SATURATED]
    made, _ = plans(CATALOG, causes, snapshot)
    assert [plan.runbook.name for plan in made] == ["roll-back-deployment", "scale-deployment"]
    carry_out(lab, made[1])
    lab.until(lambda: lab.complete() and not lab.firing())
    lab.run(30)
    assert [finding.code for finding in findings(await look(lab))] == [CauseCode.RECENT_ROLLOUT]


async def test_four_that_do_not_come_up_are_four_roots_and_each_plan_heals_its_own() -> None:
    """What they cannot start, be placed, be made or get ready without; with metrics and without."""
    lab = standing(6)
    faults = {
        "shipping": (missing_config_map, CauseCode.CONFIG_MAP_MISSING),
        "catalog": (wrong_probe, CauseCode.READINESS_PROBE_MISCONFIGURED),
        "payment": (wrong_node, CauseCode.UNSCHEDULABLE),
        "checkout": (quota_beside_a_larger_request, CauseCode.QUOTA_EXCEEDED),
    }
    for role, (inject, _) in faults.items():
        inject(lab, role)
    wanted = {lab.shop.services[role]: code for role, (_, code) in faults.items()}
    lab.until(lambda: wanted.keys() <= {about for _, about in lab.firing()})
    for metrics in (False, True):
        snapshot = await look(lab, metrics=metrics)
        found = {root: diagnose([], root, snapshot) for root in roots(firing(lab), snapshot)}
        assert {root.name: causes[0].code for root, causes in found.items()} == wanted
    for causes in found.values():
        made, _ = plans(CATALOG, causes, snapshot)
        assert made[0].runbook.name == "roll-back-deployment"
        carry_out(lab, made[0])
    lab.until(lambda: lab.complete() and not lab.firing())
    lab.run(30)
    assert findings(await look(lab)) == ()


def cordoned(lab: Rehearsal, role: str) -> None:
    """All nodes cordoned, and one service restarted by hand."""
    for node in lab.store.list("Node"):
        lab.store.patch("Node", "", node["metadata"]["name"], {"spec": {"unschedulable": True}})
    for pod in lab.store.list("Pod", lab.shop.namespace):
        if pod["metadata"]["labels"].get("app") == lab.shop.services[role]:
            lab.store.delete("Pod", lab.shop.namespace, pod["metadata"]["name"])


def killed(lab: Rehearsal, role: str) -> None:
    """Somebody deletes all pods of a service every few seconds, and does not let them end."""
    for _ in range(10):
        for pod in lab.store.list("Pod", lab.shop.namespace):
            if pod["metadata"]["labels"].get("app") == lab.shop.services[role]:
                lab.store.delete("Pod", lab.shop.namespace, pod["metadata"]["name"], how=Deletion(grace_s=0))
        lab.run(5)


def lose_node(lab: Rehearsal, name: str) -> None:
    """What the control plane writes when a kubelet is silent for too long: its processes go on."""
    silent = {"status": "Unknown", "reason": "NodeStatusUnknown", "message": "Kubelet stopped posting node status."}
    _say_ready(lab, lab.store.get("Node", "", name), silent)
    for pod in lab.store.list("Pod"):
        if pod["spec"].get("nodeName") == name:
            _say_ready(lab, pod, {"status": "False"})


def _say_ready(lab: Rehearsal, seen: dict[str, Any], word: Mapping[str, str]) -> None:
    conditions = [each | word if each["type"] == "Ready" else each for each in seen["status"]["conditions"]]
    meta, status = seen["metadata"], {**seen["status"], "conditions": conditions}
    lab.store.set_status(seen["kind"], meta.get("namespace", ""), meta["name"], status, "kube-controller-manager")


async def test_a_node_that_is_lost_is_one_root_of_all_alerts_and_nothing_is_done() -> None:
    """Whatever has a pod there is short of one, and whoever calls what has none left fails."""
    lab = standing(9)
    lose_node(lab, "node-b")
    lab.until(lambda: bool(lab.firing()))
    lab.run(30)
    alerts, snapshot = firing(lab), await look(lab)
    assert len(alerts) > 1
    (root,) = roots(alerts, snapshot)
    causes = diagnose(alerts, root, snapshot)
    assert (root.kind, root.name) == (Kind.NODE, "node-b")
    assert [(cause.code, cause.object) for cause in causes] == [(CauseCode.NODE_NOT_READY, root)]
    assert plans(CATALOG, causes, snapshot)[0] == []


async def test_a_kubelet_that_is_silent_is_not_asked_for_logs() -> None:
    """It would be waited for, one container after the other; that nothing was heard there is said."""
    lab = standing(9)
    lose_node(lab, "node-b")
    lab.until(lambda: bool(lab.firing()))
    lab.run(30)
    snapshot = await look(lab)
    where = {f"{pod.ref.namespace}/{pod.metadata.name}/app": pod.spec.node_name for pod in snapshot.pods}
    assert "node-b" not in {where[container] for container in snapshot.logs}
    assert {where[container] for container in snapshot.unheard} == {"node-b"}
    assert "not read: logs of nodes that are not ready" in snapshot.looked_at


async def test_a_kubelet_that_does_not_answer_once_is_not_asked_again() -> None:
    """Before anybody knows that its node is lost; the others are heard."""
    lab = standing(9)
    lab.run(30)
    logs, snapshot = HalfDeafLogs(lab), await look(lab, metrics=False)
    whose = [deployment.ref for deployment in snapshot.deployments]
    heard = await with_logs(snapshot, logs, whose, since_s=30)
    assert (logs.asked_in_vain, len(heard.unheard) > 1, len(heard.logs) > 1) == (1, True, True)
    assert any(said.startswith("not read: logs (no answer within 10 s") for said in heard.looked_at)


@pytest.mark.parametrize(
    ("inject", "code"),
    [(cordoned, CauseCode.NODE_CORDONED), (killed, CauseCode.PODS_KILLED)],
    ids=["cordoned", "killed"],
)
async def test_a_fault_that_only_a_person_can_end_is_named_and_nothing_is_done_about_it(
    inject: Fault, code: CauseCode
) -> None:
    """One root, its cause first, and no plan for whatever follows from it."""
    lab = standing(8)
    inject(lab, "shipping")
    lab.until(lambda: bool(lab.firing()))
    alerts = firing(lab)
    for metrics in (False, True):
        snapshot = await look(lab, metrics=metrics)
        (root,) = roots(alerts, snapshot)
        causes = diagnose(alerts, root, snapshot)
        assert (causes[0].code, causes[0].object.name) == (code, lab.shop.shipping)
        assert plans(CATALOG, causes, snapshot)[0] == []


def wrong_password(lab: Rehearsal, role: str) -> None:
    """A deploy whose password is not the store's."""
    env = [item for item in container(lab, role)["env"] if item["name"] != "STORE_PASSWORD"]
    lab.edit_container(lab.shop.services[role], env=[*env, {"name": "STORE_PASSWORD", "value": "changed"}])


def slow(lab: Rehearsal, role: str) -> None:
    """A deploy that makes it slow; it goes on working."""
    env = [*container(lab, role)["env"], {"name": "LATENCY_MS", "value": "800"}]
    lab.edit_container(lab.shop.services[role], env=env)


@pytest.mark.parametrize(
    ("inject", "role", "code"),
    [
        (wrong_password, "orders", CauseCode.CREDENTIALS_REFUSED),
        (slow, "store", CauseCode.SLOW_DEPENDENCY),
    ],
)
async def test_a_fault_between_workloads_is_named_where_it_is_and_not_at_its_victims(
    inject: Fault, role: str, code: CauseCode
) -> None:
    """With metrics and logs all alerts have one root, and the rollout steps back behind what it did."""
    lab = standing(7)
    lab.run(60)
    inject(lab, role)
    lab.until(lambda: bool(lab.firing()))
    lab.run(30)
    alerts, snapshot = firing(lab), await look(lab)
    (root,) = roots(alerts, snapshot)
    causes = diagnose(alerts, root, snapshot)
    assert root.name == lab.shop.services[role]
    assert [(cause.code, cause.object) for cause in causes] == [(code, root), (CauseCode.RECENT_ROLLOUT, root)]
    made, _ = plans(CATALOG, causes, snapshot)
    assert made[0].runbook.name == "roll-back-deployment"
    carry_out(lab, made[0])
    lab.until(lambda: lab.complete() and not lab.firing())
    lab.run(30)
    assert code not in {finding.code for finding in findings(await look(lab))}


async def test_two_faults_at_once_are_two_roots_each_with_its_own_cause() -> None:
    """Everybody's dependency loses its port while something else is deployed wrongly: neither's plan is the other's."""
    lab = standing(5)
    wrong_port(lab, "store")
    lab.until(lambda: bool(lab.firing()))
    wrong_image(lab, "payment")
    lab.until(lab.fires("DeploymentReplicasMismatch", lab.shop.payment))
    alerts, snapshot = firing(lab), await look(lab)
    found = {str(root): diagnose([], root, snapshot)[0].code for root in roots(alerts, snapshot)}
    namespace = lab.shop.namespace
    assert found == {
        f"Service/{namespace}/{lab.shop.store}": CauseCode.SERVICE_TARGET_PORT_MISMATCH,
        f"Deployment/{namespace}/{lab.shop.payment}": CauseCode.IMAGE_PULL_FAILED,
    }


def another_port(lab: Rehearsal, role: str) -> None:
    """A tidier number, which no caller has."""
    name = lab.shop.services[role]
    ports = [{**port, "port": 9090} for port in lab.store.get("Service", lab.shop.namespace, name)["spec"]["ports"]]
    lab.store.patch("Service", lab.shop.namespace, name, {"spec": {"ports": ports}})


@pytest.mark.parametrize("role", ["payment", "store"])
async def test_a_port_that_no_caller_dials_is_given_the_number_that_they_do(role: str) -> None:
    """The pods behind it are well, and nothing was rolled out: only its callers' addresses say what is wrong."""
    lab = standing(8)
    another_port(lab, role)
    lab.until(lambda: bool(lab.firing()))
    snapshot = await look(lab)
    (root,) = roots(firing(lab), snapshot)
    causes = diagnose(firing(lab), root, snapshot)
    assert (causes[0].code, causes[0].object.name) == (CauseCode.SERVICE_PORT_MISMATCH, lab.shop.services[role])
    made, _ = plans(CATALOG, causes, snapshot)
    assert made[0].runbook.name == "serve-dialled-port"
    carry_out(lab, made[0])
    lab.until(lambda: lab.complete() and not lab.firing())
    assert findings(await look(lab)) == ()
