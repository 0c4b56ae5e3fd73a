"""Admission webhooks that do not answer, and whose pods are not let in for it."""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from shared.analyzers.refused_pods import Refusal, refusal
from shared.domain.objects import AdmissionWebhooks, Deployment
from shared.domain.snapshot import Snapshot

_FAILED: Final = re.compile(r'failed calling webhook "(?P<name>[^"]+)": (?P<why>.+)', re.DOTALL)
"""The API server's words for one that it cannot reach; one that says no is another matter."""


class FailingWebhook(NamedTuple):
    """Whose pods the API server refuses, as it cannot call a webhook; without its configuration if none has it."""

    workload: Deployment
    refused: Refusal
    name: str
    why: str
    configuration: AdmissionWebhooks | None


def failing_webhooks(snapshot: Snapshot) -> Sequence[FailingWebhook]:
    """One for each Deployment whose newest pods are refused so now."""
    found = []
    for deployment in snapshot.deployments:
        refused = refusal(deployment, snapshot)
        if refused is not None and (said := _FAILED.search(refused.message)) is not None:
            having = [each for each in snapshot.admission_webhooks if said["name"] in each.names]
            configuration = having[0] if len(having) == 1 else None
            found.append(FailingWebhook(deployment, refused, said["name"], said["why"], configuration))
    return found
