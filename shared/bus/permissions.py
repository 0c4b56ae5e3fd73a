"""What each service may say on NATS and where it may listen: drawn from the table, the streams and what wakes it.

It is a file for a server's configuration. The operator may do everything, and nobody believes what it says.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from shared.adapters.nats_connection import inbox_prefix
from shared.adapters.nkey import OPERATOR
from shared.bus import pull, streams, subjects
from shared.domain.authority import (
    MAY_ALERT,
    MAY_CLAIM,
    MAY_CLAIM_A_KEY,
    MAY_FREE_A_KEY,
    MAY_HOLD,
    MAY_NOTE,
    MAY_PAUSE,
    MAY_RELEASE,
    events_of,
)
from shared.domain.events import Fact, Owner

_AUTH_WITHIN_S: Final = 10
"""So long a client may take to prove its key: after the server's own 2 s it hangs up on a busy machine."""
_ANY_LOCK: Final = "primum.lock.*"
_READS: Final = (
    streams.LEDGER,
    streams.FACTS,
    streams.bucket_stream(streams.HEARTBEATS),
    streams.bucket_stream(streams.ACTIVITIES),
)


def publishes(owner: Owner) -> Sequence[str]:
    """List the subjects on which a service may publish."""
    return [*_events(owner), *_words(owner), *_own(owner), *_reads(owner), *_consumers(owner)]


def listens(owner: Owner) -> Sequence[str]:
    """List where it may listen: to answers to itself."""
    return [f"{inbox_prefix(str(owner))}.>"]


def _events(owner: Owner) -> Iterator[str]:
    yield from sorted(subjects.wake_ups(event.name) for event in events_of(owner))
    yield from (f"primum.fact.*.{_kind(fact)}" for fact, owners in MAY_NOTE.items() if owner in owners)


def _words(owner: Owner) -> Iterator[str]:
    for subject, owners in (
        (subjects.ALL_ALERTS, MAY_ALERT),
        (subjects.ALL_OPEN, MAY_CLAIM_A_KEY | MAY_FREE_A_KEY),
        (_ANY_LOCK, MAY_HOLD | MAY_RELEASE),
        (subjects.PAUSE, MAY_PAUSE),
        (streams.bucket_subject(streams.HEARTBEATS, "*"), MAY_HOLD),
        (streams.bucket_subject(streams.CLAIMS, "*"), MAY_CLAIM),
    ):
        if owner in owners:
            yield subject


def _own(owner: Owner) -> Iterator[str]:
    """What every service says for itself: its timers, what it does now, what it could not handle."""
    yield f"primum.timer.{owner}.*"
    yield streams.bucket_subject(streams.ACTIVITIES, f"{owner}.*")
    yield "primum.dead.*"


def _reads(owner: Owner) -> Iterator[str]:
    claims = [streams.bucket_stream(streams.CLAIMS)] if owner in MAY_CLAIM else []
    for stream in (*_READS, *claims):
        yield f"$JS.API.DIRECT.GET.{stream}"
    for stream in (streams.bucket_stream(streams.HEARTBEATS), *claims):  # their clocks
        yield f"$JS.API.STREAM.INFO.{stream}"


def _consumers(owner: Owner) -> Iterator[str]:
    """Its own durables: to look at them, to be given messages, to say what became of those."""
    for stream in (source.stream for source in pull.sources_of(owner, ack_wait_s=1)):
        yield f"$JS.API.CONSUMER.INFO.{stream}.{owner}"
        yield f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{owner}"
        yield f"$JS.ACK.{stream}.{owner}.>"


def _kind(fact: type[Fact]) -> str:
    return str(fact.model_fields["fact"].default)


def authorization(keys: Mapping[str, Iterable[str]]) -> str:
    """Write the part of a nats-server's configuration that knows these public keys, and what each may do."""
    users = [
        _user(public, None if name == OPERATOR else Owner(name)) for name, known in keys.items() for public in known
    ]
    return "\n".join(
        [
            "# Written by `primum bus keys`: include it in nats-server's configuration.",
            "authorization {",
            f"  timeout: {_AUTH_WITHIN_S}",
            "  users = [",
            *users,
            "  ]",
            "}",
            "",
        ]
    )


def _user(public: str, owner: Owner | None) -> str:
    if owner is None:  # the operator
        return f"    {{ nkey: {public} }}"
    publish, subscribe = json.dumps(publishes(owner)), json.dumps(listens(owner))
    allowed = f"publish: {{ allow: {publish} }}, subscribe: {{ allow: {subscribe} }}"
    return f"    {{ nkey: {public}, permissions: {{ {allowed} }} }}"
