"""The streams as data, and how they come to be: created where missing, reconciled where they differ."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Final

from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import BadRequestError

_TEN_MINUTES_S: Final = 600.0
_HOUR_S: Final = 3600.0
_DAY_S: Final = 24 * _HOUR_S

ALERTS: Final = "ALERTS"
LEDGER: Final = "LEDGER"
FACTS: Final = "FACTS"
TIMERS: Final = "TIMERS"
DEAD: Final = "DEAD"
HEARTBEATS: Final = "primum_heartbeats"
ACTIVITIES: Final = "primum_activities"
CLAIMS: Final = "primum_claims"
CLAIM_TTL_S: Final = 30.0
"""How long a claim holds whose owner died; what is done under one must be over sooner."""


@dataclass(frozen=True)
class Keeping:
    """How the streams are kept: copies (3 in production), and how long two buckets believe what they were told."""

    replicas: int = 1
    heartbeat_ttl_s: float = 10.0
    activity_ttl_s: float = 15.0


def bucket_stream(bucket: str) -> str:
    """Name the stream behind a key-value bucket."""
    return f"KV_{bucket}"


def bucket_subject(bucket: str, key: str) -> str:
    """Name the subject of a key in a bucket."""
    return f"$KV.{bucket}.{key}"


_WORDS_KEPT: Final = 8
"""Of each key that is signed: a forged one that comes last must not hide the rightful one before it."""


def _bucket(name: str, ttl_s: float, history: int = 1) -> StreamConfig:
    """Configure a bucket as `nats kv` would: the newest values of a key, gone after the TTL."""
    return StreamConfig(
        name=bucket_stream(name),
        subjects=[f"$KV.{name}.>"],
        max_msgs_per_subject=history,
        max_age=ttl_s,
        duplicate_window=min(ttl_s, 120.0),
        discard=DiscardPolicy.NEW,
        allow_rollup_hdrs=True,
        deny_delete=True,
    )


def streams(keeping: Keeping) -> Sequence[StreamConfig]:
    """List all streams, as they shall be."""
    configs = (
        StreamConfig(name=ALERTS, subjects=["primum.alert.>"], max_age=_DAY_S, duplicate_window=_HOUR_S),
        StreamConfig(
            name=LEDGER,
            subjects=["primum.ledger.>", "primum.open.*", "primum.lock.*", "primum.control.>"],
            allow_atomic=True,
            deny_delete=True,
            deny_purge=True,
        ),
        StreamConfig(
            name=FACTS, subjects=["primum.fact.>"], duplicate_window=_TEN_MINUTES_S, deny_delete=True, deny_purge=True
        ),
        # A schedule goes when it fires, and what fired goes when it is acknowledged, only with this retention.
        # `deny_purge` and schedules exclude each other.
        StreamConfig(
            name=TIMERS,
            subjects=["primum.timer.>", "primum.fired.>"],
            retention=RetentionPolicy.WORK_QUEUE,
            allow_msg_schedules=True,
            allow_msg_ttl=True,
            allow_rollup_hdrs=True,
        ),
        StreamConfig(name=DEAD, subjects=["primum.dead.>"], max_age=30 * _DAY_S),
        _bucket(HEARTBEATS, keeping.heartbeat_ttl_s, _WORDS_KEPT),
        _bucket(ACTIVITIES, keeping.activity_ttl_s),
        _bucket(CLAIMS, CLAIM_TTL_S, _WORDS_KEPT),
    )
    return [
        replace(config, storage=StorageType.FILE, num_replicas=keeping.replicas, allow_direct=True)
        for config in configs
    ]


async def ensure(js: JetStreamContext, keeping: Keeping | None = None) -> Sequence[str]:
    """Create the streams that are missing, update those whose settings differ from ours; say what was done.

    Several operators may do this at once: the loser of a race to create finds the stream there.
    """
    done = list[str]()
    there = {str(info.config.name): info.config for info in await js.streams_info()}
    for wanted in streams(keeping or Keeping()):
        name = str(wanted.name)
        if (found := there.get(name)) is None:
            await _create(js, wanted)
            done.append(f"made the stream {name}")
            continue
        # More copies than we ask for are an administrator's decision.
        wished = replace(wanted, num_replicas=max(wanted.num_replicas or 1, found.num_replicas or 1))
        if _differs(wished, found):
            await js.update_stream(wished)
            done.append(f"mended the stream {name}")
    return done


async def _create(js: JetStreamContext, wanted: StreamConfig) -> None:
    try:
        await js.add_stream(wanted)
    except BadRequestError as error:
        if error.err_code != _NAME_IN_USE:
            raise
        await js.update_stream(wanted)


_NAME_IN_USE: Final = 10058
_UNSET: Final = (None, False, -1, 0)
_OURS: Final = tuple(field.name for field in fields(StreamConfig))


def _differs(wanted: StreamConfig, found: StreamConfig) -> bool:
    """Whether anything that we set is otherwise; what we leave open is the server's to fill in."""
    return any(
        getattr(wanted, name) not in _UNSET and getattr(wanted, name) != getattr(found, name, None) for name in _OURS
    )
