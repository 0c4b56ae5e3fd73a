"""An admission webhook that cannot be called."""

from collections.abc import Iterator
from itertools import groupby

from shared.analyzers.evidence import seen
from shared.analyzers.failing_webhooks import FailingWebhook, failing_webhooks
from shared.domain.cause import CauseCode, Finding
from shared.domain.cluster import Ref
from shared.domain.snapshot import Snapshot


def webhook_failing(snapshot: Snapshot) -> Iterator[Finding]:
    """A webhook configuration that keeps pods from being made, because nobody answers where it leads.

    Whether a cluster may go without a check that its owners asked for is for them to say: there is no remedy. Where
    configurations may not be read, the workload is named that waits for its pods.
    """
    found = sorted(failing_webhooks(snapshot), key=_at_fault)
    for ref, each in groupby(found, key=_at_fault):
        yield _finding(ref, list(each))


def _at_fault(found: FailingWebhook) -> Ref:
    return found.workload.ref if found.configuration is None else found.configuration.ref


def _finding(at_fault: Ref, found: list[FailingWebhook]) -> Finding:
    first = found[0]
    refused = ", ".join(str(each.workload.ref) for each in found[:5])
    return Finding(
        code=CauseCode.WEBHOOK_FAILING,
        object=at_fault,
        evidence=(
            *(piece for each in found[:3] for piece in each.refused.evidence),
            *((seen(first.configuration, "/webhooks", first.name),) if first.configuration is not None else ()),
        ),
        summary=f"the webhook {first.name} cannot be called, and the pods of {refused} wait for it: {first.why[:200]}",
        confidence=0.95,
    )
