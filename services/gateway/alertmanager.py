"""Alertmanager's webhook, version 4, into alerts; lenient to what it may grow, precise about what cannot work.

The payload: https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
"""

import hashlib
import json
import re
from datetime import UTC, datetime
from typing import Annotated, Final, NamedTuple

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from shared.domain.alert import Alert, AlertStatus
from shared.domain.errors import PrimumError
from shared.domain.ids import ClusterName, Fingerprint

VERSION: Final = "4"
MAX_ALERT_BYTES: Final = 512 * 1024
"""Half of what NATS takes in one message by default (1 MiB), so that its envelope and headers fit as well."""
TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""What may stand in a subject: a dot or a star would lose the alert or put it where another belongs."""
_NEVER: Final = datetime(1, 1, 1, tzinfo=UTC)
"""Go's zero time, which Alertmanager writes for `no end yet`."""


class PayloadInvalid(PrimumError):  # noqa: N818 - named for what is wrong, as the domain's errors are
    """A webhook call that can never be taken, however often it is sent."""

    advice = "send what Alertmanager's webhook_config sends, version 4"


class _Payload(BaseModel):
    """The envelope; `groupLabels` and the `common…` maps only repeat what each alert says."""

    model_config = ConfigDict(extra="ignore")

    version: str
    alerts: list[object]
    """Each is validated by itself: one that is wrong keeps no other out."""
    truncated_alerts: int = Field(default=0, alias="truncatedAlerts")


class _Posted(BaseModel):
    """One alert as Alertmanager writes it."""

    model_config = ConfigDict(extra="ignore")

    status: AlertStatus
    labels: dict[str, str] = Field(min_length=1)
    annotations: dict[str, str] = {}
    starts_at: AwareDatetime = Field(alias="startsAt")
    ends_at: AwareDatetime | None = Field(default=None, alias="endsAt")
    generator_url: str = Field(default="", alias="generatorURL")
    fingerprint: Annotated[str, Field(pattern=rf"^({TOKEN.pattern})?$")] = ""


class Delivery(NamedTuple):
    """What one webhook call brought."""

    alerts: tuple[Alert, ...]
    refused: tuple[str, ...]
    """A sentence for each alert that can never be taken; the others are stored all the same."""
    truncated: int
    """How many the sender cut off by its own `max_alerts`."""


def parse(body: bytes, cluster: ClusterName) -> Delivery:
    """Return the alerts of a webhook call. Raises PayloadInvalid if there is nothing in it that could be stored."""
    payload = _envelope(body)
    alerts: list[Alert] = []
    refused: list[str] = []
    for index, posted in enumerate(payload.alerts):
        try:
            alert = _alert(posted, cluster)
            if len(body) > MAX_ALERT_BYTES:  # in a smaller one no alert can be too large
                _check_size(alert)
            alerts.append(alert)
        except ValidationError as error:
            refused.append(f"alert {index}: {in_words(error)}")
        except PayloadInvalid as error:
            refused.append(f"alert {index}: {error.args[0]}")
    return Delivery(tuple(alerts), tuple(refused), payload.truncated_alerts)


def cluster_named(name: str) -> ClusterName:
    """Return the cluster that a call names. Raises PayloadInvalid if that cannot be a cluster's name."""
    if not TOKEN.fullmatch(name):
        raise PayloadInvalid(
            f"{name[:80]!r} is no name of a cluster", advice="use letters, digits, - and _, at most 64 of them"
        )
    return ClusterName(name)


def _envelope(body: bytes) -> _Payload:
    try:
        said = from_json(body)
    except ValueError as error:
        raise PayloadInvalid(f"the body is not JSON: {error}") from error
    if not isinstance(said, dict):
        raise PayloadInvalid(f"the body is a JSON {type(said).__name__}, not an object")
    version = said.get("version")
    if version != VERSION:
        raise PayloadInvalid(f'the payload\'s version is {json.dumps(version)[:80]}, not "{VERSION}"')
    try:
        return _Payload.model_validate(said)
    except ValidationError as error:
        raise PayloadInvalid(f"the payload is not Alertmanager's: {in_words(error)}") from error


def _alert(posted: object, cluster: ClusterName) -> Alert:
    said = _Posted.model_validate(posted)
    ends_at = None if said.ends_at == _NEVER else said.ends_at
    return Alert(
        cluster=cluster,
        fingerprint=Fingerprint(said.fingerprint or _fingerprint(said.labels)),
        status=said.status,
        labels=said.labels,
        annotations=said.annotations,
        starts_at=said.starts_at,
        ends_at=ends_at,
        generator_url=said.generator_url,
    )


def _check_size(alert: Alert) -> None:
    if (size_bytes := len(alert.model_dump_json().encode())) > MAX_ALERT_BYTES:
        raise PayloadInvalid(f"it is {size_bytes} bytes long, the most is {MAX_ALERT_BYTES}")


def _fingerprint(labels: dict[str, str]) -> str:
    """For senders that give none: the same labels are the same alert, as in Prometheus."""
    return hashlib.sha256(json.dumps(labels, sort_keys=True).encode()).hexdigest()[:16]


def in_words(error: ValidationError) -> str:
    """Say where each problem is and what it is, without the values: they may be large, or private."""
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    said = [f"{'.'.join(str(part) for part in problem['loc']) or 'it'}: {problem['msg']}" for problem in problems[:3]]
    more = len(problems) - len(said)
    return "; ".join(said) + (f"; and {more} more" if more else "")
