"""The connection to NATS: a service's own, which never gives up, and a short one for commands."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final, NamedTuple
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

import nats.errors
from nats.aio.client import DEFAULT_INBOX_PREFIX, Client
from nats.js.errors import ServiceUnavailableError

from shared.adapters.nkey import Key
from shared.domain.errors import LedgerUnavailable

_FOR_EVER: Final = -1
"""nats-py stops after 60 attempts by default, and then stands there, alive and useless."""
_RETRY_EVERY_S: Final = 0.5
_PING_EVERY_S: Final = 10
"""A peer that vanished without a word is noticed after two of these."""

DENIED_ADVICE: Final = "this is not this service's to say; else give NATS the users of `primum bus keys` again"

NO_JETSTREAM: Final = "it has no JetStream, or none that is up: `jetstream {}` in its configuration"
_USERS_ADVICE: Final = "include the users that `primum bus keys` wrote in its configuration"
_NOT_KNOWN: Final = "authorization"
_HUNG_UP: Final = ("reset by peer", "unexpected eof", "empty response from server")

Said = Callable[[str], None]


class Watcher(NamedTuple):
    """Who is told of a connection's life: every reason why it is not there, that it stands again, that it is over.

    And of what the server did not let us do: whoever asked for that hears nothing.
    """

    lost: Said
    back: Said
    closed: Said
    denied: Said


class User(NamedTuple):
    """Whom NATS knows by which key."""

    name: str
    key: Key


def inbox_prefix(name: str) -> str:
    """Where answers to this user go: it may listen nowhere else."""
    return f"_INBOX_{name}"


async def connect_for_ever(client: Client, url: str, user: User, watcher: Watcher) -> None:
    """Connect, however long that takes, and connect again whenever the connection breaks.

    `url` may name several servers of one cluster, with commas between.
    """
    await client.connect(
        url.split(","),
        name=f"primum-{user.name}",
        inbox_prefix=inbox_prefix(user.name),
        nkeys_seed_str=user.key.seed,
        connect_timeout=2,
        reconnect_time_wait=_RETRY_EVERY_S,  # type: ignore[arg-type]  # it sleeps that long; the hint is too narrow
        max_reconnect_attempts=_FOR_EVER,
        ping_interval=_PING_EVERY_S,
        error_cb=_error_callback(_of_both(client, watcher)),
        disconnected_cb=_callback(watcher.lost, "the connection broke"),
        reconnected_cb=_callback(watcher.back, "connected again"),
        closed_cb=_callback(watcher.closed, "the connection is closed"),
    )


async def close(client: Client) -> None:
    """Close a connection, if there is or was to be one: nats-py cannot close what it never began."""
    if client.is_connected or client.is_reconnecting or client.is_connecting:
        with suppress(ConnectionError):  # it still wants to send what waited, to a server that is gone
            await client.close()


@asynccontextmanager
async def connected(url: str, user: User | None = None, timeout_s: float = 5.0) -> AsyncIterator[Client]:
    """Connect for the time of a command; as nobody, where a server of no users is asked. Raises LedgerUnavailable."""
    client, reasons = Client(), list[str]()
    try:
        async with asyncio.timeout(timeout_s):
            # Two attempts, one after the other: nats-py knows no single one.
            await client.connect(
                url.split(","),
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                error_cb=_error_callback(reasons.append),
                nkeys_seed_str=user.key.seed if user else None,
                inbox_prefix=inbox_prefix(user.name) if user else DEFAULT_INBOX_PREFIX,
            )
    except (nats.errors.Error, OSError, TimeoutError, ValueError) as error:
        await client.close()  # else the socket on which it was refused stays open
        reason = _telling(reasons) or words_of(error)
        await close(client)  # nats-py leaves the socket of a server that refused it
        raise LedgerUnavailable(f"no NATS answers at {address(url)} ({reason})", advice=advice_for(reason)) from error
    try:
        yield client
    finally:
        await client.close()


def advice_for(reason: str) -> str:
    """Return what to do about a NATS that does not take us."""
    if _NOT_KNOWN in reason.lower():
        return f"it does not know this key: {_USERS_ADVICE}"
    if any(sign in reason.lower() for sign in _HUNG_UP):
        return f"if it is up, it may not know this key: {_USERS_ADVICE}"
    return LedgerUnavailable.advice


def open_to_all(client: Client) -> str | None:
    """Say so, if the server that we are connected to lets in whoever comes."""
    if client._server_info.get("auth_required"):  # noqa: SLF001 - nats-py keeps the greeting to itself
        return None
    return f"this NATS asks nobody for a key, so that anybody may delete what it holds: {_USERS_ADVICE}"


def _telling(reasons: Sequence[str]) -> str:
    """Return the reason that says most: a server that refuses us often hangs up before its words are read."""
    refused = [reason for reason in reasons if _NOT_KNOWN in reason.lower()]
    return (refused or [*reasons] or [""])[-1]


def address(url: str) -> str:
    """Return a URL's host and port alone: the rest may hold a password."""
    parts = urlsplit(url if "//" in url else f"//{url}")
    return parts.netloc.rsplit("@", 1)[-1] or url


_DENIED: Final = re.compile(r'permissions violation for (publish|subscription) to "?([^"\s]+)', re.IGNORECASE)
_denials: WeakKeyDictionary[Client, dict[str, str]] = WeakKeyDictionary()


def denial(client: Client, subject: str) -> str | None:
    """Return the server's words, if it has denied this connection to publish there. What asked only timed out."""
    return _denials.get(client, {}).get(subject.lower())


def _of_both(client: Client, watcher: Watcher) -> Said:
    def say(reason: str) -> None:
        if (found := _DENIED.search(reason)) is None:
            watcher.lost(reason)
        else:
            _denials.setdefault(client, {})[found[2].lower()] = reason
            watcher.denied(reason)

    return say


def _error_callback(say: Said) -> Callable[[Exception], Awaitable[None]]:
    async def on_error(error: Exception) -> None:
        say(words_of(error))

    return on_error


def _callback(say: Said, what: str) -> Callable[[], Awaitable[None]]:
    async def on_change() -> None:
        say(what)

    return on_change


def words_of(error: Exception) -> str:
    """Say what went wrong in the library's words, where it has any."""
    if isinstance(error, ServiceUnavailableError) and error.code is None:  # nobody answers where JetStream would
        return NO_JETSTREAM
    return str(error) or type(error).__name__
