"""A Deployment with a past: what it ran before, what it runs now, and since when."""

from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from shared.domain.cluster import Object
from shared.domain.frozen import JsonObject
from shared.testing.manifests import T0, a_deployment, a_pod, a_replica_set, a_template

LONG_AGO: Final = T0 - timedelta(days=1)


class Rollout(NamedTuple):
    """The Deployment and its two revisions; `objects` are all three."""

    deployment: Object
    earlier: Object
    current: Object

    @property
    def objects(self) -> tuple[Object, ...]:
        return tuple(self)

    def pods(self, count: int = 3, *, of_earlier: bool = False, **fields: Any) -> tuple[Object, ...]:
        """Make pods of the current revision, or the earlier one; `fields` are `a_pod`'s."""
        owner = self.earlier if of_earlier else self.current
        named = (f"{owner.ref.name}-{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"[:count])
        return tuple(a_pod(name, owner=owner, **fields) for name in named)


def a_rollout(
    name: str = "cart",
    *,
    before: JsonObject | None = None,
    after: JsonObject | None = None,
    at: datetime = T0 - timedelta(minutes=2),
    replicas: int = 3,
    ready: int | None = None,
) -> Rollout:
    """Make a Deployment that went from one template to another; its image by default."""
    old = before if before is not None else a_template(name, image=f"registry.example/{name}:1")
    new = after if after is not None else a_template(name, image=f"registry.example/{name}:2")
    deployment = a_deployment(name, template=new, replicas=replicas, ready=ready)
    return Rollout(
        deployment=deployment,
        earlier=a_replica_set(deployment, revision=1, replicas=0, template=old, created_at=LONG_AGO),
        current=a_replica_set(deployment, revision=2, created_at=at),
    )
