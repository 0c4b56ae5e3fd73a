"""What a pod's statuses say: stuck, crashing, killed, hanging."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Final, NamedTuple

from shared.domain.objects import ContainerStatus, Deployment, Event, Pod, Terminated
from shared.domain.revisions import current_revision
from shared.domain.snapshot import Snapshot

IMAGE_PULL: Final = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
CRASH_LOOP: Final = "CrashLoopBackOff"
NEVER_RAN: Final = IMAGE_PULL | {"CreateContainerConfigError"}
"""Reasons to wait for what a process cannot be started without."""
STUCK: Final = NEVER_RAN | {CRASH_LOOP, "CreateContainerError", "RunContainerError"}
"""Reasons to wait that do not pass by themselves."""
NOT_STARTED: Final = frozenset({"ContainerCreating", "PodInitializing"})
"""Reasons to wait of a container that waits for what its pod is made of; most pass within seconds."""
STARTING: Final = timedelta(seconds=30)
"""A pod younger than this does not hang: it may not listen yet."""
_PROBED_WITHIN: Final = timedelta(minutes=10)
"""A kubelet that repeats an event 25 times tells of it every five minutes only."""


class ContainerSeen(NamedTuple):
    """The status of one container of a pod, and where it stands in the pod's body."""

    pod: Pod
    status: ContainerStatus
    path: str

    @property
    def last_end(self) -> tuple[Terminated, str] | None:
        """How it ended the last time, and where that stands."""
        if self.status.state.terminated is not None:
            return self.status.state.terminated, f"{self.path}/state/terminated"
        if self.status.last_state.terminated is not None:
            return self.status.last_state.terminated, f"{self.path}/lastState/terminated"
        return None


def containers(pods: Sequence[Pod]) -> Iterator[ContainerSeen]:
    """Every container that a status speaks of, also those that run before the others."""
    for pod in pods:
        for status in pod.status.init_container_statuses:
            yield ContainerSeen(pod, status, f"/status/initContainerStatuses/{status.name}")
        for status in pod.status.container_statuses:
            yield ContainerSeen(pod, status, f"/status/containerStatuses/{status.name}")


def current_pods(deployment: Deployment, snapshot: Snapshot) -> Sequence[Pod]:
    """The pods of the template that the Deployment has now, without those on their way out."""
    current = current_revision(deployment, snapshot)
    return [] if current is None else live(snapshot.pods_of_revision(current))


def live(pods: Sequence[Pod]) -> Sequence[Pod]:
    """Without pods that are being deleted or have finished."""
    return [
        pod
        for pod in pods
        if pod.metadata.deletion_timestamp is None and pod.status.phase not in {"Succeeded", "Failed"}
    ]


def runs_unready(pod: Pod) -> bool:
    """Whether its containers run, and yet it is not ready."""
    statuses = pod.status.container_statuses
    return not pod.ready and bool(statuses) and all(status.state.running is not None for status in statuses)


def starting(pod: Pod, snapshot: Snapshot) -> bool:
    """Whether it is too young for anything to be said of it."""
    made = pod.metadata.creation_timestamp
    return made is not None and snapshot.taken_at - made <= STARTING


def probe_failures(which: str, pod: Pod, snapshot: Snapshot) -> Sequence[Event]:
    """What the kubelet said lately of its `Readiness` or `Liveness` probes, the newest last."""
    said = [
        (at, event)
        for event in snapshot.events_about(pod.ref)
        if event.reason == "Unhealthy"
        and event.message.startswith(f"{which} probe")
        and (at := event.at) is not None
        and snapshot.taken_at - at <= _PROBED_WITHIN
    ]
    return [event for _, event in sorted(said, key=lambda each: each[0])]
