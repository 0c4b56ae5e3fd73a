"""What pods cannot start without, and where their templates ask for it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from shared.analyzers.evidence import at, seen, told
from shared.analyzers.pods import NOT_STARTED, containers, current_pods
from shared.domain.cause import CauseCode, Evidence, Finding
from shared.domain.objects import Container, Deployment, EnvSource, KeyRef, Pod, PodTemplate, ProjectedSource, WholeRef
from shared.domain.path import join
from shared.domain.revisions import known_good
from shared.domain.snapshot import Snapshot

_CONFIG_ERROR: Final = "CreateContainerConfigError"
_MOUNT_FAILED: Final = "FailedMount"
_MISSING: Final = re.compile(r'\b(?P<source>configmap|secret) "(?P<name>[^"]+)" not found')
_NO_KEY: Final = re.compile(r"couldn't find key (?P<key>\S+) in (?P<source>ConfigMap|Secret) [^/\s]+/(?P<name>\S+)")
"""The kubelet's own words, the same in all versions since 1.6."""


class Source(StrEnum):
    """What a template takes its configuration from."""

    CONFIG_MAP = "configmap"
    SECRET = "secret"  # noqa: S105 - the word for one


class Wanted(NamedTuple):
    """A ConfigMap or a Secret, or one key of it, that a pod asks for."""

    source: Source
    name: str
    key: str = ""

    def __str__(self) -> str:
        kind = "ConfigMap" if self.source is Source.CONFIG_MAP else "Secret"
        return f"key {self.key} of {kind} {self.name}" if self.key else f"{kind} {self.name}"


class Use(NamedTuple):
    """Where a template asks for something."""

    wanted: Wanted
    path: str


def not_there(source: Source, code: CauseCode, snapshot: Snapshot) -> Iterator[Finding]:
    """Yield a finding for each Deployment that wants what is not there.

    The way back is a revision that does without; if none does, what is missing was taken away, and is for a person to
    bring back.
    """
    for deployment in snapshot.deployments:
        wanting: dict[Wanted, list[Evidence]] = {}
        for wanted, evidence in _missing(deployment, snapshot):
            if wanted.source is source:
                wanting.setdefault(wanted, []).append(evidence)
        if wanting:
            yield _finding(deployment, code, wanting, snapshot)


def _finding(
    deployment: Deployment, code: CauseCode, wanting: Mapping[Wanted, Sequence[Evidence]], snapshot: Snapshot
) -> Finding:
    good = known_good(
        deployment, snapshot, lambda made: not any(next(uses(made.spec.template, wanted), None) for wanted in wanting)
    )
    asked_for = [use for wanted in wanting for use in uses(deployment.spec.template, wanted)]
    return Finding(
        code=code,
        object=deployment.ref,
        evidence=(
            *(evidence for said in wanting.values() for evidence in said[:2]),
            *(at(deployment, use.path) for use in asked_for[:3]),
        ),
        summary=f"{deployment.ref} needs {', '.join(map(str, wanting))}, which is not there"
        + (f"; revision {good.revision} does without" if good is not None else ""),
        confidence=0.95,
        remedy={} if good is None else {"revision": good.revision},
    )


def _missing(deployment: Deployment, snapshot: Snapshot) -> Iterator[tuple[Wanted, Evidence]]:
    """Yield what its newest pods cannot start without, in the kubelet's words."""
    for pod in current_pods(deployment, snapshot):
        for found in containers([pod]):
            waiting = found.status.state.waiting
            if waiting is not None and waiting.reason == _CONFIG_ERROR:
                for wanted in _named(waiting.message):
                    yield wanted, seen(pod, f"{found.path}/state/waiting", f"{waiting.reason}: {waiting.message}")
        if pod.waiting_reasons & NOT_STARTED:
            yield from _not_mounted(pod, snapshot)


def _not_mounted(pod: Pod, snapshot: Snapshot) -> Iterator[tuple[Wanted, Evidence]]:
    for event in snapshot.events_about(pod.ref):
        if event.reason == _MOUNT_FAILED:
            for wanted in _named(event.message):
                yield wanted, told(event)


def _named(message: str) -> Iterator[Wanted]:
    for matched in (*_MISSING.finditer(message), *_NO_KEY.finditer(message)):
        yield Wanted(Source(matched["source"].lower()), matched["name"], matched.groupdict().get("key", ""))


def uses(template: PodTemplate, wanted: Wanted) -> Iterator[Use]:
    """Yield the places of a template that ask for it and do not call it optional."""
    for use in _all_uses(template):
        same = (use.wanted.source, use.wanted.name) == (wanted.source, wanted.name)
        if same and wanted.key in ("", use.wanted.key):
            yield use


def _all_uses(template: PodTemplate) -> Iterator[Use]:
    spec = template.spec
    for listed, of_that_kind in (("containers", spec.containers), ("initContainers", spec.init_containers)):
        for container in of_that_kind:
            yield from _of_container(container, join("spec", "template", "spec", listed, container.name))
    for volume in spec.volumes:
        path = join("spec", "template", "spec", "volumes", volume.name)
        for source in (volume, *(volume.projected.sources if volume.projected else ())):
            yield from _of_volume(source, path)


def _of_container(container: Container, path: str) -> Iterator[Use]:
    for variable in container.env:
        if variable.value_from is not None:
            yield from _of_variable(variable.value_from, f"{path}/env{join(variable.name)}")
    for source in container.env_from:
        yield from _whole(Source.CONFIG_MAP, source.config_map_ref, f"{path}/envFrom")
        yield from _whole(Source.SECRET, source.secret_ref, f"{path}/envFrom")


def _of_variable(source: EnvSource, path: str) -> Iterator[Use]:
    yield from _one_key(Source.CONFIG_MAP, source.config_map_key_ref, path)
    yield from _one_key(Source.SECRET, source.secret_key_ref, path)


def _of_volume(source: ProjectedSource, path: str) -> Iterator[Use]:
    yield from _whole(Source.CONFIG_MAP, source.config_map, path)
    yield from _whole(Source.SECRET, source.secret, path)


def _one_key(source: Source, ref: KeyRef | None, path: str) -> Iterator[Use]:
    if ref is not None and not ref.optional:
        yield Use(Wanted(source, ref.name, ref.key), path)


def _whole(source: Source, ref: WholeRef | None, path: str) -> Iterator[Use]:
    if ref is not None and not ref.optional:
        yield Use(Wanted(source, ref.name), path)
