"""Names of Services that those who call them cannot find, in their own words."""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from shared.analyzers.addresses import services_at, services_named
from shared.analyzers.evidence import heard
from shared.analyzers.pods import current_pods
from shared.domain.cause import Evidence
from shared.domain.objects import Deployment, Service
from shared.domain.snapshot import Snapshot

_NOT_FOUND: Final = re.compile(
    r"\blookup \S+?( on \S+)?: "  # Go; what comes behind it is how it failed
    r"|no such host|server misbehaving"
    r"|Name or service not known|Temporary failure in name resolution|Name does not resolve"
    r"|nodename nor servname provided|No address associated with hostname"
    r"|\b(ENOTFOUND|EAI_AGAIN|NXDOMAIN|SERVFAIL)\b"
    r"|UnknownHostException|Could ?n.t resolve host|Failed to resolve|NameResolutionError|bad address",
    re.IGNORECASE,
)
"""What Go, glibc, musl, Node, Java, curl, Python and BusyBox say."""
_HOST: Final = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?", re.IGNORECASE)


def called_by_name(deployment: Deployment, snapshot: Snapshot) -> Sequence[Service]:
    """The Services of others that there are, and that its environment names."""
    named = set(services_named(deployment))
    own = {service.ref for service in snapshot.services_of(deployment)}
    return [
        service
        for service in snapshot.services
        if (service.ref.namespace, service.metadata.name) in named and service.ref not in own
    ]


def not_found(deployment: Deployment, snapshot: Snapshot) -> Sequence[Evidence]:
    """The lines in which its pods of now say that a Service which there is, and which they call, is not found."""
    said = [
        (pod, container, line)
        for pod in current_pods(deployment, snapshot)
        for container, line in snapshot.lines_of(pod)
        if _NOT_FOUND.search(line)
    ]
    if not said:  # of nearly all workloads: whom they call need not be looked up
        return []
    called = {(service.ref.namespace, service.metadata.name) for service in called_by_name(deployment, snapshot)}
    return [heard(*each) for each in said if called & {*_services(each[2], deployment.ref.namespace)}]


def was_heard(deployment: Deployment, snapshot: Snapshot) -> bool:
    """Whether its pods of now wrote anything that was read."""
    return any(True for pod in current_pods(deployment, snapshot) for _ in snapshot.lines_of(pod))


def _services(line: str, namespace: str) -> Iterator[tuple[str, str]]:
    for host in _HOST.findall(line):
        yield from services_at(host.lower(), namespace)
