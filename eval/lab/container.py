"""One container as the kubelet runs it: a small machine of phases, moved by time and by what its image does."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from eval.lab.images import Image
from eval.lab.kinds import Obj

PULL_S: Final = 4.0
PULL_FAILS_S: Final = 1.0
CREATE_S: Final = 2.5
BACKOFF_S: Final = 10.0
BACKOFF_MAX_S: Final = 300.0
BACKOFF_RESET_S: Final = 600.0
CONFIG_RETRY_S: Final = 12.0
MOUNT_BACKOFF_S: Final = 0.5
MOUNT_BACKOFF_MAX_S: Final = 122.0
MEMORY_AT_START_RATIO: Final = 0.3
MEMORY_RAMP_S: Final = 10.0


class Phase(StrEnum):
    """Where a container stands; the values are the waiting reasons that the API shows."""

    CREATING = "ContainerCreating"
    PULLING = "Pulling"
    PULL_FAILED = "ErrImagePull"
    PULL_BACKOFF = "ImagePullBackOff"
    RUNNING = "Running"
    CRASH_BACKOFF = "CrashLoopBackOff"
    CONFIG_ERROR = "CreateContainerConfigError"


@dataclass
class Probe:
    """One probe's own clock and counters."""

    next_s: float = 0.0
    failures: int = 0


@dataclass
class Container:
    """The run state of one container of one pod."""

    name: str
    image_name: str
    memory_limit_mib: float
    cores: float
    spec: Obj
    env: Mapping[str, str]
    phase: Phase = Phase.CREATING
    until_s: float = 0.0
    image: Image | None = None
    started_s: float = 0.0
    started_at: str = ""
    restarts: int = 0
    backoff_s: float = BACKOFF_S
    pull_backoff_s: float = BACKOFF_S
    mount_backoff_s: float = MOUNT_BACKOFF_S
    ready: bool = False
    message: str = ""
    last: Obj | None = None
    cpu_s: float = 0.0
    use_ratio: float = 0.0
    ran_s: float = 0.0
    waited_s: float = 0.0
    """How much of that it had to wait for CPU, as it may not use more."""
    readiness: Probe = field(default_factory=Probe)
    liveness: Probe = field(default_factory=Probe)

    @property
    def running(self) -> bool:
        return self.phase is Phase.RUNNING and self.image is not None

    def listening(self, port: int | None, now_s: float) -> bool:
        """Whether something accepts connections on this port."""
        image = self.image
        return self.running and image is not None and image.port == port and now_s >= self.started_s + image.start_s

    def memory_mib(self, now_s: float) -> float:
        """The working set: it grows from the start to what the image needs under traffic."""
        if not self.running or self.image is None:
            return 0.0
        ramp = min(1.0, (now_s - self.started_s) / MEMORY_RAMP_S)
        return self.image.memory_mib * (MEMORY_AT_START_RATIO + (1 - MEMORY_AT_START_RATIO) * ramp)

    def status(self) -> Obj:
        """The containerStatuses entry."""
        state: Obj
        if self.running:
            state = {"running": {"startedAt": self.started_at}}
        else:
            shown = Phase.CREATING if self.phase is Phase.PULLING else self.phase
            state = {"waiting": {"reason": shown.value}}
            if self.message:
                state["waiting"]["message"] = self.message
        return {
            "name": self.name,
            "image": self.image_name,
            "imageID": "" if self.image is None else f"lab@{self.image_name}",
            "ready": self.ready,
            "started": self.running,
            "restartCount": self.restarts,
            "state": state,
            "lastState": {} if self.last is None else {"terminated": self.last},
        }
