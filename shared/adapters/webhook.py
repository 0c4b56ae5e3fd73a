"""A generic webhook: the port Notifier, by one POST of JSON."""

import asyncio

import httpx

from shared.adapters.loopback import is_loopback, trusted
from shared.domain.errors import PrimumError, Retry
from shared.domain.frozen import JsonObject

_LONGEST_WAIT_S = 300.0


class WebhookNotifier:
    """Delivers to whatever answers 2xx at `url`. Raises PrimumError at once for what is no http(s) URL."""

    def __init__(self, url: str, timeout_s: float) -> None:
        try:
            self._url = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise _invalid(url) from error
        if self._url.scheme not in {"http", "https"} or not self._url.host:
            raise _invalid(url)
        self._timeout_s = timeout_s

    async def notify(self, message: JsonObject) -> None:
        """As the port says; a Retry waits as long as the receiver's Retry-After asks, at most five minutes."""
        url, where = str(self._url), f"the webhook at {self._url.host}"  # the rest of the URL is often a secret
        try:
            async with (
                asyncio.timeout(self._timeout_s),  # of the whole: httpx counts each part of it anew
                httpx.AsyncClient(timeout=None, trust_env=not is_loopback(url), verify=trusted(url)) as http,  # noqa: S113
            ):
                response = await http.post(self._url, json=message)
        except (TimeoutError, httpx.TimeoutException) as error:
            raise Retry(f"{where} did not answer within {self._timeout_s:g} s") from error
        except httpx.HTTPError as error:
            raise Retry(f"{where} cannot be reached ({error})") from error
        if not response.is_success:
            raise Retry(f"{where} answered {response.status_code}", after_s=_wait_s(response))


def _wait_s(response: httpx.Response) -> float:
    said = response.headers.get("retry-after", "")
    return min(float(said), _LONGEST_WAIT_S) if said.isdigit() else 1.0


def _invalid(url: str) -> PrimumError:
    return PrimumError(
        f"{url!r} is no address to notify", advice="PRIMUM_NOTIFY_URL must be an http:// or https:// URL"
    )
