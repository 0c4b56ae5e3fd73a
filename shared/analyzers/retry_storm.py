"""A caller that asks again and again, until what it calls does nothing else."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from shared.analyzers.callers import Changed, callers, changed_callers
from shared.analyzers.evidence import at, measured
from shared.analyzers.unhealthy import Unwell, unwell
from shared.domain.cause import CauseCode, Evidence, Finding
from shared.domain.objects import Deployment, PodTemplate, Service
from shared.domain.path import join
from shared.domain.snapshot import Snapshot

_PATIENCE: Final = re.compile(r"time_?out|deadline|back_?off|delay|interval|wait|pause", re.IGNORECASE)
_ATTEMPTS: Final = re.compile(r"retry|retries|attempts", re.IGNORECASE)
"""How settings are called that say how long a caller waits, and how often it asks again."""
_AMOUNT: Final = re.compile(r"(?P<number>\d{1,12}(\.\d{1,6})?) ?(?P<unit>ms|s|m)?")
_MS: Final[Mapping[str | None, float]] = {None: 1.0, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


class _Setting(NamedTuple):
    container: str
    name: str

    @property
    def path(self) -> str:
        return join("spec", "template", "spec", "containers", self.container, "env", self.name)


def retry_storm(snapshot: Snapshot) -> Iterator[Finding]:
    """A service that cannot keep up, and the one caller that a rollout of the last hour made ask it more often.

    What suffers was not changed, and sees no more users than before. A caller is suspected for its settings alone, of
    which one says that it tries more often: a release beside a load is none.
    """
    hasty = [
        (service, *hastier[0])
        for service in snapshot.services
        if len(snapshot.workloads_behind(service)) == 1 and len(hastier := _hastier(service, snapshot)) == 1
    ]
    said = unwell(snapshot) if hasty else {}
    for service, changed, settings in hasty:
        (callee,) = snapshot.workloads_behind(service)
        suffering = next((said[ref] for ref in (callee.ref, service.ref) if ref in said), None)
        if suffering is not None and not suffering.structural:
            yield _finding(changed, settings, callee, suffering, _multiplied(service, snapshot))


def _hastier(service: Service, snapshot: Snapshot) -> Sequence[tuple[Changed, Sequence[_Setting]]]:
    return [(each, settings) for each in changed_callers(service, snapshot) if (settings := _made_hastier(each))]


def _made_hastier(changed: Changed) -> Sequence[_Setting]:
    """What makes it hastier than it was, how often it asks again first; nothing unless that is among it."""
    now, before = (_amounts(view.spec.template) for view in changed)
    more = [each for each in now if _asks_again(each) and now[each] > before.get(each, 0.0)]
    sooner = [each for each in now if not _asks_again(each) and now[each] < before.get(each, now[each])]
    return [*more, *sooner] if more else []


def _asks_again(setting: _Setting) -> bool:
    return _PATIENCE.search(setting.name) is None


def _amounts(template: PodTemplate) -> Mapping[_Setting, float]:
    """The settings of either sort that are a number; what is a time, in milliseconds."""
    return {
        _Setting(container.name, variable.name): float(found["number"]) * _MS[found["unit"]]
        for container in template.spec.containers
        for variable in container.env
        if _PATIENCE.search(variable.name) or _ATTEMPTS.search(variable.name)
        if (found := _AMOUNT.fullmatch(variable.value.strip())) is not None
    }


def _multiplied(service: Service, snapshot: Snapshot) -> Iterator[Evidence]:
    """How many requests it gets for those that all of its callers get."""
    above = [front for caller in callers(service, snapshot) for front in snapshot.services_of(caller)]
    counted = [snapshot.recent.get(each.ref.key) for each in (service, *above)]
    got, *asked = [each.requests for each in counted if each is not None]
    if len(asked) == len(above):
        yield measured(f"requests to {service.ref}", f"{got:.0f} lately, and {sum(asked):.0f} to all who call it")


def _finding(
    changed: Changed, settings: Sequence[_Setting], callee: Deployment, suffering: Unwell, more: Iterator[Evidence]
) -> Finding:
    caller, before = changed
    names = ", ".join(setting.name for setting in settings)
    return Finding(
        code=CauseCode.RETRY_STORM,
        object=caller.ref,
        evidence=(*(at(view, setting.path) for setting in settings[:3] for view in changed), *more),
        summary=f"{caller.ref} asks {callee.ref} again and again: {suffering.why}; "
        f"{names} changed (revision {before.revision} differs)",
        confidence=0.85,
        remedy={"revision": before.revision},
        harms=callee.ref,
    )
