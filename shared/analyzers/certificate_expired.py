"""A certificate that is out of date."""

import re
from collections.abc import Iterator
from typing import Final

from shared.analyzers.addresses import services_in
from shared.analyzers.evidence import heard
from shared.domain.cause import CauseCode, Evidence, Finding
from shared.domain.cluster import Kind, Ref
from shared.domain.snapshot import Snapshot

_EXPIRED: Final = re.compile(
    r"certificate has expired|CERT(IFICATE)?_HAS_EXPIRED|CertificateExpiredException|certificate expired",
    re.IGNORECASE,
)
"""What clients in Go, Python, Node, Java and those on OpenSSL say. Go's own goes on `or is not yet valid`."""
_ADDRESS: Final = re.compile(r"[a-z][a-z0-9+.-]*://[^\s\"'<>]+")


def certificate_expired(snapshot: Snapshot) -> Iterator[Finding]:
    """A Service whose callers write that its certificate has expired.

    Primum reads no Secret, so their word is the evidence; a new certificate is for a person to issue.
    """
    said: dict[Ref, list[Evidence]] = {}
    for pod in snapshot.pods:
        for container, line in snapshot.lines_of(pod):
            if _EXPIRED.search(line):
                for service in _services(line, pod.ref, snapshot):
                    said.setdefault(service, []).append(heard(pod, container, line))
    for service, lines in said.items():
        yield Finding(
            code=CauseCode.CERTIFICATE_EXPIRED,
            object=service,
            evidence=tuple(lines[-3:]),
            summary=f"the certificate of {service} has expired, as those write who call it",
            confidence=0.85,
        )


def _services(line: str, caller: Ref, snapshot: Snapshot) -> Iterator[Ref]:
    """The Services of this cluster whose addresses a line holds."""
    named = {found for address in _ADDRESS.findall(line) for found in services_in(address, caller.namespace)}
    for namespace, name in sorted(named):
        ref = Ref(cluster=caller.cluster, kind=Kind.SERVICE, namespace=namespace, name=name)
        if snapshot.service(ref) is not None:
            yield ref
