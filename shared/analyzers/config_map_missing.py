"""A ConfigMap that is not there."""

from collections.abc import Iterator

from shared.analyzers.wanting import Source, not_there
from shared.domain.cause import CauseCode, Finding
from shared.domain.snapshot import Snapshot


def config_map_missing(snapshot: Snapshot) -> Iterator[Finding]:
    """A Deployment whose newest pods cannot start, because a ConfigMap that they need, or a key of it, is not there."""
    return not_there(Source.CONFIG_MAP, CauseCode.CONFIG_MAP_MISSING, snapshot)
