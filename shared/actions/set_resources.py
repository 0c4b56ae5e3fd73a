"""Give a container of a Deployment other resources."""

from typing import Self

from pydantic import model_validator

from shared.actions.action import NotApplicable, action, patch, rolling
from shared.domain.change import Change, difference
from shared.domain.cluster import Kind, Ref
from shared.domain.frozen import Frozen, Json, JsonObject
from shared.domain.objects import Deployment
from shared.domain.snapshot import Snapshot


class SetResources(Frozen):
    """Either those that an earlier revision had, or the ones given."""

    deployment: Ref
    container: str
    revision: int | None = None
    resources: JsonObject | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.revision is None) == (self.resources is None):
            raise ValueError("exactly one of `revision` and `resources` says which resources")
        return self


@action("deployment.set-resources", params=SetResources, writes=[Kind.DEPLOYMENT])
def set_resources(params: SetResources, snapshot: Snapshot) -> list[Change]:
    """Put a container's limits and requests back to an earlier revision's, or to given ones."""
    deployment = rolling(params.deployment, snapshot)
    path = f"/spec/template/spec/containers/{params.container}"
    now = deployment.object.at(path)
    if not isinstance(now, dict):
        raise NotApplicable(f"{deployment.ref} has no container {params.container!r}")
    wanted = params.resources if params.resources is not None else _earlier(deployment, params, snapshot)
    edits = difference(
        _resources(now.get("resources")), _resources(wanted), "spec", "template", "spec", "containers", params.container
    )
    return patch(deployment.object, edits, "has those resources already")


def _resources(value: Json) -> JsonObject:
    return {} if value is None else {"resources": value}


def _earlier(deployment: Deployment, params: SetResources, snapshot: Snapshot) -> Json:
    for made in snapshot.revisions_of(deployment):
        if made.revision == params.revision:
            container = made.object.at(f"/spec/template/spec/containers/{params.container}")
            if isinstance(container, dict):
                return container.get("resources")
    raise NotApplicable(f"{deployment.ref} has no revision {params.revision} with a container {params.container!r}")
