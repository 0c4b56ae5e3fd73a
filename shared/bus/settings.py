"""What every service can be told through the environment: `PRIMUM_<NAME>`."""

import sys
from pathlib import Path
from typing import Annotated, Final, Literal, Self, TypeAlias, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

_YEAR_S: Final = 366 * 24 * 3600
Seconds: TypeAlias = Annotated[float, Field(gt=0, le=_YEAR_S, allow_inf_nan=False)]
"""A time that passes: none, not a number or for ever would fail much later, in the middle of an incident."""
_NATS_SCHEMES: Final = ("nats", "tls", "ws", "wss")


def _of_nats(url: str) -> str:
    """Return it, if a NATS can be there: what never can be would be tried for ever. Unsaid: it may hold a password."""
    if not all(_names_a_server(part) for part in url.split(",")):
        raise ValueError("it must be nats://HOST:PORT (or tls, ws, wss), several with commas between")
    return url


def _names_a_server(url: str) -> bool:
    with_scheme = "://" in url
    try:
        parts = urlsplit(url if with_scheme else f"nats://{url}")
        port = parts.port
    except ValueError:  # a port that is no number, half an IPv6 address
        return False
    return parts.scheme in _NATS_SCHEMES and bool(parts.hostname) and (with_scheme or port is not None)


NatsUrl: TypeAlias = Annotated[str, AfterValidator(_of_nats)]


class BusSettings(BaseSettings):
    """What the bus is, and how it keeps what it is told: the operator who sets it up and the services agree on it."""

    model_config = SettingsConfigDict(env_prefix="PRIMUM_", frozen=True, extra="ignore")

    nats_url: NatsUrl = "nats://127.0.0.1:4222"
    nats_timeout_s: Seconds = 5
    nats_replicas: int = Field(default=1, ge=1, le=5)
    """Copies of each stream: 3 in production."""
    ack_wait_s: float = Field(default=30, ge=1, le=_YEAR_S)
    """After so long without a word from us the server gives a message to somebody else. What we hold is renewed."""
    heartbeat_ttl_s: float = Field(default=10, ge=1, le=_YEAR_S)
    """A holder of a transaction that said nothing for so long is dead."""
    activity_ttl_s: float = Field(default=15, ge=1, le=_YEAR_S)


class ServiceSettings(BusSettings):
    """Common to all services; each adds its own. Times are in seconds."""

    cluster: str = Field(default="default", pattern=r"^[A-Za-z0-9_-]{1,64}$")
    """It stands in subjects, so a dot or a star would put its alerts elsewhere."""

    nkey_file: Path | None = None
    """This service's own key: NATS knows it by that, and it signs what it says. `primum up` makes it."""
    keyring: Path | None = None
    """Everybody's public keys: what is not signed by its owner has no effect."""

    host: str = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65535)
    """Of the health endpoints, and of the gateway's API. 0 takes a free one."""
    head_timeout_s: Seconds = 10
    """Between two requests of a connection, and for an answer that its caller does not read; then it is closed."""
    max_connections: int = Field(default=512, ge=1)
    """HTTP connections at once; for one more, the one that waits longest for its next request is closed."""
    runtime_dir: Path | None = None
    """Where the service writes `service-<name>.json` with its pid and URL, if anywhere."""

    sweep_every_s: Seconds = 15
    """Between two looks at all open incidents, whatever messages came or did not."""
    concurrency: int = Field(default=8, ge=1)
    """Incidents that are handled at the same time."""
    grace_s: float = Field(default=10, ge=0, le=_YEAR_S)
    """How long running handlers may finish after SIGTERM."""
    handler_timeout_s: Seconds = 60
    """A handler that takes longer is cancelled: handlers are short, timers stand between them."""
    max_failures: int = Field(default=8, ge=1)
    """Deliveries after which a message whose handler fails by a bug is dead-lettered. Outages never count."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = "json"
    pace: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """How many times faster than a real cluster this one is (the lab): what runbooks say of time is divided by it."""


class ObserverSettings(ServiceSettings):
    """What those add who look at the cluster, and at Prometheus where there is one."""

    kubeconfig: Path | None = None
    """None: what kubectl would use, then the pod's own ServiceAccount."""
    kube_context: str | None = None
    kube_timeout_s: Seconds = 10
    prometheus_url: str = ""
    """Empty: there is none; symptoms are then unknown and judgement is by structure."""
    prometheus_timeout_s: Seconds = 5
    metrics_window_s: Seconds = 60
    """What rates look back over: at least four scrapes."""


class HolderSettings(ObserverSettings):
    """What those add who hold transactions, and say with a heartbeat that they live."""

    heartbeat_every_s: Seconds = 1

    @model_validator(mode="after")
    def _beats_in_time(self) -> Self:
        if self.heartbeat_every_s > self.heartbeat_ttl_s / 2:
            raise ValueError("HEARTBEAT_EVERY_S must be at most half of PRIMUM_HEARTBEAT_TTL_S: one may get lost")
        return self


AnySettings = TypeVar("AnySettings", bound=ServiceSettings)
REFUSED = 2
"""The exit status of a service whose settings can never work."""


def load(kind: type[AnySettings]) -> AnySettings:
    """Read a service's settings from the environment; if they are wrong, say in a line each what, and exit with 2."""
    try:
        return kind()
    except ValidationError as error:
        for problem in error.errors(include_input=False, include_url=False):
            name = "_".join(["PRIMUM", *(str(part) for part in problem["loc"])]).upper()
            sys.stderr.write(f"{name}: {problem['msg']}\n")  # the value stays unsaid: it may be a secret
    except SettingsError as error:
        sys.stderr.write(f'PRIMUM: {error}; lists are JSON, as in ["shop", "billing"]\n')
    sys.exit(REFUSED)
