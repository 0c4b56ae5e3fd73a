"""Where a running Primum can be found: files that `primum up` writes beside its data, readable by its user alone."""

import json
import os
import secrets
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ValidationError

from shared.domain.errors import PrimumError

DATA: Final = "PRIMUM_DATA_DIR"
RUNTIME: Final = "PRIMUM_RUNTIME_DIR"
_PRIVATE: Final = 0o600


class GatewayAt(BaseModel):
    """How to reach the gateway."""

    url: str
    token: str


class NatsAt(BaseModel):
    """Where the bus is."""

    url: str


class _Announced(BaseModel):
    """What a service writes of itself."""

    pid: int
    url: str


def announced(folder: Path, service: str, pid: int | None) -> str:
    """Where the service that runs as `pid` says it listens; empty if it has not said so yet."""
    try:
        said = _Announced.model_validate_json((folder / f"service-{service}.json").read_text(encoding="utf-8"))
    except (OSError, ValidationError):  # not yet
        return ""
    return said.url if said.pid == pid else ""


def use(data: Path) -> None:
    """Make this the data folder of this process and of those that it starts."""
    os.environ[DATA] = str(data.expanduser().absolute())


def data_dir() -> Path:
    """The folder of `primum up`: PRIMUM_DATA_DIR, else ~/.primum."""
    return Path(os.environ.get(DATA) or Path.home() / ".primum")


def runtime_dir() -> Path:
    """The folder of these files: PRIMUM_RUNTIME_DIR, else `runtime` in the data folder."""
    return Path(os.environ.get(RUNTIME) or data_dir() / "runtime")


def write(folder: Path, name: str, value: BaseModel) -> None:
    """Put a file there whole, or not at all."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_private(folder / f"{name}.json", value.model_dump_json())


def write_private(path: Path, text: str) -> None:
    """Replace a file by one that only its user may read."""
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE), "w", encoding="utf-8") as file:
        file.write(text)
    fresh.replace(path)


def token_in(data: Path) -> str:
    """The token of this data folder; made at the first start."""
    path = data / "token"
    if not path.exists():
        write_private(path, secrets.token_urlsafe(32))
    return path.read_text(encoding="utf-8").strip()


def gateway() -> GatewayAt:
    """Where the gateway is: PRIMUM_GATEWAY_URL and PRIMUM_TOKEN, else what `primum up` wrote. Raises PrimumError."""
    if url := os.environ.get("PRIMUM_GATEWAY_URL"):
        return GatewayAt(url=url.rstrip("/"), token=os.environ.get("PRIMUM_TOKEN", ""))
    path = runtime_dir() / "gateway.json"
    try:
        return GatewayAt.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError) as error:
        raise not_found(str(runtime_dir())) from error


def nats_url() -> str:
    """Where the bus is: PRIMUM_NATS_URL, else what `primum up` wrote. Raises PrimumError."""
    if url := os.environ.get("PRIMUM_NATS_URL"):
        return url
    path = runtime_dir() / "nats.json"
    try:
        return NatsAt.model_validate_json(path.read_text(encoding="utf-8")).url
    except (OSError, ValidationError) as error:
        raise PrimumError(
            f"no Primum found at {runtime_dir()}", advice="start one with `primum up`, or set PRIMUM_NATS_URL"
        ) from error


def not_found(where: str) -> PrimumError:
    """There is nobody to talk to."""
    return PrimumError(
        f"no Primum found at {where}", advice="start one with `primum up`, or set PRIMUM_GATEWAY_URL and PRIMUM_TOKEN"
    )


def as_json(value: object) -> str:
    """One JSON document, in ASCII: what clusters and alerts say must not steer a terminal."""
    return json.dumps(value, indent=2)
