"""Who may speak to the gateway: a bearer of the token, or, where there is no token, whoever is on this machine."""

import hmac
import ipaddress

from starlette.requests import Request

from services.gateway.answers import Problem
from shared.domain.errors import PrimumError


class Unprotected(PrimumError):  # noqa: N818 - named for what is wrong, as the domain's errors are
    """The gateway would listen where strangers are, with nothing to tell them from friends."""

    advice = "set PRIMUM_TOKEN, or bind to loopback with PRIMUM_HOST=127.0.0.1"


def check_binding(host: str, token: str) -> None:
    """Raises Unprotected if `host` can be reached from other machines and there is no token."""
    if not token and not _is_loopback(host):
        raise Unprotected(f"without a token the gateway does not listen on {host or 'all addresses'}")


def check_bearer(request: Request, token: str) -> None:
    """Raises Problem (401) unless the request bears the token. Without a token everybody may."""
    if not token:
        return
    scheme, _, said = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not said:
        raise Problem(401, "this call bears no token", "send the header `Authorization: Bearer <PRIMUM_TOKEN>`")
    if not hmac.compare_digest(said.strip().encode(), token.encode()):
        raise Problem(401, "this call bears a wrong token", "compare it with the gateway's PRIMUM_TOKEN")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
