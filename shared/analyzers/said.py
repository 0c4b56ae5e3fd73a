"""What callers write of the Services that they call."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from shared.analyzers.addresses import services_in
from shared.analyzers.evidence import heard
from shared.domain.cause import Evidence
from shared.domain.cluster import Kind, Ref
from shared.domain.snapshot import Snapshot

_ADDRESS: Final = re.compile(r"[a-z][a-z0-9+.-]*://[^\s\"'<>]+")


def said_of_services(pattern: re.Pattern[str], snapshot: Snapshot) -> Mapping[Ref, Sequence[Evidence]]:
    """By Service of this cluster, the lines in which such words stand beside its address."""
    said: dict[Ref, list[Evidence]] = {}
    for pod in snapshot.pods:
        for container, line in snapshot.lines_of(pod):
            if pattern.search(line):
                for service in _services(line, pod.ref, snapshot):
                    said.setdefault(service, []).append(heard(pod, container, line))
    return said


def _services(line: str, caller: Ref, snapshot: Snapshot) -> Iterator[Ref]:
    named = {found for address in _ADDRESS.findall(line) for found in services_in(address, caller.namespace)}
    for namespace, name in sorted(named):
        ref = Ref(cluster=caller.cluster, kind=Kind.SERVICE, namespace=namespace, name=name)
        if snapshot.service(ref) is not None:
            yield ref
