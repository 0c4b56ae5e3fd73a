"""Answers over HTTP: a problem says what is wrong and what to do, and 503 is the only one that asks to come again."""

from collections.abc import Mapping

from starlette.responses import JSONResponse

from shared.domain.errors import PrimumError
from shared.domain.frozen import JsonObject


class Problem(PrimumError):  # noqa: N818 - the term of the field (RFC 9457)
    """An answer that is not a success."""

    def __init__(
        self, status: int, error: str, advice: str = "", *, more: JsonObject | None = None, reason: str = ""
    ) -> None:
        super().__init__(error, advice=advice)
        self.status, self.error, self.more = status, error, more or {}
        self.reason = reason or _REASONS.get(status, "other")
        """One word for the metric of refused calls."""

    def answer(self) -> JSONResponse:
        return JSONResponse(
            {"error": self.error, "advice": self.advice, **self.more}, self.status, headers=_HEADERS.get(self.status)
        )


_REASONS: Mapping[int, str] = {
    400: "invalid",
    401: "unauthorised",
    404: "unknown",
    408: "slow",
    409: "out-of-place",
    413: "too-large",
    503: "not-stored",
}
_HEADERS: Mapping[int, Mapping[str, str]] = {
    401: {"WWW-Authenticate": "Bearer"},
    408: {"Connection": "close"},
    413: {"Connection": "close"},
    503: {"Retry-After": "1"},  # never 429: Alertmanager gives up on it
}


def not_stored(error: PrimumError) -> Problem:
    """The answer when the ledger did not answer."""
    return Problem(503, error.args[0], f"send it again in a second; {error.advice}")
