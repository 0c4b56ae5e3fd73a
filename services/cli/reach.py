"""Talking to the gateway: every way in which it can fail becomes one sentence."""

import getpass
import os
from http import HTTPStatus

import httpx

from services.cli import runtime
from shared.adapters.loopback import is_loopback, trusted
from shared.domain.errors import PrimumError
from shared.domain.frozen import JsonObject


class Gateway:
    """One gateway, asked over HTTP. Every call raises PrimumError."""

    def __init__(self, at: runtime.GatewayAt, timeout_s: float) -> None:
        self._at, self._timeout_s = at, timeout_s

    @classmethod
    def find(cls) -> "Gateway":
        return cls(runtime.gateway(), _timeout_s())

    def get(self, path: str, **query: str) -> JsonObject:
        return self._ask("GET", path, None, query)

    def post(self, path: str, body: JsonObject) -> JsonObject:
        return self._ask("POST", path, body, {})

    def _ask(self, method: str, path: str, body: JsonObject | None, query: dict[str, str]) -> JsonObject:
        headers = {"Authorization": f"Bearer {self._at.token}"} if self._at.token else {}
        try:
            url = self._at.url
            with httpx.Client(timeout=self._timeout_s, trust_env=not is_loopback(url), verify=trusted(url)) as http:
                response = http.request(method, self._at.url + path, json=body, params=query, headers=headers)
        except httpx.TimeoutException as error:
            raise PrimumError(
                f"the gateway at {self._at.url} did not answer within {self._timeout_s:g} s", advice="look at its log"
            ) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise runtime.not_found(self._at.url) from error
        return self._understood(response)

    def _understood(self, response: httpx.Response) -> JsonObject:
        try:
            said = response.json()
        except ValueError as error:
            raise self._stranger(response) from error
        if not isinstance(said, dict) or (not response.is_success and "error" not in said):
            raise self._stranger(response)
        if response.status_code == HTTPStatus.UNAUTHORIZED:
            raise PrimumError(str(said["error"]), advice="set PRIMUM_TOKEN to the gateway's token")
        if not response.is_success:
            raise PrimumError(str(said["error"]), advice=str(said.get("advice", "")))
        return said

    def _stranger(self, response: httpx.Response) -> PrimumError:
        return PrimumError(
            f"what answers at {self._at.url} is no gateway of Primum ({response.status_code})",
            advice="correct PRIMUM_GATEWAY_URL",
        )


def me(by: str) -> str:
    """Who orders: the one that was named, else this user."""
    if by:
        return by
    try:
        return getpass.getuser()
    except (KeyError, OSError) as error:  # no such user in a container, and no USER in its environment
        raise PrimumError("who are you?", advice="name yourself with --by") from error


def _timeout_s() -> float:
    said = os.environ.get("PRIMUM_GATEWAY_TIMEOUT_S", "10")
    try:
        return float(said)
    except ValueError as error:
        raise PrimumError(f"{said!r} is no number of seconds", advice="correct PRIMUM_GATEWAY_TIMEOUT_S") from error
