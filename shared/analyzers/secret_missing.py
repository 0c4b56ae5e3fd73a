"""A Secret that is not there; known from what the kubelet says, for nobody but it may read Secrets."""

from collections.abc import Iterator

from shared.analyzers.wanting import Source, not_there
from shared.domain.cause import CauseCode, Finding
from shared.domain.snapshot import Snapshot


def secret_missing(snapshot: Snapshot) -> Iterator[Finding]:
    """A Deployment whose newest pods cannot start, because a Secret that they need, or a key of it, is not there."""
    return not_there(Source.SECRET, CauseCode.SECRET_MISSING, snapshot)
