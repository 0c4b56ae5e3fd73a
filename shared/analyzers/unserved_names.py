"""A cluster's DNS that was told to serve other names than those of the cluster's Services."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from shared.analyzers.addresses import cluster_domains
from shared.analyzers.astray import astray, the_clusters_dns
from shared.analyzers.corefile import service_zones
from shared.analyzers.names import called_by_name, not_found
from shared.analyzers.suspects import errs, failing_ratio
from shared.analyzers.written import last_written
from shared.domain.cause import Evidence
from shared.domain.cluster import COREFILE, Kind, Ref
from shared.domain.objects import ConfigMap, Deployment
from shared.domain.snapshot import Snapshot

USUAL_DOMAIN: Final = "cluster.local"
"""What a cluster's names end with, unless whoever set it up chose otherwise."""


class Unserved(NamedTuple):
    """Which zones the Corefile has, and which it should have; whom that harms, and how those say it."""

    config: ConfigMap
    zones: frozenset[str]
    domains: frozenset[str]
    harmed: Sequence[Ref]
    heard: Sequence[Evidence]
    lately: bool
    down: Deployment | None
    """Who does not come up with it: then its zones may be right, and another word of it is wrong."""


def unserved_names(snapshot: Snapshot) -> Unserved | None:
    """A Corefile that serves no zone of the cluster's Services, while requests of those fail that call them by name.

    Somebody wrote it lately, or those say that names are not found: a cluster's own domain may be any word, and is
    known only from addresses that have it. Or somebody wrote it lately, and nobody answers since.
    """
    config, zones, down = corefile(snapshot), zones_told(snapshot), dead_dns(snapshot)
    domains = frozenset(cluster_domains(snapshot.deployments)) or frozenset({USUAL_DOMAIN})
    unserved = zones is not None and not _serve_any(zones, domains)
    if config is None or not (unserved or down) or not (harmed := harmed_without_names(snapshot)):
        return None
    heard = tuple(line for lines in heard_of(snapshot).values() for line in lines)
    written = last_written(config, "f:data")
    lately = written is not None and written.lately(snapshot)
    if not lately and not (unserved and heard):
        return None
    return Unserved(config, zones or frozenset(), domains, harmed, heard, lately, None if unserved else down)


def _serve_any(zones: frozenset[str], domains: frozenset[str]) -> bool:
    """An address may be of another cluster: the usual domain counts wherever it is served."""
    return any(_serves(zone, domain) for zone in zones for domain in domains | {USUAL_DOMAIN})


def unserved_lately(snapshot: Snapshot) -> Unserved | None:
    """The same, if somebody wrote it lately: that is where the failure starts."""
    found = unserved_names(snapshot)
    return found if found is not None and found.lately else None


def zones_told(snapshot: Snapshot) -> frozenset[str] | None:
    """Which zones of Services CoreDNS is told to serve; None if that was not read, or does not say it all."""
    config = corefile(snapshot)
    return None if config is None else service_zones(config.data.get("Corefile", ""))


def dead_dns(snapshot: Snapshot) -> Deployment | None:
    """The workload that answers for names, if none of its pods does."""
    behind = [each for service in the_clusters_dns(snapshot) for each in snapshot.workloads_behind(service)]
    return next((each for each in behind if each.spec.replicas and not each.status.available_replicas), None)


def corefile(snapshot: Snapshot) -> ConfigMap | None:
    """What CoreDNS is told, if it was read."""
    ref = Ref(cluster=snapshot.cluster, kind=Kind.CONFIG_MAP, namespace=COREFILE[0], name=COREFILE[1])
    return next((each for each in snapshot.config_maps if each.ref == ref), None)


def heard_of(snapshot: Snapshot) -> Mapping[Ref, Sequence[Evidence]]:
    """By workload that asks the cluster's DNS, the lines in which it says that a Service is not found."""
    return {each.ref: lines for each in _asking(snapshot) if (lines := not_found(each, snapshot))}


def _asking(snapshot: Snapshot) -> Sequence[Deployment]:
    elsewhere = astray(snapshot)
    return [each for each in snapshot.deployments if each.spec.replicas and each.ref not in elsewhere]


def harmed_without_names(snapshot: Snapshot) -> Sequence[Ref]:
    """Who calls others by name in vain, and whom they do not reach: there the requests are counted as failed."""
    found: set[Ref] = set()
    for caller in _asking(snapshot):
        called = called_by_name(caller, snapshot)
        if called and (failing_ratio(caller, snapshot) or any(errs(each, snapshot) for each in called)):
            found |= {caller.ref, *(behind.ref for each in called for behind in snapshot.workloads_behind(each))}
    return sorted(found)


def _serves(zone: str, domain: str) -> bool:
    """Whether names of the domain are in the zone; the root has them all."""
    return not zone or domain == zone or domain.endswith(f".{zone}")
