"""A PersistentVolumeClaim that is not there."""

from collections.abc import Iterator
from typing import Final

from shared.analyzers.volume_claims import claims, waiting_for, without_these_claims
from shared.domain.cause import CauseCode, Finding
from shared.domain.snapshot import Snapshot

_WORDS: Final = 'persistentvolumeclaim "'


def volume_claim_missing(snapshot: Snapshot) -> Iterator[Finding]:
    """A Deployment whose newest pods find no node, because a PersistentVolumeClaim that they mount is not there."""
    for deployment in snapshot.deployments:
        if evidence := waiting_for(_WORDS, deployment, snapshot):
            good = without_these_claims(deployment, snapshot)
            named = ", ".join(sorted(claims(deployment.spec.template)))
            yield Finding(
                code=CauseCode.VOLUME_CLAIM_MISSING,
                object=deployment.ref,
                evidence=tuple(evidence),
                summary=f"{deployment.ref} wants a PersistentVolumeClaim that is not there ({named})",
                confidence=0.95,
                remedy={} if good is None else {"revision": good.revision},
            )
