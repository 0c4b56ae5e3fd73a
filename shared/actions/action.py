"""What an action is: parameters and a snapshot in, changes out; their inverse is derived, never written."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TypeVar

from pydantic import ValidationError

from shared.domain.change import Change, Edit, Patch
from shared.domain.cluster import Kind, Object, Ref
from shared.domain.errors import PrimumError
from shared.domain.frozen import Frozen
from shared.domain.objects import Deployment, Service
from shared.domain.snapshot import Snapshot

P = TypeVar("P", bound=Frozen)


class NotApplicable(PrimumError):  # noqa: N818 - an answer of an action: here it has nothing to do, or must not
    """This action does not fit what it is asked for; the message says why."""


@dataclass(frozen=True)
class Action:
    """One entry of the registry."""

    name: str
    summary: str
    params: type[Frozen]
    writes: frozenset[Kind]
    run: Callable[[Mapping[str, object], Snapshot], list[Change]]
    """Raises NotApplicable, also where the parameters are not what `params` asks for."""


def action(
    name: str, *, params: type[P], writes: Collection[Kind]
) -> Callable[[Callable[[P, Snapshot], list[Change]]], Action]:
    """Make an Action of a function; the first line of its docstring becomes the summary."""

    def made(function: Callable[[P, Snapshot], list[Change]]) -> Action:
        def run(given: Mapping[str, object], snapshot: Snapshot) -> list[Change]:
            try:
                wanted = params.model_validate(given)
            except ValidationError as invalid:
                first = invalid.errors(include_url=False)[0]
                place = ".".join(str(part) for part in first["loc"])
                raise NotApplicable(f"{name} cannot use {place}: {first['msg']}") from invalid
            return function(wanted, snapshot)

        summary = (function.__doc__ or "").strip().splitlines()[0]
        return Action(name=name, summary=summary, params=params, writes=frozenset(writes), run=run)

    return made


def deployment_of(ref: Ref, snapshot: Snapshot) -> Deployment:
    """Raises NotApplicable if it is not there."""
    if (found := snapshot.deployment(ref)) is None:
        raise NotApplicable(f"{ref} is not a Deployment of this cluster")
    return found


def rolling(ref: Ref, snapshot: Snapshot) -> Deployment:
    """A Deployment whose template may be changed. Raises NotApplicable: a paused one would do nothing."""
    found = deployment_of(ref, snapshot)
    if found.spec.paused:
        raise NotApplicable(f"{ref} is paused: it would not roll a new template out")
    return found


def service_of(ref: Ref, snapshot: Snapshot) -> Service:
    """Raises NotApplicable if it is not there."""
    if (found := snapshot.service(ref)) is None:
        raise NotApplicable(f"{ref} is not a Service of this cluster")
    return found


def patch(seen: Object, edits: Collection[Edit | None], already: str) -> list[Change]:
    """Make one patch of the edits that change something. Raises NotApplicable (`already`) where none does."""
    needed = tuple(edit for edit in edits if edit is not None)
    if not needed:
        raise NotApplicable(f"{seen.ref} {already}")
    try:
        return [Patch(ref=seen.ref, edits=needed)]
    except ValidationError as invalid:
        raise NotApplicable(str(invalid.errors(include_url=False)[0]["msg"])) from invalid
