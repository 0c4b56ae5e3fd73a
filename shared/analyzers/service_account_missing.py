"""A ServiceAccount that is not there."""

import re
from collections.abc import Iterator
from typing import Final

from shared.analyzers.evidence import at
from shared.analyzers.refused_pods import refusal
from shared.domain.cause import CauseCode, Finding
from shared.domain.revisions import known_good, otherwise
from shared.domain.snapshot import Snapshot

_MISSING: Final = re.compile(r'error looking up service account \S+: serviceaccount "(?P<name>[^"]+)" not found')
_ACCOUNT: Final = "/spec/template/spec/serviceAccountName"


def service_account_missing(snapshot: Snapshot) -> Iterator[Finding]:
    """A Deployment whose pods are refused, because the ServiceAccount that they are to run as is not there."""
    for deployment in snapshot.deployments:
        refused = refusal(deployment, snapshot)
        if refused is not None and (matched := _MISSING.search(refused.message)) is not None:
            good = known_good(deployment, snapshot, otherwise(deployment, _ACCOUNT))
            yield Finding(
                code=CauseCode.SERVICE_ACCOUNT_MISSING,
                object=deployment.ref,
                evidence=(*refused.evidence, at(deployment, _ACCOUNT)),
                summary=f"{deployment.ref} is to run as ServiceAccount {matched['name']}, which is not there",
                confidence=0.95,
                remedy={} if good is None else {"revision": good.revision},
            )
