"""A cluster's DNS that does not find the cluster's own Services."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from shared.analyzers.astray import the_clusters_dns
from shared.analyzers.evidence import at, seen
from shared.analyzers.unserved_names import Unserved, heard_of, unserved_names, zones_told
from shared.analyzers.written import last_written
from shared.domain.cause import CauseCode, Evidence, Finding
from shared.domain.cluster import Ref
from shared.domain.objects import Service
from shared.domain.snapshot import Snapshot

_COREFILE: Final = "/data/Corefile"
_LEAST_WORKLOADS: Final = 2
"""One workload that finds no name may be wrong by itself."""


def dns_misconfigured(snapshot: Snapshot) -> Iterator[Finding]:
    """A Corefile without the zone of the cluster's Services, while those who call them by name do not find them.

    Where that is not known, the DNS Service is named for what several workloads say. What it must be again a
    ConfigMap does not remember: a person is told.
    """
    if (found := unserved_names(snapshot)) is not None:
        yield from _of_the_corefile(found)
    elif zones_told(snapshot) is None:
        for service in the_clusters_dns(snapshot):
            heard = heard_of(snapshot)
            if len(heard) >= _LEAST_WORKLOADS:
                yield from _by_hearsay(service, heard)


def _of_the_corefile(found: Unserved) -> Iterator[Finding]:
    written = last_written(found.config, "f:data")
    zones, domains = (", ".join(sorted(each)) for each in (found.zones, found.domains))
    evidence: Sequence[Evidence] = (
        at(found.down, "/status")
        if found.down is not None
        else seen(found.config, _COREFILE, f"zones of Services: {zones or 'none'}"),
        *((seen(found.config, "/data", str(written)),) if written is not None else ()),
        *found.heard[-3:],
    )
    for harmed in found.harmed:
        yield Finding(
            code=CauseCode.DNS_MISCONFIGURED,
            object=found.config.ref,
            evidence=tuple(evidence),
            summary=f"{found.down.ref} does not come up since {found.config.ref} was written"
            if found.down is not None
            else f"{found.config.ref} serves Services under {zones or 'no zone'}, and not under {domains}",
            confidence=_confidence(found),
            harms=harmed,
        )


def _confidence(found: Unserved) -> float:
    if found.down is not None:
        return 0.7
    return 0.95 if found.heard and found.lately else 0.8


def _by_hearsay(service: Service, heard: Mapping[Ref, Sequence[Evidence]]) -> Iterator[Finding]:
    names = ", ".join(str(ref) for ref in sorted(heard))
    for workload in heard:
        yield Finding(
            code=CauseCode.DNS_MISCONFIGURED,
            object=service.ref,
            evidence=tuple(lines[-1] for lines in heard.values())[:5],
            summary=f"{names} do not find Services by name; what the cluster's DNS is told is not known",
            confidence=0.5,
            harms=workload,
        )
