"""What every service can be told through the environment: `PRIMUM_<NAME>`."""

import sys
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict


class ServiceSettings(BaseSettings):
    """Common to all services; each adds its own. Times are in seconds."""

    model_config = SettingsConfigDict(env_prefix="PRIMUM_", frozen=True, extra="ignore")

    cluster: str = "default"
    nats_url: str = "nats://127.0.0.1:4222"
    nats_timeout_s: float = Field(default=5, gt=0)
    nats_replicas: int = Field(default=1, ge=1, le=5)
    """Copies of each stream: 3 in production."""

    host: str = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65535)
    """Of the health endpoints, and of the gateway's API. 0 takes a free one."""
    runtime_dir: Path | None = None
    """Where the service writes `service-<name>.json` with its pid and URL, if anywhere."""

    sweep_every_s: float = Field(default=15, gt=0)
    """Between two looks at all open incidents, whatever messages came or did not."""
    concurrency: int = Field(default=8, ge=1)
    """Incidents, and beside them alerts, that are handled at the same time."""
    grace_s: float = Field(default=10, ge=0)
    """How long running handlers may finish after SIGTERM."""
    ack_wait_s: float = Field(default=30, ge=1)
    """After so long without a word from us the server gives a message to somebody else. What we hold is renewed."""
    handler_timeout_s: float = Field(default=60, gt=0)
    """A handler that takes longer is cancelled: handlers are short, timers stand between them."""
    max_failures: int = Field(default=8, ge=1)
    """Deliveries after which a message whose handler fails by a bug is dead-lettered. Outages never count."""
    heartbeat_ttl_s: float = Field(default=10, ge=1)
    """A holder of a transaction that said nothing for so long is dead."""
    activity_ttl_s: float = Field(default=15, ge=1)

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = "json"
    pace: float = Field(default=1.0, gt=0)
    """How many times faster than a real cluster this one is (the lab): what runbooks say of time is divided by it."""


class ObserverSettings(ServiceSettings):
    """What those add who look at the cluster, and at Prometheus where there is one."""

    kubeconfig: Path | None = None
    """None: what kubectl would use, then the pod's own ServiceAccount."""
    kube_context: str | None = None
    kube_timeout_s: float = Field(default=10, gt=0)
    prometheus_url: str = ""
    """Empty: there is none; symptoms are then unknown and judgement is by structure."""
    prometheus_timeout_s: float = Field(default=5, gt=0)
    metrics_window_s: float = Field(default=60, gt=0)
    """What rates look back over: at least four scrapes."""


AnySettings = TypeVar("AnySettings", bound=ServiceSettings)
REFUSED = 2
"""The exit status of a service whose settings can never work."""


def load(kind: type[AnySettings]) -> AnySettings:
    """Read a service's settings from the environment; if they are wrong, say in a line each what, and exit with 2."""
    try:
        return kind()
    except ValidationError as error:
        for problem in error.errors(include_input=False, include_url=False):
            name = "PRIMUM_" + "_".join(str(part) for part in problem["loc"]).upper()
            sys.stderr.write(f"{name}: {problem['msg']}\n")  # the value stays unsaid: it may be a secret
        sys.exit(REFUSED)
