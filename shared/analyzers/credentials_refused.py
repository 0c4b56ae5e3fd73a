"""A user and password that are not taken."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from shared.analyzers.crash_loop import AFTER_A_CHANGE
from shared.analyzers.evidence import heard, measured, seen
from shared.analyzers.pods import current_pods
from shared.analyzers.suspects import failing_ratio
from shared.domain.cause import CauseCode, Evidence, Finding
from shared.domain.frozen import Json
from shared.domain.objects import Deployment, ReplicaSet, Templated
from shared.domain.path import join
from shared.domain.revisions import current_revision, known_good, rolled_out_at
from shared.domain.snapshot import Snapshot

_REFUSED: Final = re.compile(
    r"\b401\b.{0,40}unauthori[sz]ed|unauthori[sz]ed.{0,40}\b401\b"
    r"|(password )?authentication (failed|failure|error)|access denied for user|login failed for user"
    r"|(wrong|invalid|incorrect) (user ?(name)?|password|credentials?|login)"
    r"|WRONGPASS|NOAUTH|ACCESS_REFUSED|ORA-01017|SASL authentication|bad (user ?name|password|credentials)",
    re.IGNORECASE,
)
"""What clients of PostgreSQL, MySQL, SQL Server, Oracle, Redis, MongoDB, Kafka, RabbitMQ and HTTP services log."""
_HARMLESS: Final = re.compile(
    r"^\W*(\S+\s+){0,2}\W*(DEBUG|INFO|TRACE)\b|\blevel=(debug|info|trace)\b|\"level\":\s*\"(debug|info)"
)
"""An access log tells of its callers' mistakes in the same words."""
_CREDENTIAL: Final = re.compile(r"passw|secret|token|cred|user|login|auth|api_?key|access_?key|dsn", re.IGNORECASE)
_SIGNS_IN: Final = re.compile(r"://[^/\s@]+@")


class _Line(NamedTuple):
    """A line that says so, as evidence, and as text."""

    evidence: Evidence
    text: str


def credentials_refused(snapshot: Snapshot) -> Iterator[Finding]:
    """A Deployment whose requests fail, while its log says that what it calls does not let it in.

    Its log alone names no culprit: with a rollout of the last hour that changed what it signs in with, that is it.
    """
    for deployment in snapshot.deployments:
        lines = list(_refusals(deployment, snapshot))
        failing = failing_ratio(deployment, snapshot)
        if lines and (failing or deployment.status.available_replicas < deployment.spec.replicas):
            yield _finding(deployment, lines, failing, snapshot)


def _refusals(deployment: Deployment, snapshot: Snapshot) -> Iterator[_Line]:
    for pod in current_pods(deployment, snapshot):
        for container, line in snapshot.lines_of(pod):
            if _REFUSED.search(line) and not _HARMLESS.search(line):
                yield _Line(heard(pod, container, line), line)


def _finding(deployment: Deployment, lines: Sequence[_Line], failing: float, snapshot: Snapshot) -> Finding:
    good = _before_the_change(deployment, snapshot)
    changed = [] if good is None else _changed(deployment, good)
    return Finding(
        code=CauseCode.CREDENTIALS_REFUSED,
        object=deployment.ref,
        evidence=(
            *(line.evidence for line in lines[-3:]),
            *(seen(deployment, path, f"changed since revision {good.revision}") for path in changed[:3] if good),
            *(
                (measured(f"requests to {deployment.ref}", f"{failing:.0%} of the recent ones failed"),)
                if failing
                else ()
            ),
        ),
        summary=f"what {deployment.ref} calls refuses its credentials"
        + (f", which changed since revision {good.revision}" if good is not None else ""),
        confidence=0.9 if good is not None else 0.6,
        remedy={} if good is None else {"revision": good.revision},
    )


def _before_the_change(deployment: Deployment, snapshot: Snapshot) -> ReplicaSet | None:
    current = current_revision(deployment, snapshot)
    since = None if current is None else rolled_out_at(current, snapshot)
    if since is None or snapshot.taken_at - since > AFTER_A_CHANGE:
        return None
    return known_good(deployment, snapshot, lambda made: bool(_changed(deployment, made)))


def _changed(deployment: Deployment, made: ReplicaSet) -> Sequence[str]:
    """The paths of what it signs in with that another revision has otherwise."""
    now, then = _credentials(deployment), _credentials(made)
    return sorted(path for path in now.keys() | then.keys() if now.get(path) != then.get(path))


def _credentials(of: Templated) -> Mapping[str, Json]:
    """By path: the variables that a name or an address gives away, and what comes from Secrets as a whole."""
    spec = of.written_template.get("spec")
    containers = spec.get("containers") if isinstance(spec, dict) else None
    found: dict[str, Json] = {}
    for container in containers if isinstance(containers, list) else []:
        if isinstance(container, dict):
            place = join("spec", "template", "spec", "containers", str(container.get("name")))
            found[f"{place}/envFrom"] = container.get("envFrom")
            env = container.get("env")
            for variable in env if isinstance(env, list) else []:
                if isinstance(variable, dict) and _is_credential(variable):
                    found[f"{place}/env{join(str(variable.get('name')))}"] = variable
    return found


def _is_credential(variable: Mapping[str, Json]) -> bool:
    named = _CREDENTIAL.search(str(variable.get("name", "")))
    source = variable.get("valueFrom")
    from_secret = isinstance(source, dict) and "secretKeyRef" in source
    return bool(named) or from_secret or bool(_SIGNS_IN.search(str(variable.get("value", ""))))
