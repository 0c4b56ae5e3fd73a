"""A certificate that is out of date."""

import re
from collections.abc import Iterator
from typing import Final

from shared.analyzers.said import said_of_services
from shared.domain.cause import CauseCode, Finding
from shared.domain.snapshot import Snapshot

_EXPIRED: Final = re.compile(
    r"certificate has expired|CERT(IFICATE)?_HAS_EXPIRED|CertificateExpiredException|certificate expired",
    re.IGNORECASE,
)
"""What clients in Go, Python, Node, Java and those on OpenSSL say. Go's own goes on `or is not yet valid`."""


def certificate_expired(snapshot: Snapshot) -> Iterator[Finding]:
    """A Service whose callers write that its certificate has expired.

    Primum reads no Secret, so their word is the evidence; a new certificate is for a person to issue.
    """
    for service, lines in said_of_services(_EXPIRED, snapshot).items():
        yield Finding(
            code=CauseCode.CERTIFICATE_EXPIRED,
            object=service,
            evidence=tuple(lines[-3:]),
            summary=f"the certificate of {service} has expired, as those write who call it",
            confidence=0.85,
        )
