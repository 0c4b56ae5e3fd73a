"""An address under which nobody is."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import NamedTuple

from shared.analyzers.addresses import services_in
from shared.analyzers.evidence import at, measured
from shared.analyzers.suspects import failing_ratio
from shared.domain.cause import CauseCode, Finding
from shared.domain.objects import Deployment, PodTemplate, ReplicaSet
from shared.domain.path import join
from shared.domain.revisions import known_good
from shared.domain.snapshot import Snapshot


class _Variable(NamedTuple):
    container: str
    name: str


def dependency_address_wrong(snapshot: Snapshot) -> Iterator[Finding]:
    """A Deployment that looks for a Service under a name which nobody has, where an earlier revision named one that is.

    A name that never was a Service's may be somebody's outside of the cluster: of that nothing is said.
    """
    there = {(service.ref.namespace, service.metadata.name) for service in snapshot.services}
    seen_in = {namespace for namespace, _ in there}
    for deployment in snapshot.deployments:
        wrong = {
            variable: missing
            for variable, named in _addresses(deployment.spec.template, deployment.ref.namespace).items()
            if (missing := sorted(each for each in named - there if each[0] in seen_in))
        }
        if wrong and _fails(deployment, snapshot):
            good = known_good(deployment, snapshot, partial(_found_all, wrong, there))
            if good is not None:
                yield _finding(deployment, wrong, good, snapshot)


def _addresses(template: PodTemplate, namespace: str) -> Mapping[_Variable, set[tuple[str, str]]]:
    return {
        _Variable(container.name, variable.name): set(services_in(variable.value, namespace))
        for container in template.spec.containers
        for variable in container.env
    }


def _fails(deployment: Deployment, snapshot: Snapshot) -> bool:
    """Whether its requests fail, or nobody measures whether they do."""
    keys = [service.ref.key for service in snapshot.services_of(deployment)]
    return failing_ratio(deployment, snapshot) > 0 or not any(key in snapshot.recent for key in keys)


def _found_all(wrong: Mapping[_Variable, object], there: set[tuple[str, str]], made: ReplicaSet) -> bool:
    """Whether each of these variables named Services that are there."""
    named = _addresses(made.spec.template, made.ref.namespace)
    return all(named.get(variable) and named[variable] <= there for variable in wrong)


def _finding(
    deployment: Deployment, wrong: Mapping[_Variable, list[tuple[str, str]]], good: ReplicaSet, snapshot: Snapshot
) -> Finding:
    paths = [join("spec", "template", "spec", "containers", each.container, "env", each.name) for each in wrong]
    failing = failing_ratio(deployment, snapshot)
    names = sorted({f"{name}.{namespace}" for missing in wrong.values() for namespace, name in missing})
    return Finding(
        code=CauseCode.DEPENDENCY_ADDRESS_WRONG,
        object=deployment.ref,
        evidence=(
            *(at(view, path) for path in paths[:3] for view in (deployment, good)),
            *(
                (measured(f"requests to {deployment.ref}", f"{failing:.0%} of the recent ones failed"),)
                if failing
                else ()
            ),
        ),
        summary=f"{deployment.ref} looks for {', '.join(names)}, which is no Service; "
        f"revision {good.revision} named one that is",
        confidence=0.95,
        remedy={"revision": good.revision},
    )
