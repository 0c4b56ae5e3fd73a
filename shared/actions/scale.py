"""Run more or fewer replicas of a Deployment."""

from pydantic import Field

from shared.actions.action import action, deployment_of, patch
from shared.domain.change import Change, replace
from shared.domain.cluster import Kind, Ref
from shared.domain.frozen import Frozen
from shared.domain.snapshot import Snapshot


class Scale(Frozen):
    """Never to zero: that would be an outage, and not a remedy of one."""

    deployment: Ref
    replicas: int = Field(ge=1)


@action("deployment.scale", params=Scale, writes=[Kind.DEPLOYMENT])
def scale(params: Scale, snapshot: Snapshot) -> list[Change]:
    """Set how many replicas a Deployment wants."""
    deployment = deployment_of(params.deployment, snapshot)
    edit = replace(deployment.object, "/spec/replicas", params.replicas)
    return patch(deployment.object, [edit], f"wants {params.replicas} replicas already")
