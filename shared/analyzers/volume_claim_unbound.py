"""A PersistentVolumeClaim that nothing binds."""

from collections.abc import Iterator
from typing import Final

from shared.analyzers.volume_claims import claims, waiting_for, without_these_claims
from shared.domain.cause import CauseCode, Finding
from shared.domain.snapshot import Snapshot

_WORDS: Final = "unbound immediate PersistentVolumeClaims"


def volume_claim_unbound(snapshot: Snapshot) -> Iterator[Finding]:
    """A Deployment whose newest pods find no node, because nothing provides the volume that their claim asks for."""
    for deployment in snapshot.deployments:
        if evidence := waiting_for(_WORDS, deployment, snapshot):
            good = without_these_claims(deployment, snapshot)
            named = ", ".join(sorted(claims(deployment.spec.template)))
            yield Finding(
                code=CauseCode.VOLUME_CLAIM_UNBOUND,
                object=deployment.ref,
                evidence=tuple(evidence),
                summary=f"{deployment.ref} waits for a volume that nothing provides to its claim ({named})",
                confidence=0.95,
                remedy={} if good is None else {"revision": good.revision},
            )
