"""What the Kubernetes API says no with, in Primum's words: each answer becomes the error that its reader acts on."""

from collections.abc import Mapping
from typing import Final, Literal

from kubernetes.aio.client import ApiException
from pydantic import BaseModel, ConfigDict, ValidationError

from shared.domain.errors import (
    ClusterForbidden,
    ClusterUnavailable,
    ObjectMissing,
    ObjectMoved,
    PrimumError,
    WriteRefused,
)

_SHOWN_CHARACTERS: Final = 300
_MEANS: Final[Mapping[int, type[PrimumError]]] = {
    400: WriteRefused,
    401: ClusterForbidden,
    403: ClusterForbidden,
    404: ObjectMissing,
    409: ObjectMoved,
    413: WriteRefused,
    415: WriteRefused,
    422: WriteRefused,
}
"""Every other answer is a server in trouble: ClusterUnavailable."""


class Status(BaseModel):
    """The body of a refusal (meta/v1 Status), as far as it is read."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    kind: Literal["Status"]
    message: str = ""
    reason: str = ""


def status_of(error: ApiException) -> Status | None:
    """The Status in the answer's body; None if somebody else answered: a proxy, or the server's overload filter."""
    try:
        return Status.model_validate_json(error.body or "")
    except ValidationError:
        return None


def translated(error: ApiException, asked: str) -> PrimumError:
    """Say what an answer other than 2xx means. `asked` is the verb and the resource: a bare 401 names neither."""
    status, code = status_of(error), int(error.status or 0)
    said = (status.message or status.reason) if status else str(error.body or error.reason or "").strip()
    message = f"{asked}: {code} {said[:_SHOWN_CHARACTERS]}".rstrip()
    return _MEANS.get(code, ClusterUnavailable)(message, advice=_advice(code, error.headers))


def _advice(code: int, headers: Mapping[str, str] | None) -> str:
    """What to do next; empty where the error's own advice is right."""
    if code == 401:
        return "the API server does not accept these credentials: sign in again, or use another context"
    if code == 429:
        return f"the API server is overloaded; {_when(headers)}"
    return f"the API server is in trouble; {_when(headers)}" if code >= 500 else ""


def _when(headers: Mapping[str, str] | None) -> str:
    after = (headers or {}).get("Retry-After", "")
    return f"it asks to try again in {after} s" if after.isdigit() else "try again soon"
