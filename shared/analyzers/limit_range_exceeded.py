"""Resources that a LimitRange does not allow."""

import re
from collections.abc import Iterator
from typing import Final

from shared.analyzers.evidence import at
from shared.analyzers.refused_pods import refusal
from shared.domain.cause import CauseCode, Finding
from shared.domain.path import join
from shared.domain.revisions import known_good, otherwise
from shared.domain.snapshot import Snapshot

_REFUSED: Final = re.compile(
    r"(?P<why>(maximum|minimum) \S+ usage per (Container|Pod) is \S+, but .+|\S+ max limit to .+)"
)
"""The LimitRanger's words."""


def limit_range_exceeded(snapshot: Snapshot) -> Iterator[Finding]:
    """A Deployment whose pods are refused, because a LimitRange of its namespace wants other resources of them."""
    for deployment in snapshot.deployments:
        refused = refusal(deployment, snapshot)
        if refused is not None and (matched := _REFUSED.search(refused.message)) is not None:
            names = [container.name for container in deployment.spec.template.spec.containers]
            paths = [join("spec", "template", "spec", "containers", name, "resources") for name in names]
            good = known_good(deployment, snapshot, otherwise(deployment, *paths))
            yield Finding(
                code=CauseCode.LIMIT_RANGE_EXCEEDED,
                object=deployment.ref,
                evidence=(*refused.evidence, *(at(deployment, path) for path in paths[:3])),
                summary=f"a LimitRange refuses the pods of {deployment.ref}: {matched['why']}",
                confidence=0.95,
                remedy={} if good is None else {"revision": good.revision},
            )
