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
_DISRUPTION_BUDGET: Final = "DisruptionBudget"


class Busy(ClusterUnavailable):
    """No proper answer this time; the server may have said after how long it wants to be asked again."""

    def __init__(self, message: str, *, advice: str = "", after_s: float = 0.0) -> None:
        super().__init__(message, advice=advice)
        self.after_s = after_s


class Unanswered(ClusterUnavailable):
    """A write without a word on its fate: it may have been carried out, or may be yet."""


class Expired(ClusterUnavailable):
    """410: the version that a list or a watch goes on from is compacted away; begin again."""


class Unauthenticated(ClusterForbidden):
    """401: the token is not, or no longer, accepted."""


_MEANS: Final[Mapping[int, type[PrimumError]]] = {
    400: WriteRefused,
    401: Unauthenticated,
    403: ClusterForbidden,
    404: ObjectMissing,
    409: ObjectMoved,
    410: Expired,
    413: WriteRefused,
    415: WriteRefused,
    422: WriteRefused,
}
"""429 and 5xx are Busy, every other answer is ClusterUnavailable: a redirect, a proxy's own word."""


class _Cause(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    reason: str = ""


class _Details(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    causes: tuple[_Cause, ...] = ()


class Status(BaseModel):
    """The body of a refusal (meta/v1 Status), as far as it is read."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    kind: Literal["Status"]
    message: str = ""
    reason: str = ""
    details: _Details = _Details()

    @property
    def of_a_disruption_budget(self) -> bool:
        return any(cause.reason == _DISRUPTION_BUDGET for cause in self.details.causes)


def status_of(error: ApiException) -> Status | None:
    """The Status in the answer's body; None if somebody else answered: a proxy, or the server's overload filter."""
    try:
        return Status.model_validate_json(error.body or "")
    except ValidationError:
        return None


def translated(error: ApiException, asked: str) -> PrimumError:
    """Say what an answer other than 2xx means. `asked` is the verb and the resource: a bare 401 names neither."""
    status, code = status_of(error), int(error.status or 0)
    if status and status.of_a_disruption_budget:
        return WriteRefused(f"{asked}: {status.message}")
    said = (status.message or status.reason) if status else str(error.body or error.reason or "").strip()
    message = f"{asked}: {code} {said[:_SHOWN_CHARACTERS]}".rstrip()
    advice = _advice(code, error.headers)
    if (meant := _MEANS.get(code)) is not None:
        return meant(message, advice=advice)
    if code == 429 or code >= 500:
        return Busy(message, advice=advice, after_s=_after_s(error.headers))
    return ClusterUnavailable(message)


def _advice(code: int, headers: Mapping[str, str] | None) -> str:
    """What to do next; empty where the error's own advice is right."""
    if code == 401:
        return "the API server does not accept these credentials: sign in again, or use another context"
    if code == 429:
        return f"the API server is overloaded; {_when(headers)}"
    return f"the API server is in trouble; {_when(headers)}" if code >= 500 else ""


def _after_s(headers: Mapping[str, str] | None) -> float:
    """How long the server asks us to stay away; 0 if it does not say."""
    after = (headers or {}).get("Retry-After", "")
    return float(after) if after.isdigit() else 0.0


def _when(headers: Mapping[str, str] | None) -> str:
    after_s = _after_s(headers)
    return f"it asks to try again in {after_s:.0f} s" if after_s else "try again soon"
