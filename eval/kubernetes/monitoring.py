"""A real Prometheus and real Alertmanagers before a real cluster: pods, containers, objects and users are watched."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from eval.kubernetes.accounts import Account, sign_in
from eval.kubernetes.rules import INTERVALS, team_rules_file
from eval.lab.kinds import Obj
from eval.monitoring.monitoring import Job, Monitoring, duration, page
from eval.monitoring.program import Program
from eval.operator import Operator
from eval.ports import free_ports

NAMESPACE: Final = "monitoring"
CLUSTER: Final = "kubernetes"
PODS: Final = "pods"
CONTAINERS: Final = "containers"
STATE: Final = "state"
USERS: Final = "users"
_CONTAINERS_EVERY_S: Final = 5.0
"""The kubelet walks all cgroups for an answer, and looks at each of them every ten seconds at most."""
_META: Final = "__meta_kubernetes_"
_NEWS_EVERY_S: Final = 2.0
"""How often Prometheus asks which pods and nodes there are."""
_ACCOUNTS: Final[Mapping[str, Sequence[Obj]]] = {
    "prometheus": [
        {"apiGroups": [""], "resources": ["nodes/proxy"], "verbs": ["get"]},
    ],
    "state-metrics": [
        {"apiGroups": [""], "resources": ["nodes", "pods", "endpoints"], "verbs": ["list", "watch"]},
        {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["list", "watch"]},
    ],
}
"""Who watches the cluster, and what each may do. Prometheus itself scrapes; who there is it hears from the other."""


async def accounts(operator: Operator, server: str, folder: Path) -> Mapping[str, Account]:
    """Make the ServiceAccounts with their roles, and fetch their tokens. `server` is the API's URL."""
    if await operator.find("Namespace", "", NAMESPACE) is None:
        await operator.create("Namespace", {"metadata": {"name": NAMESPACE}})
    return {name: await _account(operator, server, folder, name, may) for name, may in _ACCOUNTS.items()}


async def _account(operator: Operator, server: str, folder: Path, name: str, may: Sequence[Obj]) -> Account:
    placed = {"name": name, "namespace": NAMESPACE}
    role = f"{NAMESPACE}:{name}"
    binding = {
        "metadata": {"name": role},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", **placed}],
    }
    wanted: Sequence[tuple[str, Obj]] = (
        ("ServiceAccount", {"metadata": placed}),
        ("ClusterRole", {"metadata": {"name": role}, "rules": list(may)}),
        ("ClusterRoleBinding", binding),
    )
    for kind, body in wanted:
        where = body["metadata"].get("namespace", "")
        if await operator.find(kind, where, body["metadata"]["name"]) is None:
            await operator.create(kind, body)
    return await sign_in(operator, server, folder, NAMESPACE, name)


@asynccontextmanager
async def watched(
    programs: Path, folder: Path, operator: Operator, server: str, users_url: str
) -> AsyncIterator[Monitoring]:
    """Watch the cluster behind `server` (the API's URL), and the users who count themselves under `users_url`.

    Logs, data and tokens lie in `folder`; the accounts stay in the cluster. Raises ProgramDidNotStart.
    """
    who = await accounts(operator, server, folder / "accounts")
    address = f"127.0.0.1:{free_ports(1)[0]}"
    url = f"http://{address}"
    arguments = (str(programs / "state"), address, str(who["state-metrics"].kubeconfig))
    scraped = jobs(who["prometheus"], url, users_url)
    async with (
        Program("state", arguments, url, folder),
        Monitoring(folder, scraped, team_rules_file(), INTERVALS, CLUSTER) as monitoring,
    ):
        yield monitoring


def jobs(account: Account, state_url: str, users_url: str) -> Sequence[Job]:
    """What Prometheus scrapes: every pod with a port for it, the containers of every node, objects and users."""
    pages = {STATE: f"{state_url}/metrics", USERS: users_url}
    return [_pods(state_url), _containers(account, state_url), *(page(url, name) for name, url in pages.items())]


def _discovered(state_url: str, what: str) -> Job:
    """With the labels that Prometheus's own discovery gives. Debian builds it without the one for Kubernetes."""
    return {"http_sd_configs": [{"url": f"{state_url}/targets/{what}", "refresh_interval": duration(_NEWS_EVERY_S)}]}


def _pods(state_url: str) -> Job:
    return {
        "job_name": PODS,
        "honor_labels": True,  # a caller counts by the namespace and the name of whom it calls
        **_discovered(state_url, "pods"),
        "relabel_configs": [
            {"source_labels": [f"{_META}pod_container_port_name"], "regex": "http|metrics", "action": "keep"},
            {"source_labels": [f"{_META}pod_phase"], "regex": "Running", "action": "keep"},
            {"source_labels": [f"{_META}namespace"], "target_label": "namespace"},
            {"source_labels": [f"{_META}pod_name"], "target_label": "pod"},
            {"source_labels": [f"{_META}pod_node_name"], "target_label": "node"},
        ],
    }


def _containers(account: Account, state_url: str) -> Job:
    """By way of the API server, as one scrapes kubelets that nothing else reaches."""
    every = duration(_CONTAINERS_EVERY_S)
    families = (
        "container_cpu_(usage_seconds|cfs_periods|cfs_throttled_periods)_total|container_memory_working_set_bytes"
    )
    return {
        "job_name": CONTAINERS,
        "honor_labels": True,
        "scheme": "https",
        "scrape_interval": every,
        "scrape_timeout": every,
        "authorization": {"credentials_file": str(account.token)},
        "tls_config": {"ca_file": str(account.ca)},
        **_discovered(state_url, "nodes"),
        "relabel_configs": [
            {"target_label": "__address__", "replacement": urlsplit(account.server).netloc},
            {
                "source_labels": [f"{_META}node_name"],
                "target_label": "__metrics_path__",
                "replacement": "/api/v1/nodes/$1/proxy/metrics/cadvisor",
            },
            *({"source_labels": [f"{_META}node_name"], "target_label": label} for label in ("instance", "node")),
        ],
        "metric_relabel_configs": [
            {"source_labels": ["__name__"], "regex": families, "action": "keep"},
            {"source_labels": ["container"], "regex": ".+", "action": "keep"},
        ],
    }
