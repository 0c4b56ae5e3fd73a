"""One request to the Kubernetes API, sent again for as long as that helps and can do no harm.

What is safe to send again: a read; a request that was turned away before it was looked at (429: overloaded, 401: our
token ran out). A write that the server failed on, or that it never answered, may have been carried out: that is
`Unanswered`, and only a look at the object tells.
"""

import asyncio
import gc
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

import aiohttp
from kubernetes.aio.client import ApiException, Configuration
from kubernetes.aio.config import ConfigException
from pydantic_core import from_json

from shared.adapters.kubernetes_errors import Busy, Unanswered, Unauthenticated, translated
from shared.domain.errors import ClusterUnavailable, PrimumError

Send = Callable[[], Awaitable[Any]]
SignIn = Callable[[], Awaitable[Configuration]]
FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 2.0
_SERVER_ERROR: Final = 500


class Requests:
    """Sends, with one deadline over everything that one request takes, waiting and sending again included."""

    def __init__(self, configuration: Configuration, sign_in: SignIn, timeout_s: float) -> None:
        self._configuration = configuration
        self._sign_in = sign_in
        self._signing_in = asyncio.Lock()
        self.timeout_s = timeout_s

    async def ask(self, asked: str, send: Send, *, expected: str, repeatable: bool = True) -> dict[str, Any]:
        """Return the body of the answer, of kind `expected`. `asked` is the verb and the resource, for messages.

        Raises what `translated` says, ClusterUnavailable without an answer in time, and Unanswered for a write (not
        `repeatable`) that may have been carried out.
        """
        body = await self._answer(
            asked, partial(_once, parsed, asked, send, repeatable=repeatable), repeatable=repeatable
        )
        if not isinstance(body, dict) or body.get("kind") != expected:
            raise ClusterUnavailable(f"{asked}: the answer is no {expected}; is this a Kubernetes API?")
        return body

    async def text(self, asked: str, send: Send) -> str:
        """Return the body of an answer that is plain text; what is no UTF-8 in it is replaced. Raises as `ask` does."""
        answer: str = await self._answer(asked, partial(_once, _decoded, asked, send, repeatable=True), repeatable=True)
        return answer

    async def _answer(self, asked: str, once: Callable[[], Awaitable[Any]], *, repeatable: bool) -> Any:
        ends_s = asyncio.get_running_loop().time() + self.timeout_s
        so_far: list[Busy] = []
        try:
            async with asyncio.timeout_at(ends_s):  # also over a sign-in plugin that hangs
                return await self._until_answered(once, ends_s, so_far)
        except TimeoutError as error:
            if so_far and repeatable:
                raise so_far[-1] from error
            said = f"{asked}: no answer within {self.timeout_s:g} s"
            raise (ClusterUnavailable if repeatable else Unanswered)(said) from error

    async def _until_answered(self, once: Callable[[], Awaitable[Any]], ends_s: float, so_far: list[Busy]) -> Any:
        pause_s, signed_in_again = FIRST_PAUSE_S, False
        while True:
            token = self._configuration.api_key.get("BearerToken")
            try:
                return await once()
            except Unauthenticated:
                if signed_in_again:
                    raise
                signed_in_again = True
                await self._sign_in_again(token)
            except Busy as busy:
                so_far.append(busy)
                wait_s = max(pause_s, busy.after_s)
                if asyncio.get_running_loop().time() + wait_s >= ends_s:
                    raise
                await asyncio.sleep(wait_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _sign_in_again(self, refused: str | None) -> None:
        """Read the token anew, unless somebody just did: bound tokens rotate, and their files with them."""
        async with self._signing_in:
            if self._configuration.api_key.get("BearerToken") == refused:
                fresh = await self._sign_in()
                self._configuration.api_key = fresh.api_key
                self._configuration.refresh_api_key_hook = fresh.refresh_api_key_hook


async def _once(read: Callable[[bytes], Any], asked: str, send: Send, *, repeatable: bool) -> Any:
    try:
        return read(await (await send()).read())
    except ApiException as error:
        raise _meant(translated(error, asked), int(error.status or 0), repeatable=repeatable) from error
    except aiohttp.ClientConnectorError as error:  # nobody took it: more often a wrong address than a restart
        raise ClusterUnavailable(f"{asked}: {error}") from error
    except (aiohttp.ClientError, ConnectionError) as error:
        said = f"{asked}: {error or type(error).__name__}"
        raise (Busy if repeatable else Unanswered)(said) from error
    except TimeoutError:  # an OSError, too
        raise
    except (OSError, ValueError, ConfigException) as error:
        raise (ClusterUnavailable if repeatable else Unanswered)(f"{asked}: {error}") from error


def _meant(failure: PrimumError, code: int, *, repeatable: bool) -> PrimumError:
    """A server error says nothing about whether a write was carried out; 429 says that it was not looked at."""
    if isinstance(failure, Busy) and code >= _SERVER_ERROR and not repeatable:
        return Unanswered(str(failure.args[0]), advice=failure.advice)
    return failure


def _decoded(raw: bytes) -> str:
    return raw.decode(errors="replace")


def parsed(raw: bytes) -> Any:
    """Parse JSON with the collector at rest: there are no cycles in it, and collecting was five sixths of the time."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        return from_json(raw)
    finally:
        if collecting:
            gc.enable()
