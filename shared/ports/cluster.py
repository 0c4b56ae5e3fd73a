"""The Kubernetes API, as far as Primum uses it."""

from collections.abc import Collection
from typing import Protocol

from shared.domain.change import Evict, Patch
from shared.domain.cluster import Object, Ref
from shared.domain.ids import ClusterName
from shared.domain.snapshot import Snapshot


class Cluster(Protocol):
    """Reads, and writes that are fenced.

    Every call raises ClusterUnavailable (no answer in time), ClusterForbidden (401, 403) where it applies.
    """

    @property
    def name(self) -> ClusterName: ...

    async def snapshot(self, namespaces: Collection[str] | None = None) -> Snapshot:
        """Read what diagnosis looks at in these namespaces (None: all), the Nodes, and who is asked at admission.

        Deployments, ReplicaSets, Pods, Services, EndpointSlices, Events, ResourceQuotas and NetworkPolicies, each list
        in one consistent read; and the one ConfigMap COREFILE, if there is one.
        `traffic` and `usage` stay empty: they come from metrics.
        """

    async def read(self, ref: Ref) -> Object:
        """Raises ObjectMissing."""

    async def dry_run(self, patch: Patch, seen: Object, mark: str) -> Object:
        """The object as the server would store it, nothing stored.

        Raises ChangeConflict (`seen` is not what the patch was made for), ObjectMoved (409), WriteRefused (422, 400).
        """

    async def write(self, patch: Patch, seen: Object, mark: str) -> Object:
        """Patch on the condition of `seen.resource_version` and every replaced value, and set the label MARK.

        Raises as `dry_run` does.
        """

    async def mark(self, seen: Object, mark: str) -> Object:
        """Set the label MARK on the condition of `seen.resource_version`: the fence that a takeover puts up.

        It always bumps the version. Raises ObjectMoved.
        """

    async def evict(self, evict: Evict) -> None:
        """Evict the pod with exactly that UID; one that is gone already, or replaced, is fine.

        Raises WriteRefused (429: a disruption budget forbids it now).
        """
