"""A NetworkPolicy that keeps a caller from whom it calls."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from shared.analyzers.evidence import at, measured, seen
from shared.analyzers.shut_out import Direction, ShutOut, shut_out, written
from shared.analyzers.suspects import failing_ratio
from shared.domain.cause import CauseCode, Evidence, Finding
from shared.domain.cluster import Ref
from shared.domain.snapshot import Snapshot

_LABELS: Final = "/spec/template/metadata/labels"


def network_policy_blocks(snapshot: Snapshot) -> Iterator[Finding]:
    """A NetworkPolicy that lets through none of the pods of a workload to the pods that it calls, while requests fail.

    Whether they may speak with each other is for who closed it to say: there is no remedy.
    """
    found: dict[tuple[Ref, Ref], list[ShutOut]] = {}
    for each in shut_out(snapshot):
        found.setdefault((each.policy.ref, each.callee.ref), []).append(each)
    policies: Mapping[Ref, list[ShutOut]] = {
        policy: [each for (blamed, _), all_ in found.items() if blamed == policy for each in all_]
        for policy, _ in found
    }
    for (policy, callee), kept in found.items():
        yield _finding(callee, kept, policies[policy], snapshot)


def _finding(callee: Ref, here: Sequence[ShutOut], everywhere: Sequence[ShutOut], snapshot: Snapshot) -> Finding:
    policy, since = here[0].policy, written(here[0].policy)
    lately = since is not None and since.lately(snapshot)
    return Finding(
        code=CauseCode.NETWORK_POLICY_BLOCKS,
        object=policy.ref,
        evidence=(
            at(policy, "/spec/ingress" if here[0].direction is Direction.INGRESS else "/spec/egress"),
            *((seen(policy, "/spec", str(since)),) if since is not None else ()),
            *(at(view, _LABELS) for view in (here[0].callee, *(each.caller for each in here[:3]))),
            *_measured(here, snapshot),
        ),
        summary=f"{policy.ref} keeps {'; '.join(_said(everywhere))}",
        confidence=0.9 if lately else 0.6,
        harms=callee,
    )


def _said(all_: Sequence[ShutOut]) -> Sequence[str]:
    """Who is kept from whom, a phrase for each callee."""
    kept: dict[tuple[Ref, tuple[int, ...]], list[str]] = {}
    for each in all_:
        kept.setdefault((each.callee.ref, tuple(each.ports)), []).append(str(each.caller.ref))
    return [
        f"{', '.join(sorted(callers))} from {callee}" + (f" at port {', '.join(map(str, ports))}" if ports else "")
        for (callee, ports), callers in sorted(kept.items())
    ]


def _measured(here: Sequence[ShutOut], snapshot: Snapshot) -> Iterator[Evidence]:
    for view in {each.ref: each for one in here for each in (one.callee, one.caller)}.values():
        if failing := failing_ratio(view, snapshot):
            yield measured(f"requests to {view.ref}", f"{failing:.0%} of the recent ones failed")
