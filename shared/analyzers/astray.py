"""Workloads whose pods ask for names where no Service of the cluster is known."""

from collections.abc import Mapping, Sequence
from functools import partial
from ipaddress import ip_address
from typing import Final, NamedTuple

from shared.analyzers.crash_loop import AFTER_A_CHANGE
from shared.analyzers.names import called_by_name, not_found
from shared.analyzers.suspects import errs, failing_ratio
from shared.domain.cause import Evidence
from shared.domain.cluster import Ref
from shared.domain.objects import Deployment, ReplicaSet, Service, TemplateSpec
from shared.domain.revisions import known_good, rolled_out_within
from shared.domain.snapshot import Snapshot

_DNS_LABEL: Final = ("k8s-app", "kube-dns")
"""What every distribution's cluster DNS bears, CoreDNS or not: kubelets and autoscalers look for it."""


class Astray(NamedTuple):
    """Which Services such a workload calls by name, how it says that it does not find them, and how it was before."""

    called: Sequence[Service]
    heard: Sequence[Evidence]
    good: ReplicaSet | None


def astray(snapshot: Snapshot) -> Mapping[Ref, Astray]:
    """The Deployments that call Services by name and do not ask the cluster's DNS for them, while requests fail.

    Lately they still asked it, or their own log says that a Service is not found: a node may know the cluster's names,
    and then all was well for long.
    """
    return {
        deployment.ref: found
        for deployment in snapshot.deployments
        if deployment.spec.replicas
        and not _asks_the_cluster(deployment.spec.template.spec, snapshot)
        and (found := _astray(deployment, snapshot)) is not None
    }


def _astray(deployment: Deployment, snapshot: Snapshot) -> Astray | None:
    called = called_by_name(deployment, snapshot)
    if not called or not (failing_ratio(deployment, snapshot) or any(errs(each, snapshot) for each in called)):
        return None
    heard = not_found(deployment, snapshot)
    good = known_good(deployment, snapshot, partial(_asked_the_cluster, snapshot))
    return Astray(called, heard, good) if heard or (good is not None and _is_new(deployment, snapshot)) else None


def _asked_the_cluster(snapshot: Snapshot, made: ReplicaSet) -> bool:
    return _asks_the_cluster(made.spec.template.spec, snapshot)


def _is_new(deployment: Deployment, snapshot: Snapshot) -> bool:
    return rolled_out_within(AFTER_A_CHANGE, deployment, snapshot)


def _asks_the_cluster(spec: TemplateSpec, snapshot: Snapshot) -> bool:
    """Whether its pods ask the cluster's DNS; also where that is not known.

    On a node's own network `ClusterFirst` means `Default`, as the kubelet has it.
    """
    servers = spec.dns_config.nameservers if spec.dns_config else ()
    match spec.dns_policy:
        case "ClusterFirstWithHostNet":
            return True
        case "None":
            return _includes_the_clusters(servers, snapshot) is not False
        case "Default":
            return _includes_the_clusters(servers, snapshot) is True
        case _:
            return not spec.host_network or _includes_the_clusters(servers, snapshot) is True


def the_clusters_dns(snapshot: Snapshot) -> Sequence[Service]:
    """The Service that kubelets tell pods to ask, if it was looked at."""
    key, value = _DNS_LABEL
    return [each for each in snapshot.services if each.metadata.labels.get(key) == value]


def _includes_the_clusters(servers: Sequence[str], snapshot: Snapshot) -> bool | None:
    """Whether one of these is the cluster's, or a cache of it on the node; None if the cluster's is not known."""
    if any(_is_local(server) for server in servers):
        return True
    known = {each.spec.cluster_ip for each in the_clusters_dns(snapshot)}
    return bool(known & {*servers}) if known else None


def _is_local(server: str) -> bool:
    try:
        return ip_address(server).is_link_local
    except ValueError:
        return False
