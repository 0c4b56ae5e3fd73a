"""Pods that ask their node for names."""

from collections.abc import Iterator

from shared.analyzers.astray import Astray, astray
from shared.analyzers.evidence import at, measured, seen
from shared.analyzers.names import was_heard
from shared.analyzers.suspects import failing_ratio
from shared.domain.cause import CauseCode, Evidence, Finding
from shared.domain.objects import Deployment
from shared.domain.snapshot import Snapshot

_POLICY = "/spec/template/spec/dnsPolicy"


def dns_policy_wrong(snapshot: Snapshot) -> Iterator[Finding]:
    """A Deployment whose pods do not ask the cluster's DNS, while they call Services by name and requests fail.

    `Default` is not the default: it is the node's own resolver, which knows no Service. The requests that fail are
    counted where they do not arrive, so whom it calls looks ill, too.
    """
    for ref, found in astray(snapshot).items():
        if (deployment := snapshot.deployment(ref)) is not None:
            yield _finding(deployment, found, snapshot)


def _finding(deployment: Deployment, found: Astray, snapshot: Snapshot) -> Finding:
    names = ", ".join(str(service.ref) for service in found.called[:3])
    policy = deployment.spec.template.spec.dns_policy
    return Finding(
        code=CauseCode.DNS_POLICY_WRONG,
        object=deployment.ref,
        evidence=(
            at(deployment, _POLICY),
            *((at(found.good, _POLICY),) if found.good is not None else ()),
            *found.heard[-3:],
            *_measured(deployment, found, snapshot),
        ),
        summary=f"pods of {deployment.ref} do not ask the cluster's DNS (dnsPolicy {policy}), and call {names} by name"
        + (f"; revision {found.good.revision} asked it" if found.good is not None else ""),
        confidence=_confidence(deployment, found, snapshot),
        remedy={} if found.good is None else {"revision": found.good.revision},
    )


def _confidence(deployment: Deployment, found: Astray, snapshot: Snapshot) -> float:
    """Many an application is silent about why it fails."""
    if found.heard:
        return 0.95
    return 0.6 if was_heard(deployment, snapshot) else 0.8


def _measured(deployment: Deployment, found: Astray, snapshot: Snapshot) -> Iterator[Evidence]:
    if failing := failing_ratio(deployment, snapshot):
        yield measured(f"requests to {deployment.ref}", f"{failing:.0%} of the recent ones failed")
    names = [str(service.ref) for service in found.called[:3]]
    yield seen(deployment, "/spec/template/spec/containers", f"its environment names {', '.join(names)}")
